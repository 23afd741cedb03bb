//! The same for calls to Cloudflare: an organization behind a tunnel is made and goes, and one call of it goes wrong.
//!
//! Afterwards there is one tunnel and one record that leads to it, of which the engine holds the secret; in the end
//! nothing is left, there or on the engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aphex_api::organization::{Organization, OrganizationPhase};
use aphex_controllers::Settings;
use aphex_controllers::context::Context;
use aphex_controllers::sensitive::Sensitive;
use aphex_controllers::tunnels::Cloudflare;
use aphex_controllers::tunnels::cloudflare::{Client, Connection, Places, Token};
use aphex_runtime::{Clock, Metrics, Shutdown};
use aphex_testkit::cloudflare::{self as stand_in, DOMAIN};
use aphex_testkit::eventually_for;
use aphex_testkit::faults::{Call, Fault, Faults, cloudflare_or_kubernetes};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;

use super::life::fresh;
use super::matrix::Wanted;
use super::pace;
use crate::cloudflare::connectors_run;
use crate::engine::{Engine, GATEWAY, PLATFORM};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long Cloudflare may take to answer here; what is lost takes longer.
const ANSWER: Duration = Duration::from_millis(500);

/// One organization's life, with everything of its own but the engine.
struct Life<'a> {
    engine: &'a Engine,
    id: String,
    faults: Faults,
    cloudflare: stand_in::Cloudflare,
}

impl<'a> Life<'a> {
    async fn new(engine: &'a Engine) -> anyhow::Result<Self> {
        let id = fresh();
        let faults = Faults::new(cloudflare_or_kubernetes, &[(&id, "*")]);
        let cloudflare = stand_in::Cloudflare::start_behind(Some(faults.clone())).await?;
        Ok(Self { engine, id, faults, cloudflare })
    }

    fn context(&self) -> anyhow::Result<Arc<Context>> {
        let token = Token::Value(Sensitive::new(self.cloudflare.token()));
        let connection = Connection { url: self.cloudflare.url(), timeout: ANSWER, ..Connection::new(token) };
        let (clock, metrics) = (Clock::system(), Metrics::default());
        let client = Client::new(connection, clock.clone(), &metrics)?;
        let tunnels = Cloudflare::new(client, Places::new(DOMAIN, None, None), clock.clone());
        let account = self.faults.client(&self.engine.account);
        let context = Context::new(account, Settings::new(GATEWAY)?, clock, Arc::new(tunnels), &metrics);
        Ok(Arc::new(context.with_pace(pace())))
    }

    /// Runs controllers, and others after them whenever a fault kills them, until the life is over.
    async fn live(&self) -> anyhow::Result<()> {
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
            let lived = self.lived().await;
            shutdown.trigger();
            lived
        };
        let (ended, lived) = tokio::join!(controllers, lived);
        lived.and(ended)
    }

    async fn lived(&self) -> anyhow::Result<()> {
        self.faults.stage("made");
        self.engine.organization(&self.id).await?;
        connectors_run(self.engine, &self.id).await?;
        let organizations = self.engine.api::<Organization>(PLATFORM);
        let active = || async {
            let status = organizations.get(&self.id).await?.status.unwrap_or_default();
            Ok((status.phase == OrganizationPhase::Active).then_some(()))
        };
        eventually_for(PATIENCE, "the organization is active", active).await?;
        self.in_place().await.context("when made")?;
        self.faults.stage("gone");
        organizations.delete(&self.id, &DeleteParams::default()).await?;
        let gone = || async { Ok(organizations.get_opt(&self.id).await?.is_none().then_some(())) };
        eventually_for(PATIENCE, "the organization is gone", gone).await?;
        let left = (self.cloudflare.tunnels(), self.cloudflare.records());
        ensure!(left.0.is_empty() && left.1.is_empty(), "leaked: {left:?}");
        ensure!(!self.engine.has_namespace(&format!("org-{}", self.id)).await?, "its namespace is left");
        Ok(())
    }

    async fn in_place(&self) -> anyhow::Result<()> {
        let (tunnels, records) = (self.cloudflare.tunnels(), self.cloudflare.records());
        let ([tunnel], [record]) = (tunnels.as_slice(), records.as_slice()) else {
            anyhow::bail!("{tunnels:?} {records:?}")
        };
        ensure!(record.content == format!("{}.cfargotunnel.com", tunnel.id), "{record:?}");
        let secrets = self.engine.api::<Secret>(&format!("org-{}", self.id));
        let secret = secrets.get(&format!("cloudflared-credentials-{}", self.id)).await?;
        let file = secret.data.and_then(|data| data.get("credentials.json").cloned()).context("no file")?;
        ensure!(String::from_utf8_lossy(&file.0).contains(&tunnel.secret), "another secret");
        Ok(())
    }
}

fn is_cloudflares(call: &Call) -> bool {
    call.kind.ends_with(".cloudflare")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_call_to_cloudflare_goes_wrong_no_tunnel_and_no_record_is_left() -> anyhow::Result<()> {
    let wanted = Wanted::read()?;
    let engine = Engine::without_controllers().await?;
    let undisturbed = Life::new(&engine).await?;
    undisturbed.live().await?;
    let calls = undisturbed.faults.calls();
    let calls: Vec<&Call> = calls.iter().filter(|call| is_cloudflares(call)).collect();
    let kinds: BTreeSet<(&str, &str)> = calls.iter().map(|c| (c.verb.as_str(), c.kind.as_str())).collect();
    assert!(kinds.len() >= 8, "{kinds:?}");
    let mut failed = Vec::new();
    let (mut total, mut struck) = (0_usize, 0);
    for (index, call) in calls.iter().enumerate() {
        let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| fault.strikes(&call.verb)).collect();
        // A real API server takes seconds to take down a namespace.
        let sparse = !engine.cluster.is_embedded() && index % 4 != 0;
        let faults = match (wanted.all, sparse) {
            (true, _) => faults,
            (false, true) => Vec::new(),
            (false, false) => vec![faults[index % faults.len()]],
        };
        for fault in faults {
            total += 1;
            let life = Life::new(&engine).await?;
            life.faults.arm((*call).clone(), fault);
            let lived = life.live().await;
            let cell = format!("{call}, {}", fault.title());
            match lived {
                Ok(()) => struck += usize::from(life.faults.struck()),
                Err(error) => failed.push(format!("{cell}: {error:#}")),
            }
            let made = life.faults.calls().iter().filter(|call| is_cloudflares(call)).count();
            if made > calls.len() * 4 {
                failed.push(format!("{cell}: {made} calls, and {} without the fault", calls.len()));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {total} cells failed:\n{}", failed.len(), failed.join("\n"));
    assert!(struck * 10 >= total * 8, "only {struck} of {total} faults struck");
    Ok(())
}
