//! One attempt at a Delivery: read, claim, evaluate, dispatch, publish the status.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aphex_api::delivery::{
    Delivery, DeliveryPhase, DeliveryStatus, DeliveryVerdict, SecretKeyRef, TriggerResult, TriggerVerdict,
};
use aphex_api::foreign::triggers::{EVENT_POLICY_ANNOTATION, EventListener};
use aphex_runtime::errors;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use thiserror::Error;

use super::queue::Work;
use super::verdict::{self, Outcome};
use super::{Deliveries, FIELD_MANAGER, claim, object_name, payload};
use crate::evaluate::{Evaluation, Planned, evaluate};
use crate::event::{self, Event};
use crate::interceptors::Rejection;
use crate::interceptors::outside::{Outside, Question, Response};
use crate::secrets::SecretCache;

/// After how long a Delivery is looked at again when the engine could not be asked about it.
const ENGINE_DOWN: Duration = Duration::from_secs(5);
/// How long a Secret that an expression compares with is believed.
const SECRET_KEPT: Duration = Duration::from_secs(30);
/// How often evaluation begins again because it asked for a Secret that had not been read, or for an answer of a service.
const ROUNDS: usize = 64;
/// How often a status is written again after somebody else wrote to the Delivery.
const WRITES: usize = 3;

/// An attempt could not be made.
#[derive(Debug, Error)]
enum AttemptError {
    #[error("cannot read the Delivery")]
    Read(#[source] Box<kube::Error>),
    #[error("cannot claim the Delivery")]
    Claim(#[source] Box<kube::Error>),
    #[error("cannot write the status as JSON")]
    Encode(#[source] serde_json::Error),
    #[error("cannot publish the status")]
    Publish(#[source] Box<kube::Error>),
}

impl Deliveries {
    /// Works on a Delivery; gives when to look at it again, if that is known now.
    pub(super) async fn process(&self, work: Work) -> Option<Timestamp> {
        let key = work.key.clone();
        match self.attempt(work).await {
            Ok(again) => again,
            Err(error) => {
                tracing::warn!(
                    delivery.name = %key.name, delivery.namespace = %key.namespace, error = %errors::chain(&error),
                    "delivery waits"
                );
                Some(claim::later(self.clock.now(), ENGINE_DOWN))
            }
        }
    }

    async fn attempt(&self, work: Work) -> Result<Option<Timestamp>, AttemptError> {
        let api: Api<Delivery> = Api::namespaced(self.client.clone(), &work.key.namespace);
        let delivery = if let Some(delivery) = work.fresh {
            *delivery
        } else {
            let found = api.get_opt(&work.key.name).await.map_err(|e| AttemptError::Read(Box::new(e)))?;
            let Some(found) = found else { return Ok(None) };
            match self.claim(&api, found).await? {
                Ok(claimed) => claimed,
                Err(again) => return Ok(again),
            }
        };
        let began = self.clock.now();
        let replay = claim::replay(&delivery);
        let outcome = self.decide(&delivery, replay.as_deref()).await;
        let attempts = delivery.status.as_ref().map_or(1, |status| status.attempts);
        let now = self.clock.now();
        let status = verdict::status(&delivery, outcome, attempts, replay, began, now);
        self.report(&delivery, &status, now);
        let again = status.next_attempt_time.as_ref().map(|time| time.0);
        self.publish(&api, delivery, &status).await?;
        Ok(again)
    }

    /// Claims a Delivery that was read; else tells when to look again.
    async fn claim(
        &self,
        api: &Api<Delivery>,
        found: Delivery,
    ) -> Result<Result<Delivery, Option<Timestamp>>, AttemptError> {
        let now = self.clock.now();
        let retried = found.status.as_ref().is_some_and(|status| status.phase == DeliveryPhase::Failed);
        match claim::due(&found, &self.identity, self.started, now) {
            // A failed Delivery is in the queue only because its sender sent it again.
            None if retried => {}
            None => return Ok(Err(None)),
            Some(at) if at > now => return Ok(Err(Some(at))),
            Some(_) => {}
        }
        let patch = Patch::Merge(claim::patch(&found, &self.identity, now));
        match api.patch_status(&found.name_any(), &params(), &patch).await {
            Ok(claimed) => Ok(Ok(claimed)),
            // Somebody else was first, or changed it; the watch tells what became of it.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Err(None)),
            Err(error) => Err(AttemptError::Claim(Box::new(error))),
        }
    }

    async fn decide(&self, delivery: &Delivery, replay: Option<&str>) -> Outcome {
        let spec = &delivery.spec;
        let namespace = delivery.namespace().unwrap_or_default();
        let payload = match payload::fetch(&self.client, delivery).await {
            Ok(payload) => payload,
            Err(error) if error.may_pass() => return Outcome::Later(errors::chain(&error)),
            Err(error) => return Outcome::Settled(DeliveryVerdict::Failed, errors::chain(&error)),
        };
        let event = Event {
            id: object_name(&spec.delivery_id),
            kind: spec.event.clone(),
            headers: spec.headers.clone(),
            body: payload.body,
            raw: payload.raw,
            url: spec.request.clone(),
            received: spec.received_time.as_ref().map_or_else(|| self.clock.now(), |time| time.0),
        };
        let Some(listener) = self.snapshot.listener(&namespace, &spec.listener) else {
            let message = format!("EventListener {} does not exist any more", spec.listener);
            return Outcome::Settled(DeliveryVerdict::NoTrigger, message);
        };
        let plain =
            listener.annotations().get(EVENT_POLICY_ANNOTATION).is_some_and(|policy| policy == "none");
        if let Some((verdict, message)) = event::settled(&event, plain) {
            return Outcome::Settled(verdict, message);
        }
        let mut seed = format!("{namespace}/{}", delivery.name_any());
        if let Some(replay) = replay {
            seed = format!("{seed}/{replay}");
        }
        let event = Arc::new(event);
        let planned = self.evaluate(&listener, &event, &spec.verified_by, &seed).await;
        let mut results = Vec::with_capacity(planned.len());
        for planned in planned {
            log_rejection(&planned, &event, &listener);
            results.push(match done_before(delivery, replay, &planned.result) {
                Some(result) => result,
                None => self.dispatch(planned, &event.id).await,
            });
        }
        Outcome::Triggers(results)
    }

    /// Evaluates on a thread that may be busy, after getting the Secrets and answers that it turns out to want.
    async fn evaluate(
        &self,
        listener: &Arc<EventListener>,
        event: &Arc<Event>,
        verified: &[SecretKeyRef],
        seed: &str,
    ) -> Vec<Planned> {
        let mut planned = Vec::new();
        let mut answers = Arc::default();
        for _ in 0..ROUNDS {
            let asked = Arc::new(Asked {
                cache: self.secrets.clone(),
                answers: Arc::clone(&answers),
                secrets: Mutex::default(),
                questions: Mutex::default(),
            });
            let (snapshot, cel, outside) = (self.snapshot.clone(), Arc::clone(&self.cel), Arc::clone(&asked));
            let (listener, event, caller) =
                (Arc::clone(listener), Arc::clone(event), Arc::clone(&self.caller));
            let (verified, seed) = (verified.to_vec(), seed.to_owned());
            let run = move || {
                evaluate(&Evaluation {
                    snapshot: &snapshot,
                    listener: &listener,
                    event: &event,
                    verified: &verified,
                    outside,
                    github_api: caller.github_api(),
                    cel: &cel,
                    seed: &seed,
                })
            };
            planned = tokio::task::spawn_blocking(run).await.unwrap_or_default();
            let (secrets, questions) = asked.open();
            // A Secret that cannot be read makes its trigger fail, which the verdict shows.
            let read = !secrets.is_empty()
                && self.secrets.fetch(&secrets, SECRET_KEPT).await.is_ok()
                && secrets.iter().any(|secret| self.secrets.current(secret).is_some());
            if questions.is_empty() && !read {
                break;
            }
            let mut known: Answers = (*answers).clone();
            known.extend(self.caller.ask(questions).await);
            answers = Arc::new(known);
        }
        planned
    }

    async fn dispatch(&self, planned: Planned, event_id: &str) -> TriggerResult {
        let mut result = planned.result;
        for resource in &planned.resources {
            match self.dispatcher.create(resource, &planned.account, event_id).await {
                Ok(created) => result.created.push(created),
                Err(error) => {
                    let retry = error.may_pass();
                    result.verdict = if retry { TriggerVerdict::Retrying } else { TriggerVerdict::Failed };
                    result.message = error.explain();
                    break;
                }
            }
        }
        self.metrics.created(result.created.len());
        result
    }

    fn report(&self, delivery: &Delivery, status: &DeliveryStatus, now: Timestamp) {
        let (name, namespace) = (delivery.name_any(), delivery.namespace().unwrap_or_default());
        let Some(verdict) = status.verdict else {
            self.metrics.retried();
            tracing::warn!(
                delivery.name = %name, delivery.namespace = %namespace, attempts = status.attempts,
                reason = %status.message, "delivery will be tried again"
            );
            return;
        };
        let received = delivery.spec.received_time.as_ref().map_or(now, |time| time.0);
        self.metrics.finished(verdict, now.duration_since(received).as_secs_f64());
        tracing::info!(
            delivery.name = %name, delivery.namespace = %namespace, event.type = %delivery.spec.event,
            repository = %delivery.spec.repository, verdict = ?verdict, reason = %status.message, "delivery finished"
        );
    }

    async fn publish(
        &self,
        api: &Api<Delivery>,
        mut delivery: Delivery,
        status: &DeliveryStatus,
    ) -> Result<(), AttemptError> {
        let name = delivery.name_any();
        for _ in 0..WRITES {
            let patch = verdict::patch(&delivery, status).map_err(AttemptError::Encode)?;
            match api.patch_status(&name, &params(), &Patch::Merge(patch)).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(()),
                Err(kube::Error::Api(answer)) if answer.code == 409 => {
                    let found = api.get_opt(&name).await.map_err(|e| AttemptError::Read(Box::new(e)))?;
                    let Some(found) = found else { return Ok(()) };
                    if self.lost(&found) {
                        return Ok(());
                    }
                    delivery = found;
                }
                Err(error) => return Err(AttemptError::Publish(Box::new(error))),
            }
        }
        Ok(())
    }

    /// Whether another replica has taken the Delivery over.
    fn lost(&self, found: &Delivery) -> bool {
        found.status.as_ref().is_some_and(|status| match &status.holder {
            Some(holder) => *holder != self.identity,
            None => status.verdict.is_some(),
        })
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
    fn secret(&self, secret: &SecretKeyRef) -> Option<secrecy::SecretSlice<u8>> {
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

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// What an earlier attempt of the same evaluation has created: it is not made again, even if somebody deleted it.
fn done_before(delivery: &Delivery, replay: Option<&str>, planned: &TriggerResult) -> Option<TriggerResult> {
    let status = delivery.status.as_ref()?;
    // Between a replay's attempts the status does not name it yet, so only first evaluations are remembered.
    if replay.is_some() || planned.verdict != TriggerVerdict::Created {
        return None;
    }
    let same = |before: &&TriggerResult| {
        (&before.namespace, &before.name, &before.group)
            == (&planned.namespace, &planned.name, &planned.group)
            && before.verdict == TriggerVerdict::Created
    };
    status.triggers.iter().find(same).cloned()
}

/// The log lines of the published API for events that are not wanted.
fn log_rejection(planned: &Planned, event: &Event, listener: &EventListener) {
    let name = listener.name_any();
    let namespace = listener.namespace().unwrap_or_default();
    let trigger = &planned.result.name;
    let git_ref = event.body["ref"].as_str().unwrap_or_default();
    match &planned.rejection {
        None => {}
        Some(Rejection::EventType) => tracing::warn!(
            eventType = %event.kind, eventListener = %name, namespace = %namespace, trigger = %trigger,
            "Event type not supported"
        ),
        Some(Rejection::Filter(filter))
            if !git_ref.is_empty() && (filter.contains("ref") || filter.contains("branch")) =>
        {
            tracing::info!(
                r#ref = %git_ref, eventListener = %name, namespace = %namespace, trigger = %trigger,
                "Branch filter not matched"
            );
        }
        Some(Rejection::Filter(_) | Rejection::Other) => tracing::info!(
            eventListener = %name, namespace = %namespace, trigger = %trigger, reason = %planned.result.message,
            "Event not wanted"
        ),
    }
}
