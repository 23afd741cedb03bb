//! What a listener's triggers make of an event: the one face of evaluation.
//!
//! The gateway decides about Deliveries with it, the command line about events that were never sent and about triggers
//! that are not applied yet. [`evaluate`] is pure and cannot wait, so a [`Decider`] begins it again whenever it asked for a
//! Secret or for a service's answer that was not there yet. Nothing here writes: [`crate::dispatch`] does.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliveryVerdict, SecretKeyRef, listener_namespace};
use aphex_api::foreign::triggers::{EVENT_POLICY_ANNOTATION, EventListener};
use jiff::Timestamp;
use kube::ResourceExt as _;
use secrecy::SecretSlice;

use crate::calls::{Caller, Calls};
use crate::deliveries::{Incoming, Mark, Payload, object_name, seed};
use crate::evaluate::{Evaluation, Planned, accepts_unsigned, evaluate};
use crate::event::{self, Event};
use crate::interceptors::cel::Programs;
use crate::interceptors::outside::{Outside, Question, Response};
use crate::pace::Pace;
use crate::secrets::SecretCache;
use crate::sequence;
use crate::snapshot::Snapshot;

/// How long a Secret that an expression compares with is believed.
const SECRET_KEPT: Duration = Duration::from_secs(30);
/// How often evaluation begins again because it asked for a Secret that had not been read, or for an answer of a service.
const ROUNDS: usize = 64;
/// What a service answers that is not asked; a trigger that needs the answer is not decided, and says so.
pub const NOT_ASKED: &str = "services are not asked without --allow-calls";

/// An event at a listener.
#[derive(Debug, Clone)]
pub struct Case {
    /// Namespace of the listener.
    pub listener_namespace: String,
    /// Name of the listener.
    pub listener: String,
    /// Namespace of the event's Delivery.
    pub kept_in: String,
    /// The event.
    pub event: Arc<Event>,
    /// Secrets that its sender knows.
    pub verified: Vec<SecretKeyRef>,
    /// What makes two evaluations ask for the same objects.
    pub seed: String,
}

impl Case {
    /// The event that a Delivery keeps, or a replay of it.
    pub fn of(delivery: &Delivery, payload: Payload, replay: Option<&str>, now: Timestamp) -> Self {
        let mark = payload.mark;
        Self::at(delivery, Arc::new(Self::event(delivery, payload, now)), mark, replay)
    }

    /// The event that a Delivery keeps.
    pub(crate) fn event(delivery: &Delivery, payload: Payload, now: Timestamp) -> Event {
        let spec = &delivery.spec;
        Event {
            id: object_name(&spec.delivery_id),
            kind: spec.event.clone(),
            headers: spec.headers.clone(),
            body: payload.body,
            raw: payload.raw,
            url: spec.request.clone(),
            received: spec.received_time.as_ref().map_or(now, |time| time.0),
        }
    }

    /// A Delivery, or a replay of it, whose event has been read.
    pub(crate) fn at(delivery: &Delivery, event: Arc<Event>, mark: Mark, replay: Option<&str>) -> Self {
        let spec = &delivery.spec;
        let seed = seed(delivery, &event.body, mark);
        Self {
            seed: replay.map(|replay| format!("{seed}/{replay}")).unwrap_or(seed),
            listener: spec.listener.clone(),
            verified: spec.verified_by.clone(),
            event,
            listener_namespace: listener_namespace(delivery).to_owned(),
            kept_in: delivery.namespace().unwrap_or_default(),
        }
    }

    /// The seed at this listener. Elsewhere each secret has triggers of its own; where all of them are asked, each has names.
    fn seed_at(&self, listener: &EventListener) -> Cow<'_, str> {
        if !accepts_unsigned(listener) || self.verified.is_empty() {
            return Cow::Borrowed(&self.seed);
        }
        let signers = self.verified.iter().map(|signer| format!("/{}/{}", signer.namespace, signer.name));
        Cow::Owned(std::iter::once(self.seed.clone()).chain(signers).collect())
    }
}

/// Whom evaluation may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Nobody: what this process has in memory has to do.
    Nobody,
    /// The engine for Secrets, services, GitHub.
    Others,
}

/// What becomes of an event.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Decided before any trigger was asked.
    Settled(DeliveryVerdict, String),
    /// What each trigger of this listener makes of it.
    Triggers(Arc<EventListener>, Vec<Planned>),
}

/// Decides; cheap to clone.
#[derive(Debug, Clone)]
pub struct Decider {
    snapshot: Snapshot,
    secrets: SecretCache,
    caller: Arc<Caller>,
    calls: bool,
    cel: Arc<Programs>,
    pace: Pace,
}

impl Decider {
    /// Decides by the triggers in the snapshot, with these Secrets.
    pub fn new(snapshot: Snapshot, secrets: SecretCache, calls: Calls) -> Self {
        let caller = Arc::new(Caller::new(calls, secrets.clone()));
        Self { snapshot, secrets, caller, calls: true, cel: Arc::default(), pace: Pace::default() }
    }

    /// The same without asking anybody: what a trigger wants to know of a service, it is told that nobody was asked.
    #[must_use]
    pub fn without_calls(self) -> Self {
        Self { calls: false, ..self }
    }

    /// Whether there is such a listener.
    pub(crate) fn knows(&self, namespace: &str, listener: &str) -> bool {
        self.listener(namespace, listener).is_some()
    }

    /// A listener as it is now.
    pub(crate) fn listener(&self, namespace: &str, listener: &str) -> Option<Arc<EventListener>> {
        self.snapshot.listener(namespace, listener)
    }

    /// Namespaces of listeners that listen for more than their own, such as an organization's for those of its tenants.
    pub(crate) fn namespaces_of_shared_listeners(&self) -> BTreeSet<String> {
        let all = self.snapshot.every_listener();
        let shared = all.iter().filter(|listener| !listener.spec.namespace_selector.match_names.is_empty());
        shared.filter_map(|listener| listener.namespace()).collect()
    }

    /// Who calls out.
    pub(crate) fn caller(&self) -> Arc<Caller> {
        Arc::clone(&self.caller)
    }

    /// What an event has to be in order with, if anything: see [`sequence`].
    pub(crate) fn sequence(&self, incoming: &Incoming, event: &Event) -> Option<String> {
        let listener = self.snapshot.listener(&incoming.listener_namespace, &incoming.listener)?;
        sequence::of(&listener, &self.snapshot, &incoming.verified_by, event)
    }

    /// Decides about an event.
    pub async fn decide(&self, case: &Case) -> Decision {
        let failed = || "the event could not be evaluated: this is a fault of the gateway".to_owned();
        let decided = self.decide_within(case, Asking::Others).await;
        decided.unwrap_or_else(|| Decision::Settled(DeliveryVerdict::Failed, failed()))
    }

    /// Decides about an event; nothing when somebody would have to be asked who may not be, or it went wrong here.
    pub(crate) async fn decide_within(&self, case: &Case, asking: Asking) -> Option<Decision> {
        let Some(listener) = self.snapshot.listener(&case.listener_namespace, &case.listener) else {
            let message = format!("EventListener {} does not exist any more", case.listener);
            return Some(Decision::Settled(DeliveryVerdict::NoTrigger, message));
        };
        let plain =
            listener.annotations().get(EVENT_POLICY_ANNOTATION).is_some_and(|policy| policy == "none");
        if let Some((verdict, message)) = event::settled(&case.event, plain) {
            return Some(Decision::Settled(verdict, message));
        }
        let planned = self.evaluate(&listener, case, asking).await?;
        Some(Decision::Triggers(listener, planned))
    }

    /// Evaluates where it keeps nobody else waiting, after getting the Secrets and answers that it turns out to want.
    async fn evaluate(
        &self,
        listener: &Arc<EventListener>,
        case: &Case,
        asking: Asking,
    ) -> Option<Vec<Planned>> {
        let mut planned = Vec::new();
        let mut answers = Arc::default();
        let place = (case.listener_namespace.clone(), case.listener.clone());
        let weight = case.event.raw.len();
        for _ in 0..ROUNDS {
            let asked = Arc::new(Asked {
                cache: self.secrets.clone(),
                answers: Arc::clone(&answers),
                secrets: Mutex::default(),
                questions: Mutex::default(),
            });
            let (snapshot, cel, outside) = (self.snapshot.clone(), Arc::clone(&self.cel), Arc::clone(&asked));
            let (listener, case, caller) = (Arc::clone(listener), case.clone(), Arc::clone(&self.caller));
            let run = move || {
                evaluate(&Evaluation {
                    snapshot: &snapshot,
                    listener: &listener,
                    kept_in: &case.kept_in,
                    event: &case.event,
                    verified: &case.verified,
                    outside,
                    github_api: caller.github_api(),
                    cel: &cel,
                    seed: &case.seed_at(&listener),
                })
            };
            planned = self.pace.run(&place, weight, run).await?;
            let (secrets, questions) = asked.open();
            if asking == Asking::Nobody {
                return (secrets.is_empty() && questions.is_empty()).then_some(planned);
            }
            // A Secret that cannot be read makes its trigger fail, which the verdict shows.
            let read = !secrets.is_empty()
                && self.secrets.fetch(&secrets, SECRET_KEPT).await.is_ok()
                && secrets.iter().any(|secret| self.secrets.current(secret).is_some());
            if questions.is_empty() && !read {
                break;
            }
            let mut known: Answers = (*answers).clone();
            known.extend(self.ask(questions).await);
            answers = Arc::new(known);
        }
        Some(planned)
    }

    async fn ask(&self, questions: Vec<Question>) -> Answers {
        if self.calls {
            return self.caller.ask(questions).await;
        }
        questions.into_iter().map(|question| (question, Err(NOT_ASKED.to_owned()))).collect()
    }
}

type Answers = HashMap<Question, Result<Response, String>>;

/// What is known when evaluation begins; remembers what else it asked for.
struct Asked {
    cache: SecretCache,
    answers: Arc<Answers>,
    secrets: Mutex<BTreeSet<SecretKeyRef>>,
    questions: Mutex<HashSet<Question>>,
}

impl Asked {
    /// What had no answer.
    fn open(&self) -> (Vec<SecretKeyRef>, Vec<Question>) {
        let secrets = std::mem::take(&mut *self.secrets.lock().unwrap_or_else(PoisonError::into_inner));
        let questions = std::mem::take(&mut *self.questions.lock().unwrap_or_else(PoisonError::into_inner));
        (secrets.into_iter().collect(), questions.into_iter().collect())
    }
}

impl Outside for Asked {
    fn secret(&self, secret: &SecretKeyRef) -> Option<SecretSlice<u8>> {
        let value = self.cache.current(secret);
        if value.is_none() {
            self.secrets.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.clone());
        }
        value
    }

    fn answer(&self, question: &Question) -> Option<Result<Response, String>> {
        let answer = self.answers.get(question).cloned();
        if answer.is_none() {
            self.questions.lock().unwrap_or_else(PoisonError::into_inner).insert(question.clone());
        }
        answer
    }
}
