//! One fault at a time, at every call that a controller makes to the engine: afterwards everything is as without it.
//!
//! The calls are those of recordings of undisturbed lives: an organization with a binding and a developer's Pipeline, from
//! creation over a change to deletion; a tenant that stands alone, with runs and a knowledge base; an organization behind a
//! tunnel. So a call that a controller begins to make is covered by itself. Usually one call of each verb and kind meets one of
//! the faults; with `APHEX_FAULTS=all` every call meets every one. `write` in the same
//! variable writes what came of it to docs/faults.md; `APHEX_FAULTS_ONLY` takes the cells whose description has a text.

#[path = "faults/cells.rs"]
mod cells;
#[path = "faults/cloudflare.rs"]
mod cloudflare;
#[path = "faults/life.rs"]
mod life;
#[path = "faults/matrix.rs"]
mod matrix;
#[path = "faults/refusals.rs"]
mod refusals;
#[path = "faults/rival_tunnels.rs"]
mod rival_tunnels;
#[path = "faults/rivals.rs"]
mod rivals;
#[path = "faults/snapshot.rs"]
mod snapshot;
#[path = "faults/table.rs"]
mod table;

use std::sync::Arc;
use std::time::Duration;

use aphex_controllers::context::{Context, Pace};
use aphex_controllers::{GitPolicy, GitSettings, Settings, tunnels};
use aphex_runtime::{Clock, Metrics, Shutdown};
use aphex_testkit::faults::Faults;
use kube::Client;
use tokio::task::JoinHandle;

use crate::engine::GATEWAY;

/// Quick to try again, so that a fault costs little; the slow resync stays, for it may not be what mends things.
fn pace() -> Pace {
    Pace {
        wait: Duration::from_secs(1),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(200),
        answer: Duration::from_secs(2),
        ..Pace::default()
    }
}

fn context(client: Client, clock: &Clock) -> anyhow::Result<Arc<Context>> {
    let tunnels = Arc::new(tunnels::Local::new(GATEWAY));
    // The git server of these tests is on this machine. If that is too busy to answer, it is soon asked again.
    let policy = GitPolicy { hosts: None, allow_private: true };
    let git = GitSettings { policy, interval: Duration::from_secs(20) };
    let settings = Settings { git, ..Settings::new(GATEWAY)? };
    let context = Context::new(client, settings, clock.clone(), tunnels, &Metrics::default());
    Ok(Arc::new(context.with_pace(pace())))
}

/// Controllers in a process of their own, as far as tests go: a fault can kill it, and then it starts anew.
struct Process {
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Process {
    fn start(account: &Client, faults: &Faults, clock: &Clock) -> anyhow::Result<Self> {
        let (client, faults, shutdown) = (faults.client(account), faults.clone(), Shutdown::new());
        let mut next = context(client.clone(), clock)?;
        let (until, clock) = (shutdown.clone(), clock.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = aphex_controllers::run_with(Arc::clone(&next), &until) => return,
                    // Whatever was under way is dropped where it is.
                    () = faults.killed() => {}
                }
                let Ok(context) = context(client.clone(), &clock) else { return };
                next = context;
            }
        });
        Ok(Self { shutdown, task })
    }

    /// Ends it as a signal does.
    async fn stop(self) {
        self.shutdown.trigger();
        let _ = self.task.await;
    }
}
