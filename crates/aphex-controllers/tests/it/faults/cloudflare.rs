//! The same for an organization behind a tunnel: it is made and goes, and one call of it goes wrong, to Cloudflare or to the
//! engine.
//!
//! Of its calls to the engine those are struck that an organization without a tunnel does not make, and those that tell of it.
//! Afterwards there is one tunnel and one record that leads to it, of which the engine holds the secret, and everything else
//! is as without the fault; in the end nothing is left, there or on the engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aphex_api::labels;
use aphex_api::organization::{Organization, OrganizationPhase};
use aphex_controllers::Settings;
use aphex_controllers::context::Context;
use aphex_controllers::sensitive::Sensitive;
use aphex_controllers::tunnels::cloudflare::{Client, Connection, Places, Token};
use aphex_controllers::tunnels::{Cloudflare, Local, Tunnels};
use aphex_runtime::{Clock, Metrics, Shutdown};
use aphex_testkit::cloudflare::{self as stand_in, DOMAIN};
use aphex_testkit::eventually_for;
use aphex_testkit::faults::{Call, Faults, cloudflare_or_kubernetes};
use aws_lc_rs::digest;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::DeleteParams;

use super::cells::{self, Cell, Ended, Lives, Wanted};
use super::life::{fresh, looks_like, quiet, watching};
use super::pace;
use super::snapshot::Snapshot;
use super::table::{Part, Table};
use crate::cloudflare::connectors_run;
use crate::engine::{Engine, GATEWAY, PLATFORM};

const PATIENCE: Duration = Duration::from_mins(1);
/// How long Cloudflare may take to answer here; what is lost takes longer.
const ANSWER: Duration = Duration::from_millis(500);
/// Engines that are used at once.
const ENGINES: usize = 2;
/// Of the cells that are usual, a real API server gets one in so many: it takes seconds to take down a namespace.
const OF_A_REAL_ONE: usize = 8;

/// How the organization is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Tunnel,
    /// At the gateway's own address.
    Direct,
}

/// What a life is like when nothing goes wrong.
struct Undisturbed {
    made: Snapshot,
    calls: usize,
    writes: usize,
    /// Calls to Cloudflare.
    outside: usize,
}

/// One organization's life, with everything of its own but the engine.
struct Life<'a> {
    engine: &'a Engine,
    way: Way,
    id: String,
    faults: Faults,
    cloudflare: stand_in::Cloudflare,
}

impl<'a> Life<'a> {
    async fn new(engine: &'a Engine, way: Way) -> anyhow::Result<Self> {
        let id = fresh();
        let faults = Faults::new(cloudflare_or_kubernetes, &[(&id, "*")]);
        faults.stage("started");
        let cloudflare = stand_in::Cloudflare::start_behind(Some(faults.clone())).await?;
        Ok(Self { engine, way, id, faults, cloudflare })
    }

    fn tunnels(&self, clock: &Clock, metrics: &Metrics) -> anyhow::Result<Arc<dyn Tunnels>> {
        if self.way == Way::Direct {
            return Ok(Arc::new(Local::new(GATEWAY)));
        }
        let token = Token::Value(Sensitive::new(self.cloudflare.token()));
        let connection = Connection { url: self.cloudflare.url(), timeout: ANSWER, ..Connection::new(token) };
        let client = Client::new(connection, clock.clone(), metrics)?;
        Ok(Arc::new(Cloudflare::new(client, Places::new(DOMAIN, None, None), clock.clone())))
    }

    fn context(&self) -> anyhow::Result<Arc<Context>> {
        let (clock, metrics) = (Clock::system(), Metrics::default());
        let tunnels = self.tunnels(&clock, &metrics)?;
        let account = self.faults.client(&self.engine.account);
        let context = Context::new(account, Settings::new(GATEWAY)?, clock, tunnels, &metrics);
        Ok(Arc::new(context.with_pace(pace())))
    }

    /// Runs controllers, and others after them whenever a fault kills them, until the life is over. Gives what it was like.
    async fn live(&self, expected: Option<&Undisturbed>) -> anyhow::Result<Undisturbed> {
        let shutdown = Shutdown::new();
        let controllers = async {
            loop {
                tokio::select! {
                    () = aphex_controllers::run_with(self.context()?, &shutdown) => return anyhow::Ok(()),
                    () = self.faults.killed() => {}
                }
            }
        };
        let lived = async {
            let lived = self.lived(expected.map(|expected| &expected.made)).await;
            shutdown.trigger();
            lived
        };
        let (ended, lived) = tokio::join!(controllers, lived);
        let made = lived?;
        ended?;
        let (calls, writes) = self.faults.counts();
        let outside = self.faults.calls().iter().filter(|call| is_cloudflares(call)).count();
        Ok(Undisturbed { made, calls, writes, outside })
    }

    async fn lived(&self, expected: Option<&Snapshot>) -> anyhow::Result<Snapshot> {
        watching(&self.faults).await?;
        self.faults.stage("made");
        self.engine.organization(&self.id).await?;
        if self.way == Way::Tunnel {
            connectors_run(self.engine, &self.id).await?;
        }
        let organizations = self.engine.api::<Organization>(PLATFORM);
        let active = || async {
            let status = organizations.get(&self.id).await?.status.unwrap_or_default();
            Ok((status.phase == OrganizationPhase::Active).then_some(()))
        };
        eventually_for(PATIENCE, "the organization is active", active).await?;
        if self.way == Way::Tunnel {
            self.in_place().await.context("when made")?;
        }
        match expected {
            Some(expected) => looks_like(|| self.snapshot(), expected).await.context("when made")?,
            None => quiet(&self.faults).await?,
        }
        let made = self.snapshot().await?;
        self.faults.stage("gone");
        organizations.delete(&self.id, &DeleteParams::default()).await?;
        let gone = || async { Ok(organizations.get_opt(&self.id).await?.is_none().then_some(())) };
        eventually_for(PATIENCE, "the organization is gone", gone).await?;
        let left = (self.cloudflare.tunnels(), self.cloudflare.records(), self.snapshot().await?);
        ensure!(left.0.is_empty() && left.1.is_empty() && left.2.is_empty(), "leaked: {left:?}");
        Ok(made)
    }

    /// Everything on the engine, with names for what Cloudflare made up, and for what tells the connectors' pods of it.
    async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let namespace = format!("org-{}", self.id);
        let mut made_up = Vec::new();
        for tunnel in self.cloudflare.tunnels() {
            made_up.push((tunnel.id, "<the tunnel>".to_owned()));
            made_up.push((tunnel.secret, "<its secret>".to_owned()));
        }
        let config = self.engine.api::<ConfigMap>(&namespace).get_opt("cloudflared-config").await?;
        if let Some(text) = config.and_then(|config| config.data?.remove("config.yaml")) {
            let checksum = labels::checksum(text.as_bytes());
            made_up.push((format!("{checksum:016x}"), "<checksum of the configuration>".to_owned()));
        }
        if let Some(file) = self.credentials().await? {
            let digest = digest::digest(&digest::SHA256, &file.0);
            let start =
                digest.as_ref().iter().take(8).fold(0, |start: u64, byte| start << 8 | u64::from(*byte));
            made_up.push((format!("{start:016x}"), "<checksum of the credentials>".to_owned()));
        }
        Snapshot::take(self.engine, &self.id, made_up).await
    }

    /// The connectors' credentials, as the engine has them.
    async fn credentials(&self) -> anyhow::Result<Option<ByteString>> {
        let secrets = self.engine.api::<Secret>(&format!("org-{}", self.id));
        let secret = secrets.get_opt(&format!("cloudflared-credentials-{}", self.id)).await?;
        Ok(secret.and_then(|secret| secret.data?.remove("credentials.json")))
    }

    async fn in_place(&self) -> anyhow::Result<()> {
        let (tunnels, records) = (self.cloudflare.tunnels(), self.cloudflare.records());
        let ([tunnel], [record]) = (tunnels.as_slice(), records.as_slice()) else {
            anyhow::bail!("{tunnels:?} {records:?}")
        };
        ensure!(record.content == format!("{}.cfargotunnel.com", tunnel.id), "{record:?}");
        let file = self.credentials().await?.context("no credentials")?;
        ensure!(String::from_utf8_lossy(&file.0).contains(&tunnel.secret), "another secret");
        Ok(())
    }
}

fn is_cloudflares(call: &Call) -> bool {
    call.kind.ends_with(".cloudflare")
}

/// Whether a call tells of the organization, or holds it until everything is taken back.
fn tells(call: &Call) -> bool {
    let kinds = ["organizations.aphex.io", "organizations/status.aphex.io", "events.events.k8s.io"];
    !call.is_read() && kinds.contains(&call.kind.as_str())
}

impl Lives for Undisturbed {
    async fn attempt(&self, engine: &Engine, cell: &Cell) -> Ended {
        let life = match Life::new(engine, Way::Tunnel).await {
            Ok(life) => life,
            Err(error) => return Ended::of(cell, Err(error), false),
        };
        life.faults.arm(cell.call.clone(), cell.fault);
        let lived = life.live(Some(self)).await.and_then(|lived| {
            let (outside, usual) = (lived.outside, self.outside);
            ensure!(outside <= usual * 4, "{outside} calls to Cloudflare, and {usual} without the fault");
            let (calls, usual) = (lived.calls, self.calls);
            ensure!(calls <= usual * 3, "{calls} calls, and {usual} without the fault");
            let (writes, usual) = (lived.writes, self.writes);
            ensure!(writes <= usual * 2, "{writes} writes, and {usual} without the fault");
            Ok(())
        });
        Ended::of(cell, lived, life.faults.struck())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_call_for_a_tunnel_goes_wrong_no_tunnel_and_no_record_is_left() -> anyhow::Result<()> {
    let wanted = Wanted::read()?;
    let engine = Engine::without_controllers().await?;
    let embedded = engine.cluster.is_embedded();
    let direct = Life::new(&engine, Way::Direct).await?;
    direct.live(None).await?;
    let direct: BTreeSet<Call> = direct.faults.calls().into_iter().collect();
    let life = Life::new(&engine, Way::Tunnel).await?;
    let undisturbed = life.live(None).await?;
    let all = life.faults.calls();
    drop(life);
    let all: Vec<(usize, &Call)> = all.iter().map(|call| (0, call)).collect();
    let (outside, inside): (Vec<_>, Vec<_>) = all.iter().copied().partition(|(_, call)| is_cloudflares(call));
    let kinds: BTreeSet<(&str, &str)> =
        outside.iter().map(|(_, call)| (call.verb.as_str(), call.kind.as_str())).collect();
    assert!(kinds.len() >= 8, "{kinds:?}");
    let mut struck = inside;
    struck.retain(|(_, call)| tells(call) || !direct.contains(*call));
    let mut cells = if wanted.all {
        [cells::all(&outside), cells::all(&struck)].concat()
    } else {
        [cells::each(&outside), cells::sample(&struck)].concat()
    };
    if !embedded {
        let mut index = 0;
        cells.retain(|_| {
            index += 1;
            index % OF_A_REAL_ONE == 0
        });
    }
    cells::keep_named(&mut cells);
    let results = cells::work_through(engine, ENGINES, undisturbed, cells).await?;
    results.check();
    if wanted.write {
        // The other table may not be written yet.
        return Table::of(&results.passed()).write(Part::Tunnel, wanted.all);
    }
    if embedded {
        let all: Vec<&Call> = all.into_iter().map(|(_, call)| call).collect();
        Table::committed(Part::Tunnel)?.covers(&all, &Table::committed(Part::Engine)?);
    }
    Ok(())
}
