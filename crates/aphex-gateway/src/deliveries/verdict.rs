//! From what triggers made of an event to the Delivery's status; pure.

mod bounds;

use std::time::Duration;

use aphex_api::delivery::{
    CreatedObject, Delivery, DeliveryPhase, DeliveryStatus, DeliveryVerdict, RunConcurrency,
    SignatureVerdict, TriggerResult, TriggerVerdict,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use serde_json::Value;

use super::claim::later;
use super::made;
use crate::metrics::reason;

pub(super) use bounds::{cut, least};

/// How long the engine is asked again; GitHub itself keeps a delivery for three days.
const GIVE_UP: Duration = Duration::from_hours(24);
/// The same for replays, whose events may be old when they begin.
const MANY: u32 = 300;
/// The fewest attempts before that: an event may come from the spool a day old, or a clock may be set forward.
const FEW: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_secs(1);
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Status fields that a merge patch must clear when they are absent.
const OPTIONAL: [&str; 12] = [
    "verdict",
    "message",
    "signature",
    "created",
    "triggers",
    "holder",
    "leaseUntil",
    "nextAttemptTime",
    "startedTime",
    "completedTime",
    "observedReplay",
    "conditions",
];

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// Decided before any trigger was asked.
    Settled(DeliveryVerdict, String),
    /// What each trigger made of it.
    Triggers(Vec<TriggerResult>),
    /// The attempt could not be made; a later one may.
    Later(String),
}

/// The status after an attempt.
pub(super) fn status(
    delivery: &Delivery,
    outcome: Outcome,
    attempts: u32,
    replay: Option<String>,
    began: Timestamp,
    now: Timestamp,
) -> DeliveryStatus {
    let received = delivery.spec.received_time.as_ref().map_or(now, |time| time.0);
    let old =
        if replay.is_some() { attempts >= MANY } else { attempts >= FEW && now >= later(received, GIVE_UP) };
    // Triggers that nobody asked this time may have made something before.
    let made = || {
        let before = made::before(delivery, replay.as_deref()).iter();
        before.filter(|trigger| !trigger.created.is_empty()).cloned().collect()
    };
    let (verdict, mut message, mut triggers) = match outcome {
        Outcome::Settled(verdict, message) => (Some(verdict), message, judge(made(), true).2),
        Outcome::Triggers(triggers) => judge(triggers, old),
        Outcome::Later(message) => (old.then_some(DeliveryVerdict::Failed), message, judge(made(), old).2),
    };
    bounds::message(&mut message);
    bounds::triggers(&mut triggers);
    let phase = match verdict {
        None => DeliveryPhase::Pending,
        Some(DeliveryVerdict::Failed) => DeliveryPhase::Failed,
        Some(_) => DeliveryPhase::Done,
    };
    let generation = next_generation(delivery);
    let before = delivery.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    DeliveryStatus {
        phase,
        verdict,
        conditions: vec![ready(before, verdict, &message, generation, now)],
        message,
        signature: Some(if delivery.spec.verified_by.is_empty() {
            SignatureVerdict::Unsigned
        } else {
            SignatureVerdict::Valid
        }),
        created: triggers.iter().flat_map(|trigger| trigger.created.clone()).collect(),
        triggers,
        attempts,
        holder: None,
        lease_until: None,
        next_attempt_time: verdict.is_none().then(|| MicroTime(later(now, wait(attempts)))),
        started_time: Some(MicroTime(began)),
        completed_time: verdict.is_some().then_some(MicroTime(now)),
        observed_replay: if verdict.is_some() { replay } else { None },
        observed_generation: generation,
    }
}

/// The status of a Delivery that failed and is to be tried again, with all attempts before it; what it made stays in it.
pub(super) fn anew(delivery: &Delivery, now: Timestamp) -> DeliveryStatus {
    let before = delivery.status.clone().unwrap_or_default();
    let message = "its sender sent it again".to_owned();
    DeliveryStatus {
        phase: DeliveryPhase::Pending,
        verdict: None,
        conditions: vec![ready(&before.conditions, None, &message, next_generation(delivery), now)],
        message,
        attempts: 0,
        holder: None,
        lease_until: None,
        next_attempt_time: Some(MicroTime(now)),
        completed_time: None,
        ..before
    }
}

/// The verdict on an event by what its triggers made of it, and the sentence that goes with it; none while one is to be tried again.
pub fn of(triggers: &[TriggerResult]) -> (Option<DeliveryVerdict>, String) {
    let (verdict, message, _) = judge(triggers.to_vec(), false);
    (verdict, message)
}

fn judge(
    mut triggers: Vec<TriggerResult>,
    old: bool,
) -> (Option<DeliveryVerdict>, String, Vec<TriggerResult>) {
    if old {
        for trigger in triggers.iter_mut().filter(|trigger| trigger.verdict == TriggerVerdict::Retrying) {
            trigger.verdict = TriggerVerdict::Failed;
        }
    }
    let first = |verdict| triggers.iter().find(|trigger| trigger.verdict == verdict);
    let sentence = |trigger: &TriggerResult| format!("{}: {}", trigger.name, trigger.message);
    let (verdict, message) = if let Some(trigger) = first(TriggerVerdict::Retrying) {
        (None, sentence(trigger))
    } else if let Some(trigger) = first(TriggerVerdict::Failed) {
        (Some(DeliveryVerdict::Failed), sentence(trigger))
    } else if first(TriggerVerdict::Created).is_some() {
        let created: Vec<String> =
            triggers.iter().flat_map(|trigger| trigger.created.iter().map(title)).collect();
        (Some(DeliveryVerdict::Created), format!("created {}", created.join(", ")))
    } else if let Some(trigger) = first(TriggerVerdict::NotWanted) {
        (Some(DeliveryVerdict::NotWanted), sentence(trigger))
    } else {
        let message = "the listener has no trigger for the secret that signed the event";
        (Some(DeliveryVerdict::NoTrigger), message.to_owned())
    };
    (verdict, message, triggers)
}

fn title(object: &CreatedObject) -> String {
    match &object.namespace {
        Some(namespace) => format!("{} {namespace}/{}", object.kind, object.name),
        None => format!("{} {}", object.kind, object.name),
    }
}

fn ready(
    before: &[Condition],
    verdict: Option<DeliveryVerdict>,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> Condition {
    let status = match verdict {
        None => "Unknown",
        Some(DeliveryVerdict::Failed) => "False",
        Some(_) => "True",
    };
    let same = before.iter().find(|condition| condition.type_ == "Ready" && condition.status == status);
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Condition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: verdict.map_or("Retrying", reason).to_owned(),
        message: message.to_owned(),
        last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        observed_generation: Some(generation),
    }
}

/// Doubles with each attempt.
fn wait(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

/// The generation of the object that the status is written into: without a status subresource each write makes a new one.
fn next_generation(delivery: &Delivery) -> i64 {
    delivery.metadata.generation.unwrap_or_default().saturating_add(1)
}

/// Whether the engine refuses an object for what is in it, which may be its status.
pub(super) fn is_too_much(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 413 | 422))
}

/// Whether the engine stored a status that was written to it.
pub(super) fn is_kept(stored: &Delivery, status: &DeliveryStatus) -> bool {
    stored.status.as_ref().is_some_and(|kept| (kept.phase, kept.verdict) == (status.phase, status.verdict))
}

/// Keeps what the controllers have written about the same runs: they say it once, and the gateway may know less.
fn carry(delivery: &Delivery, status: &mut DeliveryStatus) {
    let Some(before) = &delivery.status else { return };
    let of_triggers = before.triggers.iter().flat_map(|trigger| &trigger.created);
    let known: Vec<&CreatedObject> =
        before.created.iter().chain(of_triggers).filter(|object| object.concurrency.is_some()).collect();
    let again = status.triggers.iter_mut().flat_map(|trigger| &mut trigger.created);
    for object in status.created.iter_mut().chain(again) {
        let same = known.iter().find(|same| same.is_same(object));
        // That a run waits is the gateway's own word, which it may know better by now.
        if let Some(same) = same
            .filter(|same| object.concurrency.is_none() || same.concurrency != Some(RunConcurrency::WAITING))
        {
            object.concurrency.clone_from(&same.concurrency);
        }
    }
}

/// The status as a merge patch of one version of the Delivery; what is absent is cleared.
pub(super) fn patch(delivery: &Delivery, status: &DeliveryStatus) -> serde_json::Result<Value> {
    let mut status = status.clone();
    carry(delivery, &mut status);
    // It may have been made for an earlier version than it is written to.
    let generation = next_generation(delivery);
    status.observed_generation = generation;
    for condition in &mut status.conditions {
        condition.observed_generation = Some(generation);
    }
    let mut value = serde_json::to_value(&status)?;
    if let Some(fields) = value.as_object_mut() {
        for field in OPTIONAL {
            fields.entry(field).or_insert(Value::Null);
        }
    }
    Ok(serde_json::json!({
        "metadata": { "resourceVersion": delivery.metadata.resource_version },
        "status": value,
    }))
}

#[cfg(test)]
mod tests;
