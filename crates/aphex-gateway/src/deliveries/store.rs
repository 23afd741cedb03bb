//! Storing an event as a Delivery: under which name, where, and what becomes of one that is there already.

use std::sync::Arc;
use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliverySpec, EVENT_LABEL, LISTENER_LABEL, REPOSITORY_LABEL};
use aphex_runtime::errors;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::PostParams;
use kube::core::Request;
use thiserror::Error;

use super::parts::PayloadParts;
use super::queue::Key;
use super::same::{own_id, same_event};
use super::told::Told;
use super::{Deliveries, FIELD_MANAGER, ID_MAX, Incoming, object_name, payload, verdict};
use crate::event::{Event, Facts};
use crate::spool::SpoolError;
use crate::templates::hex;

/// How often an event is stored anew whose name is taken by a Delivery that is gone when it is read.
const LOOKS: usize = 3;

/// How much a Delivery says of each fact of a payload: more than a name or ref of git has.
const FACT: usize = 1024;

/// What came of creating a Delivery.
enum Created {
    /// It is there, and everything that is left to do for it is under way.
    Made,
    /// A Delivery has the name.
    Taken,
    /// The parts of another payload have the names of its parts.
    OtherParts,
}

/// What became of an event under a name.
enum Stored {
    /// A Delivery of it is there.
    Here,
    /// The Delivery of the name has another payload under the same id.
    OtherPayload,
    /// The Delivery of the name is of another listener or secret.
    OtherEvent,
}

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
    /// That a Delivery which failed is to be tried again could not be written to it.
    #[error("cannot have Delivery {0} tried again")]
    Again(String, #[source] Box<kube::Error>),
    /// The Delivery that has the name goes whenever it is looked at.
    #[error("Delivery {0} is there, and gone when it is read")]
    Fleeting(String),
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
            // Parts lie beside the listener in any case, and what is to be tried again is there already.
            Self::Part(..)
            | Self::Again(..)
            | Self::Fleeting(_)
            | Self::Late(..)
            | Self::Pack(_)
            | Self::Taken(_)
            | Self::Spool(..) => false,
        }
    }
}

/// An event that is to be stored, as triggers see it and as it is kept.
#[derive(Clone, Copy)]
struct Arrival<'a> {
    incoming: &'a Incoming,
    event: &'a Arc<Event>,
    packed: &'a payload::Packed,
}

impl Deliveries {
    /// Stores an event, unless a Delivery of it is there already, and gives the event's id.
    pub(super) async fn store(&self, incoming: &Incoming, event: &Arc<Event>) -> Result<String, StoreError> {
        let packed = payload::pack(&incoming.json).map_err(StoreError::Pack)?;
        let arrival = Arrival { incoming, event, packed: &packed };
        if incoming.namespace == incoming.listener_namespace {
            return self.store_at(arrival).await;
        }
        match self.store_at(arrival).await {
            Err(error) if error.is_of_the_namespace() => {
                tracing::warn!(
                    namespace = %incoming.namespace, error = %errors::chain(&error),
                    "event is stored beside its listener, since the tenant's namespace does not take it"
                );
                let beside = Incoming { namespace: incoming.listener_namespace.clone(), ..incoming.clone() };
                self.store_at(Arrival { incoming: &beside, ..arrival }).await
            }
            stored => stored,
        }
    }

    async fn store_at(&self, arrival: Arrival<'_>) -> Result<String, StoreError> {
        if let Some(id) = self.store_as(arrival).await? {
            return Ok(id);
        }
        let Arrival { incoming, event, packed } = arrival;
        // Another event has this id: GitLab gives one to all that follow from each other. This one gets its own, the same
        // at each redelivery.
        let incoming = Incoming { delivery_id: own_id(incoming, &event.body), ..incoming.clone() };
        let id = object_name(&incoming.delivery_id);
        let event = Arc::new(Event { id: id.clone(), ..Event::clone(event) });
        self.store_as(Arrival { incoming: &incoming, event: &event, packed })
            .await?
            .ok_or(StoreError::Taken(id))
    }

    /// Stores an event under its id; nothing when that is an event's with another payload.
    async fn store_as(&self, arrival: Arrival<'_>) -> Result<Option<String>, StoreError> {
        let incoming = arrival.incoming;
        let id = object_name(&incoming.delivery_id);
        let api: Api<Delivery> = Api::namespaced(self.client.clone(), &incoming.namespace);
        // GitHub gives one event the same id at every webhook that it goes to, so the id alone may be taken by the same
        // event at another listener or for another secret; those get a name of their own, the same at each redelivery.
        let signers: Vec<String> =
            incoming.verified_by.iter().map(|s| format!("{}/{}", s.namespace, s.name)).collect();
        let other = hex(&format!("{id}/{}/{}", incoming.listener, signers.join(",")));
        for name in [id.clone(), format!("{}-{}", &id[..id.len().min(ID_MAX - 11)], &other[..10])] {
            match self.store_named(&api, &name, arrival).await? {
                Stored::Here => return Ok(Some(id)),
                Stored::OtherPayload => return Ok(None),
                Stored::OtherEvent => {}
            }
        }
        Err(StoreError::Taken(id))
    }

    /// Stores an event under a name, unless a Delivery has it.
    async fn store_named(
        &self,
        api: &Api<Delivery>,
        name: &str,
        arrival: Arrival<'_>,
    ) -> Result<Stored, StoreError> {
        for _ in 0..LOOKS {
            match self.create(api, name, arrival).await {
                Ok(Created::Made) => return Ok(Stored::Here),
                Ok(Created::OtherParts) => return Ok(Stored::OtherPayload),
                Ok(Created::Taken) => {}
                // A namespace that takes no more may have this one.
                Err(error) if error.is_of_the_namespace() => match api.get_metadata_opt(name).await {
                    Ok(Some(_)) => {}
                    _ => return Err(error),
                },
                Err(error) => return Err(error),
            }
            let there = api.get_opt(name).await;
            let there = there.map_err(|error| StoreError::Read(name.to_owned(), Box::new(error)))?;
            // Deleted between the two requests. What it was of nobody knows: the event is stored as if it had not been there.
            let Some(there) = there else { continue };
            if !same_event(&there, arrival.incoming) {
                return Ok(Stored::OtherEvent);
            }
            if !self.same_payload(&there, arrival.event, arrival.packed).await? {
                return Ok(Stored::OtherPayload);
            }
            if self.again(api, there, arrival.incoming.received).await? {
                return Ok(Stored::Here);
            }
        }
        Err(StoreError::Fleeting(name.to_owned()))
    }

    /// Creates the Delivery, decided already if that is possible.
    async fn create(
        &self,
        api: &Api<Delivery>,
        name: &str,
        Arrival { incoming, event, packed }: Arrival<'_>,
    ) -> Result<Created, StoreError> {
        let mut delivery = build(name, incoming, event, packed, &self.identity);
        let Some(parts) = PayloadParts::of(&delivery) else {
            if let Some(decided) = self.decide_at_once(&delivery, event, packed.mark).await {
                // A run that was deleted since must not be made again for an event that has its verdict.
                let free = if decided.makes_nothing() {
                    Some(true)
                } else {
                    api.get_metadata_opt(name).await.ok().map(|there| there.is_none())
                };
                match free {
                    Some(true) => delivery.status = self.do_at_once(decided, &delivery, event).await,
                    Some(false) => return Ok(Created::Taken),
                    None => {}
                }
            }
            let Some(made) = self.post(api, delivery).await? else { return Ok(Created::Taken) };
            self.take_up(&made);
            return Ok(Created::Made);
        };
        // A part that exists is either a redelivery's or of another event: only reading the Delivery can tell. And where the
        // namespace takes no Delivery, no part is stored in vain.
        let taken = api.get_metadata_opt(name).await;
        if taken.map_err(|e| StoreError::Read(name.to_owned(), Box::new(e)))?.is_some() {
            return Ok(Created::Taken);
        }
        let stored = parts.store(&self.client, packed, self.clock.now()).await;
        if !stored.map_err(|error| StoreError::Part(name.to_owned(), Box::new(error)))? {
            return Ok(Created::OtherParts);
        }
        let Some(made) = self.post(api, delivery).await? else { return Ok(Created::Taken) };
        if let Err(error) = parts.adopt(&self.client, &made, packed, self.clock.now()).await {
            // They are found by their names as well.
            tracing::warn!(delivery.name = %name, error = %errors::chain(&error), "payload parts are not tied to their Delivery");
        }
        self.take_up(&made);
        Ok(Created::Made)
    }

    /// Stores a Delivery, with less of its verdict if the engine does not take all of it; nothing when the name is taken.
    async fn post(
        &self,
        api: &Api<Delivery>,
        mut delivery: Delivery,
    ) -> Result<Option<Delivery>, StoreError> {
        let key = Key::of(&delivery);
        let mut answer = self.client.request::<Told>(create(api, &delivery)?).await;
        if let Err(error) = &answer
            && verdict::is_too_much(error)
            && let Some(status) = delivery.status.take()
        {
            tracing::warn!(
                delivery.name = %key.name, delivery.namespace = %key.namespace, error = %errors::chain(error),
                "the engine does not take a Delivery with all that its verdict says; it is stored with the least"
            );
            delivery.status = Some(verdict::least(status));
            answer = self.client.request::<Told>(create(api, &delivery)?).await;
        }
        let made = match answer {
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
    let fact = |fact: &str| {
        let mut fact = fact.to_owned();
        verdict::cut(&mut fact, FACT);
        fact
    };
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
            repository: fact(facts.repository),
            git_ref: fact(&facts.git_ref),
            revision: fact(facts.revision),
            sender: fact(facts.sender),
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

pub(super) fn is_label_value(value: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&value.len())
        && value.chars().all(inner)
        && value.starts_with(ends)
        && value.ends_with(ends)
}
