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
//! names, so the second finds everything there. Submodules: `accept` and `drain` take in, `inline`, `claim` and `queue` say when, `process` what, `verdict` the
//! outcome, `payload` the stored bytes and `parts` where large ones are, `same` what is the same event, `retention` and `leftovers` the end.

mod accept;
mod claim;
mod drain;
mod inline;
mod leftovers;
mod parts;
pub mod payload;
mod process;
mod queue;
mod retention;
mod same;
mod told;
mod verdict;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aphex_api::delivery::{
    Delivery, DeliveryPhase, DeliverySpec, EVENT_LABEL, LISTENER_LABEL, REPOSITORY_LABEL, SecretKeyRef,
};
use aphex_runtime::{Clock, Shutdown, errors};
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::core::Request;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::calls::Calls;
use crate::cloudevents::Announcer;
use crate::decision::Decider;
use crate::dispatch::Dispatcher;
use crate::event::{Event, Facts};
use crate::inbox::Keep;
use crate::metrics::GatewayMetrics;
use crate::reach::Reach;
use crate::rehearsal;
use crate::report::Reporter;
use crate::secrets::SecretCache;
use crate::snapshot::Snapshot;
use crate::spool::{Spool, SpoolError};
use crate::templates::hex;
use leftovers::Leftovers;
use parts::PayloadParts;
use queue::{Key, Queue};
use retention::Index;
use same::{own_id, same_event};
use told::Told;

pub use payload::{Payload, UnpackError, fetch as fetch_payload};
pub use verdict::of as verdict_of;

/// Under which name the gateway writes.
pub const FIELD_MANAGER: &str = "aphex-gateway";
/// How long a claim stands, and how long an event is its receiver's: after that any replica takes it up. Far more than
/// an attempt takes; should one take longer, the second does the same once more, which creates nothing.
const LEASE: Duration = Duration::from_secs(10);
/// After which an event of this very process that nobody submitted is looked at (its sender was never answered).
const UNSUBMITTED: Duration = Duration::from_secs(5);
/// Deliveries evaluated at once.
const PARALLEL: usize = 64;
/// How often retention looks at ages.
const SWEEP: Duration = Duration::from_mins(1);
/// Deliveries deleted at once: retention is in no hurry.
const DELETIONS: usize = 4;
/// Longest id kept as it is.
const ID_MAX: usize = 63;

/// A Delivery could not be stored.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The payload could not be packed.
    #[error("cannot compress the payload")]
    Pack(#[source] std::io::Error),
    /// A part of a large payload could not be stored.
    #[error("cannot store a part of the payload of Delivery {0}")]
    Part(String, #[source] Box<kube::Error>),
    /// The engine did not take it.
    #[error("cannot create Delivery {0}")]
    Create(String, #[source] Box<kube::Error>),
    /// The Delivery that has the name could not be read.
    #[error("cannot read Delivery {0}")]
    Read(String, #[source] Box<kube::Error>),
    /// The engine did not answer in time.
    #[error("the engine took longer than {1:?} to store Delivery {0}")]
    Late(String, Duration),
    /// The engine is away, and the disk cannot take the event either.
    #[error("the engine is away, and Delivery {0} cannot be kept on disk")]
    Spool(String, #[source] SpoolError),
    /// Other deliveries have all names that this one could get.
    #[error("the name {0} is taken")]
    Taken(String),
}

impl StoreError {
    /// Whether the namespace does not take it: it is not there, or on its way out, or its quota or the gateway's rights end there.
    fn is_of_the_namespace(&self) -> bool {
        match self {
            Self::Create(_, source) | Self::Read(_, source) => {
                matches!(source.as_ref(), kube::Error::Api(status) if matches!(status.code, 403 | 404 | 422))
            }
            // Parts lie beside the listener in any case.
            Self::Part(..) | Self::Late(..) | Self::Pack(_) | Self::Taken(_) | Self::Spool(..) => false,
        }
    }
}

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
    leftovers: Leftovers,
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
            leftovers: Leftovers::default(),
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

    /// Stores an event, unless a Delivery of it is there already, and gives the event's id.
    async fn store(&self, incoming: &Incoming, event: &Arc<Event>) -> Result<String, StoreError> {
        let packed = payload::pack(&incoming.json).map_err(StoreError::Pack)?;
        if incoming.namespace == incoming.listener_namespace {
            return self.store_at(incoming, event, &packed).await;
        }
        match self.store_at(incoming, event, &packed).await {
            Err(error) if error.is_of_the_namespace() => {
                tracing::warn!(
                    namespace = %incoming.namespace, error = %errors::chain(&error),
                    "event is stored beside its listener, since the tenant's namespace does not take it"
                );
                let beside = Incoming { namespace: incoming.listener_namespace.clone(), ..incoming.clone() };
                self.store_at(&beside, event, &packed).await
            }
            stored => stored,
        }
    }

    async fn store_at(
        &self,
        incoming: &Incoming,
        event: &Arc<Event>,
        packed: &payload::Packed,
    ) -> Result<String, StoreError> {
        if let Some(id) = self.store_as(incoming, event, packed).await? {
            return Ok(id);
        }
        // Another event has this id: GitLab gives one to all that follow from each other. This one gets its own, the same
        // at each redelivery.
        let incoming = Incoming { delivery_id: own_id(incoming, &event.body), ..incoming.clone() };
        let id = object_name(&incoming.delivery_id);
        let event = Arc::new(Event { id: id.clone(), ..Event::clone(event) });
        self.store_as(&incoming, &event, packed).await?.ok_or(StoreError::Taken(id))
    }

    /// Stores an event under its id; nothing when that is an event's with another payload.
    async fn store_as(
        &self,
        incoming: &Incoming,
        event: &Arc<Event>,
        packed: &payload::Packed,
    ) -> Result<Option<String>, StoreError> {
        let id = object_name(&incoming.delivery_id);
        let api: Api<Delivery> = Api::namespaced(self.client.clone(), &incoming.namespace);
        // GitHub gives one event the same id at every webhook that it goes to, so the id alone may be taken by the same
        // event at another listener or for another secret; those get a name of their own, the same at each redelivery.
        let signers: Vec<String> =
            incoming.verified_by.iter().map(|s| format!("{}/{}", s.namespace, s.name)).collect();
        let other = hex(&format!("{id}/{}/{}", incoming.listener, signers.join(",")));
        for name in [id.clone(), format!("{}-{}", &id[..id.len().min(ID_MAX - 11)], &other[..10])] {
            match self.create(&api, &name, incoming, event, packed).await {
                Ok(true) => return Ok(Some(id)),
                Ok(false) => {}
                // A namespace that takes no more may have this one.
                Err(error) if error.is_of_the_namespace() => match api.get_metadata_opt(&name).await {
                    Ok(Some(_)) => {}
                    _ => return Err(error),
                },
                Err(error) => return Err(error),
            }
            let there = api.get_opt(&name).await;
            let there = there.map_err(|error| StoreError::Read(name.clone(), Box::new(error)))?;
            // Gone between the two requests: retention took it, so it had its verdict.
            let Some(there) = there else { return Ok(Some(id)) };
            if same_event(&there, incoming) {
                if !self.same_payload(&there, event, packed).await? {
                    return Ok(None);
                }
                self.again(&there);
                return Ok(Some(id));
            }
        }
        Err(StoreError::Taken(id))
    }

    /// Creates the Delivery, decided already if that is possible; false when the name is taken.
    async fn create(
        &self,
        api: &Api<Delivery>,
        name: &str,
        incoming: &Incoming,
        event: &Arc<Event>,
        packed: &payload::Packed,
    ) -> Result<bool, StoreError> {
        let mut delivery = build(name, incoming, event, packed, &self.identity);
        let Some(parts) = PayloadParts::of(&delivery) else {
            if let Some(decided) = self.decide_at_once(&delivery, event).await {
                // A run that was deleted since must not be made again for an event that has its verdict.
                let free = if decided.makes_nothing() {
                    Some(true)
                } else {
                    api.get_metadata_opt(name).await.ok().map(|there| there.is_none())
                };
                match free {
                    Some(true) => delivery.status = self.do_at_once(decided, &delivery, event).await,
                    Some(false) => return Ok(false),
                    None => {}
                }
            }
            let made = self.post(api, delivery).await?;
            return Ok(made.inspect(|made| self.take_up(made)).is_some());
        };
        // A part that exists is either a redelivery's or of another event: only reading the Delivery can tell. And where the
        // namespace takes no Delivery, no part is stored in vain.
        let taken = api.get_metadata_opt(name).await;
        if taken.map_err(|e| StoreError::Read(name.to_owned(), Box::new(e)))?.is_some() {
            return Ok(false);
        }
        let stored = parts.store(&self.client, packed, self.clock.now()).await;
        stored.map_err(|error| StoreError::Part(name.to_owned(), Box::new(error)))?;
        let Some(made) = self.post(api, delivery).await? else { return Ok(false) };
        if let Err(error) = parts.adopt(&self.client, &made, packed, self.clock.now()).await {
            // They are found by their names as well.
            tracing::warn!(delivery.name = %name, error = %errors::chain(&error), "payload parts are not tied to their Delivery");
        }
        self.take_up(&made);
        Ok(true)
    }

    /// Stores a Delivery; nothing when the name is taken.
    async fn post(&self, api: &Api<Delivery>, delivery: Delivery) -> Result<Option<Delivery>, StoreError> {
        let key = Key::of(&delivery);
        let made = match self.client.request::<Told>(create(api, &delivery)?).await {
            Ok(told) => {
                if !told.finds_payload_of(&delivery) {
                    tracing::error!(
                        delivery.name = %key.name, delivery.namespace = %key.namespace,
                        "the engine dropped spec.payloadDigest, so the event can be decided once and not replayed: the \
                         definition deliveries.aphex.io is that of an older release; apply platform/crds of this one"
                    );
                }
                told.stored(delivery)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => return Ok(None),
            Err(error) => return Err(StoreError::Create(key.name, Box::new(error))),
        };
        tracing::debug!(delivery.name = %key.name, delivery.namespace = %key.namespace, "event stored");
        Ok(Some(made))
    }

    /// Sees to it that what is left to do for a stored Delivery is done.
    fn take_up(&self, made: &Delivery) {
        match &made.status {
            Some(status) => {
                self.report(made, status, self.clock.now());
                // The watch tells the same a moment later, when it is not interrupted.
                self.seen(made);
            }
            None => self.queue.submit(made.clone()),
        }
    }

    /// The same event came again: nothing to do, unless it failed, for then its sender asks for another try.
    fn again(&self, there: &Delivery) {
        self.metrics.duplicate();
        if there.status.as_ref().is_some_and(|status| status.phase == DeliveryPhase::Failed) {
            let now = self.clock.now();
            self.queue.schedule(there, now, now);
        }
    }

    /// Watches and works until shutdown.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let watching = Arc::clone(&self);
        let stop = shutdown.token();
        shutdown.spawn(async move { stop.run_until_cancelled(watching.watch()).await });
        let sweeping = Arc::clone(&self);
        let stop = shutdown.token();
        shutdown.spawn(async move {
            let mut tick = tokio::time::interval(SWEEP);
            while stop.run_until_cancelled(tick.tick()).await.is_some() {
                sweeping.sweep().await;
            }
        });
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
        let events = watcher(deliveries, watcher::Config::default()).default_backoff();
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
                Ok(watcher::Event::Init) => self.index().clear(),
                Ok(watcher::Event::InitDone) => {
                    self.leftovers.listed();
                    self.sweep().await;
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

    /// Deletes what retention does not keep.
    async fn sweep(&self) {
        let expired = self.index().expired(self.clock.now());
        futures::stream::iter(expired)
            .for_each_concurrent(DELETIONS, |key| async move {
                match retention::delete(&self.client, &key).await {
                    Ok(()) => {
                        tracing::debug!(delivery.name = %key.name, delivery.namespace = %key.namespace, "delivery expired");
                    }
                    Err(error) => {
                        tracing::warn!(
                            delivery.name = %key.name, delivery.namespace = %key.namespace,
                            error = %errors::chain(&error), "expired delivery cannot be deleted"
                        );
                    }
                }
            })
            .await;
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request that stores a Delivery.
fn create(api: &Api<Delivery>, delivery: &Delivery) -> Result<http::Request<Vec<u8>>, StoreError> {
    let name = || delivery.metadata.name.clone().unwrap_or_default();
    let failed = |error| StoreError::Create(name(), Box::new(error));
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let body = serde_json::to_vec(delivery).map_err(|error| failed(kube::Error::SerdeError(error)))?;
    let request = Request::new(api.resource_url()).create(&params, body);
    request.map_err(|error| failed(kube::Error::BuildRequest(error)))
}

fn build(
    name: &str,
    incoming: &Incoming,
    event: &Event,
    packed: &payload::Packed,
    identity: &str,
) -> Delivery {
    let facts = Facts::of(&event.kind, &event.body);
    let beside = incoming.namespace == incoming.listener_namespace;
    // Of a payload whose parts are in another namespace, they have all.
    let apart = !beside && !packed.rest.is_empty();
    let parts = u32::try_from(packed.rest.len() + usize::from(apart)).unwrap_or(u32::MAX);
    let elsewhere = if beside { String::new() } else { incoming.listener_namespace.clone() };
    let labels = [
        (LISTENER_LABEL, incoming.listener.clone()),
        (EVENT_LABEL, incoming.event.clone()),
        (REPOSITORY_LABEL, facts.repository.replace('/', ".")),
    ];
    let mut delivery = Delivery::new(
        name,
        DeliverySpec {
            listener: incoming.listener.clone(),
            listener_namespace: elsewhere,
            delivery_id: incoming.delivery_id.clone(),
            event: incoming.event.clone(),
            repository: facts.repository,
            git_ref: facts.git_ref,
            revision: facts.revision,
            sender: facts.sender,
            request: incoming.url.clone(),
            source: incoming.source.clone(),
            headers: incoming.headers.clone(),
            payload: if apart { String::new() } else { packed.first.clone() },
            payload_parts: parts,
            payload_digest: if apart { packed.digest() } else { String::new() },
            verified_by: incoming.verified_by.clone(),
            received_by: identity.to_owned(),
            received_time: Some(MicroTime(incoming.received)),
        },
    );
    delivery.metadata.namespace = Some(incoming.namespace.clone());
    let labels = labels.into_iter().filter(|(_, value)| is_label_value(value));
    delivery.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value)).collect());
    delivery
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

fn is_label_value(value: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&value.len())
        && value.chars().all(inner)
        && value.starts_with(ends)
        && value.ends_with(ends)
}

#[cfg(test)]
mod tests {
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
