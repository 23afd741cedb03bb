//! The life of a Delivery: stored, claimed, evaluated, verdict; retention; replay.
//!
//! ```text
//! accept -> evaluate -> dispatch -> store: Done | Failed, or Pending while the engine does not take what a trigger asks for
//!    |        ^
//!  spool -> drain
//!
//! store -> Pending -> (claim: Processing) -> evaluate -> dispatch -> Done | Failed
//!             ^                                   |
//!             +---- next attempt, with back-off --+
//! ```
//!
//! Most events go the first way, which is `inline`; the second is for those whose triggers ask others, for large
//! payloads, and for what the first left open.
//! The replica that received an event works on it without a claim for one lease; a restarted process takes up its own
//! at once, any replica takes up another's when the lease is over. Two that work on the same Delivery create the same
//! names, so the second finds everything there. Submodules: `accept` and `drain` take in, `store` stores, `again` is for what comes again, `inline`, `claim` and `queue` say when, `process` what, `made` what not again, `verdict` the
//! outcome, `payload` the stored bytes and `parts` where large ones are, `same` what is the same event, `retention` and `leftovers` the end.

mod accept;
mod again;
mod claim;
mod drain;
mod inline;
mod leftovers;
mod made;
mod parts;
pub mod payload;
mod process;
mod queue;
mod retention;
mod same;
mod store;
mod told;
mod verdict;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aphex_api::delivery::{Delivery, SecretKeyRef};
use aphex_runtime::watches::Pauses;
use aphex_runtime::{Clock, Shutdown, errors};
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use crate::calls::Calls;
use crate::cloudevents::Announcer;
use crate::decision::Decider;
use crate::dispatch::Dispatcher;
use crate::inbox::Keep;
use crate::metrics::GatewayMetrics;
use crate::reach::Reach;
use crate::rehearsal;
use crate::report::Reporter;
use crate::secrets::SecretCache;
use crate::snapshot::Snapshot;
use crate::spool::Spool;
use crate::templates::hex;
use crate::weight::Room;
use leftovers::Leftovers;
use queue::{Key, Queue};
use retention::Index;
use told::Told;

pub use payload::{Mark, Payload, UnpackError, fetch as fetch_payload};
pub(crate) use same::{is_id_of, seed};
pub use store::StoreError;
pub use verdict::of as verdict_of;

/// Under which name the gateway writes.
pub const FIELD_MANAGER: &str = "aphex-gateway";
/// How long a claim stands, and how long an event is its receiver's: after that any replica takes it up. An attempt that
/// takes long renews it; should two replicas be at it all the same, the second finds everything there.
const LEASE: Duration = Duration::from_secs(10);
/// After which an event of this very process that nobody submitted is looked at (its sender was never answered).
const UNSUBMITTED: Duration = Duration::from_secs(5);
/// Deliveries evaluated at once.
const PARALLEL: usize = 64;
/// Longest id kept as it is.
const ID_MAX: usize = 63;

/// A verified event that is to be stored.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Namespace in which it is to be stored: the tenant's or the EventListener's.
    pub namespace: String,
    /// Namespace of the EventListener.
    pub listener_namespace: String,
    /// Name of the EventListener.
    pub listener: String,
    /// The id for the delivery: the sender's, or one made up.
    pub delivery_id: String,
    /// The event type; may be empty.
    pub event: String,
    /// Headers worth keeping.
    pub headers: BTreeMap<String, String>,
    /// Path and query.
    pub url: String,
    /// Address of the peer.
    pub source: String,
    /// The payload, parsed.
    pub body: Value,
    /// The payload as sent.
    pub json: Bytes,
    /// Secrets that signed it.
    pub verified_by: Vec<SecretKeyRef>,
    /// When it was received.
    pub received: Timestamp,
}

/// Everything that works on Deliveries.
pub struct Deliveries {
    client: Client,
    pub(crate) decider: Decider,
    pub(crate) dispatcher: Dispatcher,
    clock: Clock,
    identity: String,
    started: Timestamp,
    queue: Queue,
    index: Mutex<Index>,
    /// All Deliveries there are have been told of.
    listed: Notify,
    leftovers: Leftovers,
    room: Room,
    spool: Option<Spool>,
    reach: Reach,
    metrics: GatewayMetrics,
    announcer: Announcer,
    pub(crate) rehearsals: Semaphore,
}

/// What Deliveries are made with.
pub struct Parts {
    /// Works on the engine.
    pub client: Client,
    /// Triggers and all that they name.
    pub snapshot: Snapshot,
    /// Webhook secrets.
    pub secrets: SecretCache,
    /// Whom evaluation may call.
    pub calls: Calls,
    /// The time.
    pub clock: Clock,
    /// This replica's name: its own, and the same again after a restart.
    pub identity: String,
    /// Where events wait while the engine is away.
    pub spool: Option<Spool>,
    /// Whether the engine answers.
    pub reach: Reach,
    /// Which finished Deliveries are kept.
    pub keep: Keep,
    /// What is counted.
    pub metrics: GatewayMetrics,
    /// Tells on a listener that its address for CloudEvents is not called.
    pub reporter: Reporter,
    /// Ends what is sent of itself.
    pub shutdown: Shutdown,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Deliveries {
    /// Nothing is worked on before [`Deliveries::run`].
    pub fn new(parts: Parts) -> Self {
        let Parts { client, clock, identity, spool, reach, keep, metrics, .. } = parts;
        let decider = Decider::new(parts.snapshot, parts.secrets, parts.calls);
        Self {
            dispatcher: Dispatcher::new(client.clone()),
            client,
            announcer: Announcer::new(decider.caller(), parts.reporter, parts.shutdown),
            decider,
            started: clock.now(),
            clock,
            identity,
            queue: Queue::default(),
            index: Mutex::new(Index::keeping(keep)),
            listed: Notify::new(),
            leftovers: Leftovers::default(),
            room: Room::default(),
            spool,
            reach,
            metrics,
            rehearsals: Semaphore::new(rehearsal::PARALLEL),
        }
    }

    /// How many stored events of a listener's namespace nobody has begun with, though their time has come.
    pub fn backlog(&self, namespace: &str) -> usize {
        self.queue.ready(namespace)
    }

    /// Watches and works until shutdown.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let watching = Arc::clone(&self);
        let stop = shutdown.token();
        shutdown.spawn(async move { stop.run_until_cancelled(watching.watch()).await });
        let (expiring, stop) = (Arc::clone(&self), shutdown.token());
        shutdown.spawn(async move { stop.run_until_cancelled(expiring.expire()).await });
        let (clearing, stop) = (Arc::clone(&self), shutdown.token());
        shutdown.spawn(async move { stop.run_until_cancelled(clearing.clear()).await });
        if let Some(spool) = self.spool.clone() {
            let (draining, stop) = (Arc::clone(&self), shutdown.token());
            shutdown.spawn(async move { draining.drain(&spool, stop).await });
        }
        let free = Arc::new(Semaphore::new(PARALLEL));
        let stop = shutdown.token();
        loop {
            let Some(Ok(place)) = stop.run_until_cancelled(Arc::clone(&free).acquire_owned()).await else {
                return;
            };
            let Some(work) = stop.run_until_cancelled(self.queue.next()).await else { return };
            let working = Arc::clone(&self);
            shutdown.spawn(async move {
                let key = work.key.clone();
                let again = working.process(work).await;
                working.queue.finished(&key, again, working.clock.now());
                working.metrics.waiting(working.queue.len());
                drop(place);
            });
        }
    }

    /// Keeps queue and index current.
    async fn watch(&self) {
        let deliveries: Api<Told> = Api::all(self.client.clone());
        let events = watcher(deliveries, watcher::Config::default()).backoff(Pauses::default());
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(told) | watcher::Event::InitApply(told)) => {
                    self.seen(&told.delivery());
                }
                Ok(watcher::Event::Delete(told)) => {
                    let delivery = told.delivery();
                    self.queue.forget(&Key::of(&delivery));
                    self.index().remove(&delivery);
                    self.leftovers.tell(&delivery);
                }
                Ok(watcher::Event::Init) => self.index().begin(),
                Ok(watcher::Event::InitDone) => {
                    let gone = self.index().complete();
                    for parts in gone {
                        self.leftovers.tell_of(parts);
                    }
                    self.leftovers.listed();
                    self.listed.notify_one();
                }
                Err(error) => {
                    tracing::warn!(error = %errors::chain(&error), "watch on deliveries interrupted; resuming");
                }
            }
        }
    }

    fn seen(&self, delivery: &Delivery) {
        self.index().insert(delivery);
        let now = self.clock.now();
        match claim::due(delivery, &self.identity, self.started, now) {
            Some(at) => self.queue.schedule(delivery, at, now),
            None => self.queue.forget(&Key::of(delivery)),
        }
        self.metrics.waiting(self.queue.len());
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that serves as object name and label value: the sender's where it can, else one made of it.
pub fn object_name(id: &str) -> String {
    let lower = id.to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |c: char| c != '-';
    if lower.len() <= ID_MAX && lower.chars().all(plain) && lower.starts_with(ends) && lower.ends_with(ends) {
        lower
    } else {
        format!("delivery-{}", &hex(id)[..40])
    }
}

#[cfg(test)]
mod tests {
    use super::store::is_label_value;
    use super::*;

    #[test]
    fn ids_that_cannot_be_names_are_replaced() {
        let uuid = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
        assert_eq!(object_name(uuid), uuid);
        assert_eq!(object_name(&uuid.to_uppercase()), uuid);
        for odd in ["", "-a", "a/b", "a b", &"x".repeat(64)] {
            let name = object_name(odd);
            assert!(name.starts_with("delivery-") && is_label_value(&name), "{odd}");
        }
        assert_ne!(object_name("a/b"), object_name("a b"));
    }
}
