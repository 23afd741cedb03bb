use std::collections::BTreeMap;

use aphex_api::delivery::DeliverySpec;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn delivery() -> Delivery {
    Delivery::new("d", DeliverySpec { received_time: Some(MicroTime(at(1000))), ..DeliverySpec::default() })
}

fn trigger(name: &str, verdict: TriggerVerdict) -> TriggerResult {
    let run = CreatedObject {
        api_version: "tekton.dev/v1".into(),
        kind: "PipelineRun".into(),
        namespace: Some("web".into()),
        name: format!("{name}-run"),
        uid: None,
        concurrency: None,
    };
    TriggerResult {
        name: name.into(),
        namespace: "org-acme".into(),
        group: None,
        verdict,
        message: format!("because of {name}"),
        interceptors: Vec::new(),
        params: BTreeMap::new(),
        created: if verdict == TriggerVerdict::Created { vec![run] } else { Vec::new() },
    }
}

fn after(triggers: Vec<TriggerResult>, attempts: u32, now: i64) -> DeliveryStatus {
    status(&delivery(), Outcome::Triggers(triggers), attempts, None, at(1001), at(now))
}

#[test]
fn the_verdict_follows_from_the_triggers() {
    use TriggerVerdict::{Created, Failed, NotWanted, Retrying};
    let cases = [
        (vec![], Some(DeliveryVerdict::NoTrigger), DeliveryPhase::Done, "True"),
        (vec![NotWanted, NotWanted], Some(DeliveryVerdict::NotWanted), DeliveryPhase::Done, "True"),
        (vec![NotWanted, Created], Some(DeliveryVerdict::Created), DeliveryPhase::Done, "True"),
        (vec![Created, Failed], Some(DeliveryVerdict::Failed), DeliveryPhase::Failed, "False"),
        (vec![Created, Retrying, Failed], None, DeliveryPhase::Pending, "Unknown"),
    ];
    for (verdicts, verdict, phase, ready) in cases {
        let triggers = verdicts.iter().map(|verdict| trigger("web", *verdict)).collect();
        let status = after(triggers, 1, 1002);
        assert_eq!((status.verdict, status.phase), (verdict, phase), "{verdicts:?}");
        assert_eq!(status.conditions[0].status, ready, "{verdicts:?}");
        assert_eq!(status.completed_time.is_some(), verdict.is_some(), "{verdicts:?}");
    }
}

#[test]
fn the_message_names_what_was_created_or_why_not() {
    let status =
        after(vec![trigger("a", TriggerVerdict::Created), trigger("b", TriggerVerdict::Created)], 1, 1002);
    assert_eq!(status.message, "created PipelineRun web/a-run, PipelineRun web/b-run");
    assert_eq!(status.created.len(), 2);
    assert_eq!(after(vec![trigger("a", TriggerVerdict::NotWanted)], 1, 1002).message, "a: because of a");
}

#[test]
fn attempts_are_further_and_further_apart_and_end_after_a_day() {
    let next = |attempts, now| {
        after(vec![trigger("a", TriggerVerdict::Retrying)], attempts, now)
            .next_attempt_time
            .map(|time| time.0.as_second())
    };
    assert_eq!([next(1, 1002), next(2, 1002), next(5, 1002)], [Some(1003), Some(1004), Some(1018)]);
    assert_eq!(next(40, 1002), Some(1302));
    let given_up = after(vec![trigger("a", TriggerVerdict::Retrying)], 300, 1000 + 86_400);
    assert_eq!(given_up.verdict, Some(DeliveryVerdict::Failed));
    assert_eq!(given_up.triggers[0].verdict, TriggerVerdict::Failed);
    assert_eq!(given_up.next_attempt_time, None);
}

#[test]
fn what_was_made_before_stays_known_when_no_trigger_could_be_asked() {
    let mut delivery = delivery();
    let mut half = trigger("web", TriggerVerdict::Created);
    half.verdict = TriggerVerdict::Retrying;
    let silent = trigger("other", TriggerVerdict::NotWanted);
    delivery.status = Some(after(vec![half.clone(), silent], 1, 1002));
    let then = |outcome| status(&delivery, outcome, 2, None, at(1003), at(1004));
    let later = then(Outcome::Later("cannot read".into()));
    assert_eq!((later.verdict, &later.triggers, &later.created), (None, &vec![half.clone()], &half.created));
    let failed = then(Outcome::Settled(DeliveryVerdict::Failed, "missing".into()));
    assert_eq!((failed.triggers[0].verdict, &failed.created), (TriggerVerdict::Failed, &half.created));
}

#[test]
fn what_a_new_status_lacks_is_cleared() {
    let patch = patch(&delivery(), &after(Vec::new(), 1, 1002)).unwrap();
    for field in ["holder", "leaseUntil", "nextAttemptTime", "created"] {
        assert_eq!(patch["status"].get(field), Some(&Value::Null), "{field}");
    }
    let known = serde_json::to_value(DeliveryStatus::default()).unwrap();
    let always: Vec<_> = known.as_object().unwrap().keys().cloned().collect();
    assert_eq!(always, ["attempts", "observedGeneration", "phase"], "every other field is in OPTIONAL");
}

#[test]
fn the_transition_time_moves_only_with_the_status() {
    let mut delivery = delivery();
    let retrying = || Outcome::Triggers(vec![trigger("a", TriggerVerdict::Retrying)]);
    delivery.status = Some(status(&delivery, retrying(), 1, None, at(1001), at(1002)));
    let second = status(&delivery, retrying(), 2, None, at(1003), at(1004));
    assert_eq!(second.conditions[0].last_transition_time.0, at(1002));
    let done = status(&delivery, Outcome::Triggers(Vec::new()), 2, None, at(1003), at(1004));
    assert_eq!(done.conditions[0].last_transition_time.0, at(1004));
}

#[test]
fn what_the_controllers_wrote_about_a_run_stays_when_a_status_is_published_later() {
    let made = |concurrency: Option<RunConcurrency>, uid: &str| {
        let mut made = trigger("web", TriggerVerdict::Created);
        made.created[0].concurrency = concurrency;
        made.created[0].uid = Some(uid.into());
        made
    };
    let published = |there: Option<RunConcurrency>, known: Option<RunConcurrency>, uid: &str| {
        let mut stored = delivery();
        stored.status = Some(after(vec![made(there, "one")], 1, 1002));
        let value = patch(&stored, &after(vec![made(known, uid)], 2, 1003)).unwrap();
        let read = |pointer: &str| value.pointer(pointer).cloned();
        let (whole, one) = (read("/status/created/0"), read("/status/triggers/0/created/0"));
        assert_eq!(whole, one);
        serde_json::from_value::<CreatedObject>(whole.unwrap()).unwrap().concurrency
    };
    let (waiting, released) = (Some(RunConcurrency::WAITING), Some(RunConcurrency::RELEASED));
    let newer = Some(RunConcurrency::superseded("web-2"));
    assert_eq!(published(released.clone(), waiting.clone(), "one"), released);
    assert_eq!(published(newer.clone(), None, "one"), newer);
    assert_eq!(published(waiting.clone(), released.clone(), "one"), released, "the gateway saw it let go");
    assert_eq!(published(waiting.clone(), None, "one"), waiting);
    assert_eq!(published(released, waiting.clone(), "two"), waiting, "another run of the same name");
}
