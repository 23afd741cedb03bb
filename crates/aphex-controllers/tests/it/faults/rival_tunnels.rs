//! Two processes that both lead, and Cloudflare: what one of them makes there the other does not make again.
//!
//! Calls are held back until both processes have come to the same one, so each of them decided on what the other had not
//! done yet. The stand-in keeps everything that there ever was, so no moment is missed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aphex_api::organization::{Organization, OrganizationPhase};
use aphex_controllers::Settings;
use aphex_controllers::sensitive::Sensitive;
use aphex_controllers::tunnels::Cloudflare;
use aphex_controllers::tunnels::cloudflare::{Client, Connection, Places, Token};
use aphex_runtime::clock::Hand;
use aphex_runtime::{Clock, Metrics};
use aphex_testkit::cloudflare::{self as stand_in, DOMAIN, Moment};
use aphex_testkit::faults::{Faults, Which, cloudflare_or_kubernetes};
use aphex_testkit::{eventually, eventually_for};
use futures::StreamExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::life::fresh;
use crate::cloudflare::connectors_run;
use crate::engine::{Controllers, Engine, GATEWAY, PLATFORM};

const PATIENCE: Duration = Duration::from_secs(30);
/// More than what was seen at Cloudflare is believed for.
const LATER: Duration = Duration::from_mins(11);

const MAKES_TUNNEL: Which = |call| call.verb == "create" && call.kind == "accounts/cfd_tunnel.cloudflare";
const MAKES_RECORD: Which = |call| call.verb == "create" && call.kind == "zones/dns_records.cloudflare";
const DROPS_TUNNEL: Which = |call| call.verb == "delete" && call.kind == "accounts/cfd_tunnel.cloudflare";
const DROPS_RECORD: Which = |call| call.verb == "delete" && call.kind == "zones/dns_records.cloudflare";

/// Two sets of controllers, an organization for them, and Cloudflare.
struct Rivals {
    engine: Engine,
    id: String,
    cloudflare: stand_in::Cloudflare,
    /// In front of Cloudflare.
    gate: Faults,
    hand: Hand,
    controllers: [Controllers; 2],
}

impl Rivals {
    async fn start() -> anyhow::Result<Self> {
        let (engine, id) = (Engine::without_controllers().await?, fresh());
        let gate = Faults::new(cloudflare_or_kubernetes, &[(&id, "*")]);
        let cloudflare = stand_in::Cloudflare::start_behind(Some(gate.clone())).await?;
        let (clock, hand) = Clock::manual(jiff::Timestamp::now());
        let controllers = [run(&engine, &cloudflare, &clock)?, run(&engine, &cloudflare, &clock)?];
        Ok(Self { engine, id, cloudflare, gate, hand, controllers })
    }

    fn host(&self) -> String {
        format!("{}.{DOMAIN}", self.id)
    }

    /// Waits until so many calls are held back.
    async fn held(&self, calls: usize, what: &str) -> anyhow::Result<()> {
        eventually_for(PATIENCE, what, || async { Ok((self.gate.holding() == calls).then_some(())) })
            .await
            .with_context(|| format!("{} are held back; {:?}", self.gate.holding(), self.cloudflare.calls()))
    }

    /// Makes an organization, which the other process brings to work while the one is held back at a call.
    async fn active_while_one_waits(&self, stage: &'static str, call: Which) -> anyhow::Result<()> {
        self.gate.stage(stage);
        self.gate.hold(call);
        self.engine.organization(&self.id).await?;
        connectors_run(&self.engine, &self.id).await?;
        self.engine.organization_phase(&self.id, "Active").await?;
        self.held(1, "the one is still about to").await
    }

    /// So many tunnels and records there were, from moment to moment.
    fn was(&self, expected: &[(usize, usize)]) -> anyhow::Result<()> {
        let history = self.cloudflare.history();
        assert_eq!(counts(&history)?, expected, "{history:#?}");
        Ok(())
    }

    /// Waits until the organization is active and both processes have nothing more to do.
    async fn settled(&self) -> anyhow::Result<()> {
        connectors_run(&self.engine, &self.id).await?;
        self.engine.organization_phase(&self.id, "Active").await?;
        self.rest().await
    }

    /// Waits until nothing is left of the organization, at Cloudflare and on the engine, and both have nothing to do.
    async fn taken_back(&self) -> anyhow::Result<()> {
        self.rest().await?;
        let (tunnels, records) = (self.cloudflare.tunnels(), self.cloudflare.records());
        ensure!(tunnels.is_empty() && records.is_empty(), "{tunnels:?} {records:?}");
        let left = self.engine.labelled(&format!("platform.aphex/organization={}", self.id)).await?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    }

    async fn rest(&self) -> anyhow::Result<()> {
        let asked = || (self.engine.requests.writes(), self.cloudflare.calls().len());
        let seen = Mutex::new((asked(), 0));
        eventually_for(PATIENCE, "both are at rest", || async {
            let (mut seen, now) = (seen.lock().unwrap(), asked());
            *seen = if seen.0 == now { (now, seen.1 + 1) } else { (now, 0) };
            Ok((seen.1 > 60).then_some(()))
        })
        .await
    }

    async fn change(&self, patch: Value) -> anyhow::Result<()> {
        let organizations = self.engine.api::<Organization>(PLATFORM);
        organizations.patch(&self.id, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    async fn delete(&self) -> anyhow::Result<()> {
        let organizations = self.engine.api::<Organization>(PLATFORM);
        organizations.delete(&self.id, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn gone(&self) -> anyhow::Result<()> {
        let organizations = self.engine.api::<Organization>(PLATFORM);
        let gone = || async { Ok(organizations.get_opt(&self.id).await?.is_none().then_some(())) };
        eventually_for(PATIENCE, "the organization is gone", gone).await
    }

    /// Follows what is said of the organization until it is gone: phase and message, each once in a row.
    fn follow(&self) -> JoinHandle<anyhow::Result<Vec<(OrganizationPhase, String)>>> {
        let organizations = self.engine.api::<Organization>(PLATFORM);
        let only = WatchParams::default().fields(&format!("metadata.name={}", self.id));
        tokio::spawn(async move {
            let mut events = organizations.watch(&only, "0").await?.boxed();
            let mut said = Vec::new();
            while let Some(event) = events.next().await {
                match event? {
                    WatchEvent::Added(now) | WatchEvent::Modified(now) => {
                        said.extend(now.status.map(|status| (status.phase, status.message)));
                    }
                    WatchEvent::Deleted(_) => {
                        said.dedup();
                        return Ok(said);
                    }
                    _ => {}
                }
            }
            anyhow::bail!("the watch ended; it saw {said:?}")
        })
    }

    async fn finish(self) -> anyhow::Result<()> {
        for controllers in self.controllers {
            controllers.end().await?;
        }
        Ok(())
    }
}

fn run(engine: &Engine, cloudflare: &stand_in::Cloudflare, clock: &Clock) -> anyhow::Result<Controllers> {
    let token = Token::Value(Sensitive::new(cloudflare.token()));
    // It waits for an answer as long as in earnest: longer than calls are held back here.
    let connection = Connection { url: cloudflare.url(), ..Connection::new(token) };
    let client = Client::new(connection, clock.clone(), &Metrics::default())?;
    let tunnels = Cloudflare::new(client, Places::new(DOMAIN, None, None), clock.clone());
    Ok(engine.run_controllers_with(Settings::new(GATEWAY)?, clock.clone(), Arc::new(tunnels)))
}

/// Numbers of tunnels and of records at each moment; more than one of either is an error.
fn counts(history: &[Moment]) -> anyhow::Result<Vec<(usize, usize)>> {
    let counts: Vec<(usize, usize)> = history.iter().map(|m| (m.tunnels.len(), m.records.len())).collect();
    ensure!(counts.iter().all(|(tunnels, records)| *tunnels <= 1 && *records <= 1), "{history:#?}");
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_controllers_at_once_make_one_tunnel_and_one_name_and_leave_none() -> anyhow::Result<()> {
    let rivals = Rivals::start().await?;
    let said = rivals.follow();
    rivals.gate.hold(MAKES_TUNNEL);
    rivals.engine.organization(&rivals.id).await?;
    rivals.held(2, "both are about to make the tunnel").await?;
    rivals.gate.hold(MAKES_RECORD);
    rivals.held(2, "both are about to make the name").await?;
    rivals.gate.release();
    rivals.settled().await?;

    rivals.gate.hold(MAKES_RECORD);
    rivals.cloudflare.drop_records(&rivals.host());
    rivals.hand.advance(LATER);
    rivals.change(json!({ "spec": { "adminUsers": ["ann@acme.com"] } })).await?;
    rivals.held(2, "both are about to mend the name").await?;
    rivals.gate.release();
    rivals.settled().await?;

    rivals.gate.hold(DROPS_RECORD);
    rivals.delete().await?;
    rivals.held(2, "both are about to take back the name").await?;
    rivals.gate.hold(DROPS_TUNNEL);
    rivals.held(2, "both are about to take back the tunnel").await?;
    rivals.gate.release();
    rivals.gone().await?;
    rivals.rest().await?;

    // Made, named; the name taken away by hand, made again; given back.
    let expected = [(0, 0), (1, 0), (1, 1), (1, 0), (1, 1), (1, 0), (0, 0)];
    rivals.was(&expected)?;
    let said = said.await??;
    let mut phases: Vec<OrganizationPhase> = said.iter().map(|(phase, _)| *phase).collect();
    phases.dedup();
    let (pending, active) = (OrganizationPhase::Pending, OrganizationPhase::Active);
    assert_eq!(phases, [pending, active, pending], "{said:#?}");
    rivals.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_was_stopped_leaves_no_tunnel_of_an_organization_that_is_gone() -> anyhow::Result<()>
{
    let rivals = Rivals::start().await?;
    rivals
        .active_while_one_waits("made", |call| {
            MAKES_TUNNEL(call) && call.stage == "made" && call.occurrence == 1
        })
        .await?;
    rivals.delete().await?;
    rivals.gone().await?;
    assert!(rivals.cloudflare.tunnels().is_empty() && rivals.cloudflare.records().is_empty());
    rivals.gate.release();
    rivals.taken_back().await?;
    // One made it and took it back with everything else, and then the other did.
    let expected = [(0, 0), (1, 0), (1, 1), (1, 0), (0, 0), (1, 0), (0, 0)];
    rivals.was(&expected)?;
    rivals.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_was_stopped_leaves_no_name_of_an_organization_that_is_gone() -> anyhow::Result<()>
{
    let rivals = Rivals::start().await?;
    rivals
        .active_while_one_waits("named", |call| {
            MAKES_RECORD(call) && call.stage == "named" && call.occurrence == 1
        })
        .await?;
    rivals.delete().await?;
    rivals.gone().await?;
    rivals.gate.release();
    rivals.taken_back().await?;
    let expected = [(0, 0), (1, 0), (1, 1), (1, 0), (0, 0), (0, 1), (0, 0)];
    rivals.was(&expected)?;
    rivals.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_controller_that_was_stopped_makes_goes_to_a_later_organization_of_the_name()
-> anyhow::Result<()> {
    let rivals = Rivals::start().await?;
    rivals
        .active_while_one_waits("made", |call| {
            MAKES_TUNNEL(call) && call.stage == "made" && call.occurrence == 1
        })
        .await?;
    rivals.delete().await?;
    rivals.gone().await?;
    // The other is held as well, so that the one makes the tunnel of the second organization.
    rivals.gate.stage("again");
    rivals.gate.hold(|call| MAKES_TUNNEL(call) && (call.stage == "made" || call.occurrence == 1));
    rivals.engine.organization(&rivals.id).await?;
    rivals.held(2, "both are about to make a tunnel").await?;
    rivals.gate.hold(|call| MAKES_TUNNEL(call) && call.stage == "again");
    eventually("the one made it", || async { Ok((!rivals.cloudflare.tunnels().is_empty()).then_some(())) })
        .await?;
    rivals.gate.release();
    connectors_run(&rivals.engine, &rivals.id).await?;
    rivals.engine.organization_phase(&rivals.id, "Active").await?;
    rivals.settled().await?;
    let expected = [(0, 0), (1, 0), (1, 1), (1, 0), (0, 0), (1, 0), (1, 1)];
    rivals.was(&expected)?;
    rivals.delete().await?;
    rivals.gone().await?;
    assert!(rivals.cloudflare.tunnels().is_empty() && rivals.cloudflare.records().is_empty());
    rivals.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_was_stopped_makes_no_second_tunnel_and_takes_none_that_is_newer()
-> anyhow::Result<()> {
    let rivals = Rivals::start().await?;
    rivals.gate.stage("made");
    rivals.gate.hold(|call| MAKES_TUNNEL(call) && call.stage == "made" && call.occurrence == 1);
    rivals.engine.organization(&rivals.id).await?;
    eventually("the other made it", || async { Ok((!rivals.cloudflare.tunnels().is_empty()).then_some(())) })
        .await?;
    rivals.held(1, "the one is still about to").await?;
    connectors_run(&rivals.engine, &rivals.id).await?;
    rivals.engine.organization_phase(&rivals.id, "Active").await?;
    rivals.gate.release();
    rivals.settled().await?;
    let first = rivals.cloudflare.tunnels().pop().context("a tunnel")?;

    rivals.gate.stage("gone");
    rivals.gate.hold(|call| DROPS_TUNNEL(call) && call.stage == "gone" && call.occurrence == 1);
    rivals.delete().await?;
    rivals.gone().await?;
    rivals.held(1, "the one is still about to delete the tunnel").await?;
    rivals.engine.organization(&rivals.id).await?;
    connectors_run(&rivals.engine, &rivals.id).await?;
    rivals.engine.organization_phase(&rivals.id, "Active").await?;
    rivals.gate.release();
    rivals.settled().await?;
    let second = rivals.cloudflare.tunnels().pop().context("another tunnel")?;
    assert_ne!(first.id, second.id);
    let expected = [(0, 0), (1, 0), (1, 1), (1, 0), (0, 0), (1, 0), (1, 1)];
    rivals.was(&expected)?;

    rivals.delete().await?;
    rivals.gone().await?;
    assert!(rivals.cloudflare.tunnels().is_empty() && rivals.cloudflare.records().is_empty());
    rivals.finish().await
}
