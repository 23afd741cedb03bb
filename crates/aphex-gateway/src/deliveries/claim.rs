//! Who may work on a Delivery when.

use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliveryPhase, DeliveryStatus, REPLAY_ANNOTATION};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};

use super::verdict::LONGEST_WAIT;
use super::{LEASE, UNSUBMITTED};

/// How far the clocks of replicas may be apart.
const SKEW: Duration = Duration::from_secs(5);

/// The replay that is asked for, if any ever was.
pub(super) fn replay(delivery: &Delivery) -> Option<String> {
    delivery.metadata.annotations.as_ref()?.get(REPLAY_ANNOTATION).cloned()
}

/// Whether a replay is asked for that no verdict answers yet.
pub(super) fn is_replay_open(delivery: &Delivery) -> bool {
    let observed = delivery.status.as_ref().and_then(|status| status.observed_replay.as_deref());
    replay(delivery).is_some_and(|replay| observed != Some(replay.as_str()))
}

/// When this replica may begin; nothing when there is nothing left to do.
///
/// `started` is when this process began: what the same replica held before belongs to a process that is gone.
/// Times that lie further ahead than anything waits were written by a clock that has been set back since: they count as past.
pub(super) fn due(
    delivery: &Delivery,
    identity: &str,
    started: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let ahead = |at: Timestamp, most: Duration| if at > later(now, most) { now } else { at };
    let received = delivery.spec.received_time.as_ref().map_or(now, |time| time.0);
    let own = |since: Timestamp| if since < started { now } else { later(since, UNSUBMITTED) };
    let Some(status) = &delivery.status else {
        if received > later(now, SKEW) {
            return Some(now);
        }
        let mine = delivery.spec.received_by == identity;
        return Some(if mine { own(received) } else { later(received, LEASE) });
    };
    let time = |time: &Option<MicroTime>| time.as_ref().map(|time| time.0);
    match status.phase {
        DeliveryPhase::Done | DeliveryPhase::Failed => is_replay_open(delivery).then_some(now),
        DeliveryPhase::Processing => {
            let lease = time(&status.lease_until).unwrap_or(now);
            let begun = time(&status.started_time).unwrap_or(received);
            let gone = status.holder.as_deref() == Some(identity) && begun < started;
            Some(if gone { now } else { ahead(lease, LEASE + SKEW) })
        }
        DeliveryPhase::Pending => {
            Some(ahead(time(&status.next_attempt_time).unwrap_or(now), LONGEST_WAIT + SKEW))
        }
    }
}

/// The patch of the status that claims a Delivery; refused by the engine when anybody wrote to it meanwhile.
pub(super) fn patch(delivery: &Delivery, identity: &str, now: Timestamp) -> Value {
    // What has its verdict begins anew with a replay, and has all its attempts before it.
    let open =
        |status: &&DeliveryStatus| !matches!(status.phase, DeliveryPhase::Done | DeliveryPhase::Failed);
    let attempts = delivery.status.as_ref().filter(open).map_or(0, |status| status.attempts);
    held(delivery, identity, now, &MicroTime(now), attempts.saturating_add(1))
}

/// The patch that keeps a Delivery for one lease more while an attempt goes on; it claims one that nobody has claimed.
pub(super) fn renewal(delivery: &Delivery, identity: &str, now: Timestamp) -> Value {
    let claimed = delivery.status.as_ref().filter(|status| status.phase == DeliveryPhase::Processing);
    let started = claimed.and_then(|status| status.started_time.clone()).unwrap_or(MicroTime(now));
    let attempts = delivery.status.as_ref().map_or(1, |status| status.attempts);
    held(delivery, identity, now, &started, attempts)
}

fn held(delivery: &Delivery, identity: &str, now: Timestamp, started: &MicroTime, attempts: u32) -> Value {
    json!({
        "metadata": { "resourceVersion": delivery.metadata.resource_version },
        "status": {
            "phase": DeliveryPhase::Processing,
            "holder": identity,
            "leaseUntil": MicroTime(later(now, LEASE)),
            "startedTime": started,
            "nextAttemptTime": null,
            "attempts": attempts,
        },
    })
}

/// Whether another replica has claimed it.
pub(super) fn is_anothers(delivery: &Delivery, identity: &str) -> bool {
    let holder = delivery.status.as_ref().and_then(|status| status.holder.as_deref());
    holder.is_some_and(|holder| holder != identity)
}

/// Whether an attempt for this replay comes too late for what is there now: the same was decided, or something later, or
/// another replica is at it, which does not matter to a verdict: it would come to the same, and then find this one.
pub(super) fn is_late(there: &Delivery, identity: &str, replay: Option<&str>, decided: bool) -> bool {
    let Some(status) = &there.status else { return false };
    let same = self::replay(there).as_deref() == replay;
    match status.phase {
        DeliveryPhase::Done | DeliveryPhase::Failed => !(same && is_replay_open(there)),
        DeliveryPhase::Processing | DeliveryPhase::Pending => {
            is_anothers(there, identity) && !(same && decided)
        }
    }
}

pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use aphex_api::delivery::DeliverySpec;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn micro(second: i64) -> MicroTime {
        MicroTime(at(second))
    }

    fn delivery(status: Option<DeliveryStatus>) -> Delivery {
        let spec = DeliverySpec {
            received_by: "one".into(),
            received_time: Some(micro(1000)),
            ..DeliverySpec::default()
        };
        Delivery { status, ..Delivery::new("d", spec) }
    }

    fn due_for(identity: &str, started: i64, status: Option<DeliveryStatus>) -> Option<i64> {
        due(&delivery(status), identity, at(started), at(1010)).map(Timestamp::as_second)
    }

    #[test]
    fn an_event_belongs_to_its_receiver_for_one_lease() {
        assert_eq!(due_for("two", 900, None), Some(1010));
        assert_eq!(
            due_for("one", 900, None),
            Some(1005),
            "the sink submits it itself, unless it died doing so"
        );
        assert_eq!(due_for("one", 1005, None), Some(1010), "the process that received it is gone");
    }

    #[test]
    fn a_claim_stands_until_its_lease_ends_or_its_process_is_gone() {
        let claimed = DeliveryStatus {
            phase: DeliveryPhase::Processing,
            holder: Some("one".into()),
            started_time: Some(micro(1001)),
            lease_until: Some(micro(1011)),
            ..DeliveryStatus::default()
        };
        assert_eq!(due_for("two", 900, Some(claimed.clone())), Some(1011));
        assert_eq!(due_for("one", 900, Some(claimed.clone())), Some(1011));
        assert_eq!(due_for("one", 1005, Some(claimed)), Some(1010));
    }

    #[test]
    fn a_failed_attempt_waits_for_the_next() {
        let waiting = DeliveryStatus { next_attempt_time: Some(micro(1020)), ..DeliveryStatus::default() };
        assert_eq!(due_for("two", 900, Some(waiting)), Some(1020));
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nothing_waiting() {
        // It is 1010; everything was written when the clock said 5000.
        let mut left = delivery(None);
        left.spec.received_time = Some(micro(5000));
        for identity in ["one", "two"] {
            assert_eq!(due(&left, identity, at(900), at(1010)), Some(at(1010)), "{identity}");
        }
        let claimed = DeliveryStatus {
            phase: DeliveryPhase::Processing,
            holder: Some("one".into()),
            started_time: Some(micro(5000)),
            lease_until: Some(micro(5010)),
            ..DeliveryStatus::default()
        };
        assert_eq!(due_for("two", 900, Some(claimed)), Some(1010));
        let waiting = DeliveryStatus { next_attempt_time: Some(micro(5000)), ..DeliveryStatus::default() };
        assert_eq!(due_for("two", 900, Some(waiting)), Some(1010));
    }

    #[test]
    fn a_claim_is_renewed_and_what_nobody_claimed_is_claimed_by_it() {
        let patch = renewal(&delivery(None), "one", at(1010));
        assert_eq!(patch["status"]["attempts"], 1);
        let claimed = DeliveryStatus {
            phase: DeliveryPhase::Processing,
            holder: Some("one".into()),
            attempts: 3,
            started_time: Some(micro(1001)),
            lease_until: Some(micro(1011)),
            ..DeliveryStatus::default()
        };
        let patch = renewal(&delivery(Some(claimed)), "one", at(1010));
        let status: DeliveryStatus = serde_json::from_value(patch["status"].clone()).unwrap();
        assert_eq!((status.attempts, status.started_time), (3, Some(micro(1001))));
        assert_eq!((status.holder.as_deref(), status.lease_until), (Some("one"), Some(micro(1020))));
    }

    #[test]
    fn a_verdict_is_written_over_another_replicas_claim_and_over_no_verdict() {
        let with = |phase, holder: Option<&str>, asked: Option<&str>, observed: Option<&str>| {
            let status = DeliveryStatus {
                phase,
                holder: holder.map(str::to_owned),
                observed_replay: observed.map(str::to_owned),
                ..DeliveryStatus::default()
            };
            let mut delivery = delivery(Some(status));
            delivery.metadata.annotations =
                asked.map(|asked| [(REPLAY_ANNOTATION.to_owned(), asked.to_owned())].into());
            delivery
        };
        let late = |there: &Delivery, replay, decided| is_late(there, "one", replay, decided);
        assert!(!late(&delivery(None), None, false));
        for (holder, undecided) in [(None, false), (Some("one"), false), (Some("two"), true)] {
            let there = with(DeliveryPhase::Processing, holder, None, None);
            assert_eq!((late(&there, None, false), late(&there, None, true)), (undecided, false));
        }
        let replayed = with(DeliveryPhase::Processing, Some("two"), Some("r"), None);
        assert!(late(&replayed, None, true), "what is done there is not this");
        assert!(!late(&replayed, Some("r"), true));
        for phase in [DeliveryPhase::Done, DeliveryPhase::Failed] {
            assert!(late(&with(phase, None, None, None), None, true));
            assert!(late(&with(phase, None, Some("r"), Some("r")), Some("r"), true));
            assert!(late(&with(phase, None, Some("r"), None), None, true));
            assert!(!late(&with(phase, None, Some("r"), None), Some("r"), true));
        }
    }

    #[test]
    fn attempts_are_counted_for_each_verdict() {
        let attempts = |phase| {
            let status = DeliveryStatus { phase, attempts: 10, ..DeliveryStatus::default() };
            patch(&delivery(Some(status)), "one", at(1010))["status"]["attempts"].as_u64()
        };
        assert_eq!(attempts(DeliveryPhase::Pending), Some(11));
        assert_eq!(attempts(DeliveryPhase::Processing), Some(11));
        assert_eq!((attempts(DeliveryPhase::Done), attempts(DeliveryPhase::Failed)), (Some(1), Some(1)));
    }

    #[test]
    fn a_verdict_is_final_until_a_replay_is_asked_for() {
        let done = DeliveryStatus { phase: DeliveryPhase::Done, ..DeliveryStatus::default() };
        assert_eq!(due_for("one", 900, Some(done.clone())), None);
        let mut asked = delivery(Some(done.clone()));
        asked.metadata.annotations = Some([(REPLAY_ANNOTATION.to_owned(), "1".to_owned())].into());
        assert_eq!(due(&asked, "one", at(900), at(1010)), Some(at(1010)));
        asked.status = Some(DeliveryStatus { observed_replay: Some("1".into()), ..done });
        assert_eq!(due(&asked, "one", at(900), at(1010)), None);
    }
}
