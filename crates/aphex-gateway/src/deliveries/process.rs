//! One attempt at a Delivery: read, claim, evaluate, dispatch, publish the status.

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::Duration;

use aphex_api::delivery::{
    Delivery, DeliveryPhase, DeliveryStatus, DeliveryVerdict, TriggerResult, TriggerVerdict,
    listener_namespace,
};
use aphex_api::foreign::triggers::EventListener;
use aphex_runtime::errors;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use thiserror::Error;

use super::payload::{Payload, Text, UnpackError};
use super::queue::Work;
use super::verdict::{self, Outcome};
use super::{Deliveries, FIELD_MANAGER, LEASE, claim, made, object_name, payload};
use crate::cloudevents::{self, Told};
use crate::decision::{Asking, Case, Decision};
use crate::evaluate::Planned;
use crate::event::Event;
use crate::interceptors::Rejection;
use crate::sink::MAX_BODY;
use crate::weight::Taken;

/// After how long a Delivery is looked at again when the engine could not be asked about it.
const ENGINE_DOWN: Duration = Duration::from_secs(5);
/// How long the parts of a payload may take to read: all large ones wait for it.
const READ: Duration = Duration::from_secs(30);
/// How often a status is written again after somebody else wrote to the Delivery.
pub(super) const WRITES: usize = 3;
/// How often an event is decided anew while an object that its trigger names is not known: for some seconds, since watches of
/// different kinds may lag differently behind whoever applied them all.
const LOOKS: u32 = 4;

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
    #[error(
        "the engine dropped the status: the definition deliveries.aphex.io is that of an older release; apply \
         platform/crds of this one"
    )]
    Dropped,
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
        let outcome = tokio::select! {
            outcome = self.decide(&delivery, replay.as_deref()) => outcome,
            never = self.renew(&api, &delivery) => match never {},
        };
        let attempts = delivery.status.as_ref().map_or(1, |status| status.attempts);
        let now = self.clock.now();
        let status = verdict::status(&delivery, outcome, attempts, replay.clone(), began, now);
        let again = status.next_attempt_time.as_ref().map(|time| time.0);
        if let Some(status) = self.publish(&api, &delivery, status, replay.as_deref()).await? {
            self.report(&delivery, &status, now);
        }
        Ok(again)
    }

    /// Claims a Delivery that was read; else tells when to look again.
    async fn claim(
        &self,
        api: &Api<Delivery>,
        found: Delivery,
    ) -> Result<Result<Delivery, Option<Timestamp>>, AttemptError> {
        let now = self.clock.now();
        match claim::due(&found, &self.identity, self.started, now) {
            None => return Ok(Err(None)),
            Some(at) if at > now => return Ok(Err(Some(at))),
            Some(_) => {}
        }
        let patch = Patch::Merge(claim::patch(&found, &self.identity, now));
        match api.patch(&found.name_any(), &params(), &patch).await {
            Ok(claimed) => Ok(Ok(claimed)),
            // Somebody else was first, or changed it; the watch tells what became of it.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Err(None)),
            Err(error) => Err(AttemptError::Claim(Box::new(error))),
        }
    }

    /// Keeps a Delivery that is worked on, lease after lease, unless another replica has it.
    async fn renew(&self, api: &Api<Delivery>, delivery: &Delivery) -> Infallible {
        let mut there = Cow::Borrowed(delivery);
        loop {
            tokio::time::sleep(LEASE / 3).await;
            let name = there.name_any();
            let patch = Patch::Merge(claim::renewal(&there, &self.identity, self.clock.now()));
            let kept = match api.patch(&name, &params(), &patch).await {
                Err(kube::Error::Api(status)) if status.code == 409 => api.get_opt(&name).await,
                kept => kept.map(Some),
            };
            match kept {
                Ok(Some(found)) if is_open(&found, &self.identity) => there = Cow::Owned(found),
                // Decided, taken over, or gone: what comes of this attempt is looked at once it is done.
                Ok(_) => return std::future::pending().await,
                Err(error) => tracing::debug!(
                    delivery.name = %name, error = %errors::chain(&error), "a claim cannot be renewed now"
                ),
            }
        }
    }

    async fn decide(&self, delivery: &Delivery, replay: Option<&str>) -> Outcome {
        let (payload, _room) = match self.payload(delivery).await {
            Ok(read) => read,
            Err(error) if error.may_pass() => return Outcome::Later(errors::chain(&error)),
            Err(error) => return Outcome::Settled(DeliveryVerdict::Failed, errors::chain(&error)),
        };
        let case = Case::of(delivery, payload, replay, self.clock.now());
        match self.decider.decide_within(&case, Asking::Others).await {
            Some(decision) => self.carry_out(decision, delivery, &case.event, replay).await,
            None => Outcome::Later("the event could not be evaluated".to_owned()),
        }
    }

    /// The payload of a Delivery, once there is memory for it.
    async fn payload(&self, delivery: &Delivery) -> Result<(Payload, Taken), UnpackError> {
        let organization = listener_namespace(delivery);
        if payload::is_small(delivery) {
            let text = Text::unpack(&payload::text(&self.client, delivery).await?, payload::SMALL)?;
            let room = self.room.take(organization, text.json()).await;
            return Ok((text.read()?, room));
        }
        // Of large ones one is decompressed at a time: what its values take shows only then.
        let turn = self.room.turn(organization).await;
        let text = tokio::time::timeout(READ, payload::text(&self.client, delivery)).await;
        let text = Text::unpack(&text.map_err(|_| UnpackError::Late(READ))??, MAX_BODY)?;
        let room = turn.take(text.json()).await;
        Ok((text.read()?, room))
    }

    /// Does what was decided: creates what triggers ask for.
    pub(super) async fn carry_out(
        &self,
        decision: Decision,
        delivery: &Delivery,
        event: &Event,
        replay: Option<&str>,
    ) -> Outcome {
        let (listener, planned) = match decision {
            Decision::Settled(verdict, message) => return Outcome::Settled(verdict, message),
            Decision::Triggers(listener, planned) => (listener, planned),
        };
        let looked = delivery.status.as_ref().map_or(0, |status| status.attempts);
        let before = made::before(delivery, replay);
        let mut results = Vec::with_capacity(planned.len());
        for planned in planned {
            log_rejection(&planned, event, &listener);
            let known = made::of(before, &planned.result);
            if let Some(done) = known.filter(|known| made::is_done(known, &planned.result, replay)) {
                results.push(done.clone());
                continue;
            }
            let mut result = if planned.missing && looked < LOOKS {
                TriggerResult { verdict: TriggerVerdict::Retrying, ..planned.result }
            } else {
                self.dispatch(planned, known, &event.id).await
            };
            made::keep(&mut result, known);
            results.push(result);
        }
        Outcome::Triggers(results)
    }

    /// Creates what a trigger asks for, but for what is known to have been created.
    async fn dispatch(
        &self,
        planned: Planned,
        known: Option<&TriggerResult>,
        event_id: &str,
    ) -> TriggerResult {
        let mut result = planned.result;
        let mut created = 0;
        for resource in &planned.resources {
            if let Some(made) = made::object(known, resource) {
                result.created.push(made.clone());
                continue;
            }
            match self.dispatcher.create(resource, &planned.account, event_id).await {
                Ok(made) => {
                    result.created.push(made);
                    created += 1;
                }
                Err(error) => {
                    let retry = error.may_pass();
                    result.verdict = if retry { TriggerVerdict::Retrying } else { TriggerVerdict::Failed };
                    result.message = error.explain();
                    break;
                }
            }
        }
        self.metrics.created(created);
        result
    }

    pub(super) fn report(&self, delivery: &Delivery, status: &DeliveryStatus, now: Timestamp) {
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
        self.announce(delivery, status, received, now);
    }

    /// Tells of the verdict where the listener says, which nobody waits for.
    fn announce(
        &self,
        delivery: &Delivery,
        status: &DeliveryStatus,
        received: Timestamp,
        finished: Timestamp,
    ) {
        let namespace = listener_namespace(delivery);
        let listener = self.decider.listener(namespace, &delivery.spec.listener);
        let Some(listener) = listener.filter(|listener| listener.spec.cloud_event_uri().is_some()) else {
            return;
        };
        let fired = status.triggers.iter().filter(|trigger| trigger.verdict == TriggerVerdict::Created);
        let messages = cloudevents::messages(&Told {
            namespace,
            listener: &delivery.spec.listener,
            event_id: &object_name(&delivery.spec.delivery_id),
            headers: &delivery.spec.headers,
            received,
            finished,
            fired: fired.count(),
            failed: status.verdict == Some(DeliveryVerdict::Failed),
        });
        self.announcer.tell(&listener, messages);
    }

    /// Writes the status, with less in it if the engine does not take all; gives it back unless somebody else has decided.
    async fn publish(
        &self,
        api: &Api<Delivery>,
        delivery: &Delivery,
        mut status: DeliveryStatus,
        replay: Option<&str>,
    ) -> Result<Option<DeliveryStatus>, AttemptError> {
        let name = delivery.name_any();
        let mut there = Cow::Borrowed(delivery);
        let mut shortened = false;
        for _ in 0..WRITES {
            let patch = verdict::patch(&there, &status).map_err(AttemptError::Encode)?;
            match api.patch(&name, &params(), &Patch::Merge(patch)).await {
                Ok(made) if verdict::is_kept(&made, &status) => return Ok(Some(status)),
                Ok(_) => return Err(AttemptError::Dropped),
                Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(Some(status)),
                Err(kube::Error::Api(answer)) if answer.code == 409 => {
                    let found = api.get_opt(&name).await.map_err(|e| AttemptError::Read(Box::new(e)))?;
                    let Some(found) = found else { return Ok(Some(status)) };
                    if claim::is_late(&found, &self.identity, replay, status.verdict.is_some()) {
                        return Ok(None);
                    }
                    there = Cow::Owned(found);
                }
                Err(error) if verdict::is_too_much(&error) && !shortened => {
                    tracing::warn!(
                        delivery.name = %name, error = %errors::chain(&error),
                        "the engine does not take all that a verdict says; the least of it is written"
                    );
                    status = verdict::least(status);
                    shortened = true;
                }
                Err(error) => return Err(AttemptError::Publish(Box::new(error))),
            }
        }
        Ok(None)
    }
}

/// Whether an attempt may go on with a Delivery as it is now.
fn is_open(found: &Delivery, identity: &str) -> bool {
    let phase = found.status.as_ref().map(|status| status.phase);
    !matches!(phase, Some(DeliveryPhase::Done | DeliveryPhase::Failed))
        && !claim::is_anothers(found, identity)
}

pub(super) fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
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
