use aphex_api::delivery::{DeliverySpec, DeliveryStatus};
use jiff::Timestamp;

use super::super::plan::{Age, State};
use super::*;

fn run() -> Run {
    let epoch = Timestamp::UNIX_EPOCH;
    Run {
        name: "web-1".into(),
        uid: "u1".into(),
        version: "7".into(),
        git_ref: String::new(),
        event: "e1".into(),
        concurrency: None,
        age: Age { triggered: epoch, created: epoch, seen: 0 },
        state: State::Queued,
    }
}

fn delivery(observed: i64, run: &Value) -> Delivery {
    let status: DeliveryStatus = serde_json::from_value(json!({
        "phase": "Done", "observedGeneration": observed,
        "created": [{ "apiVersion": "v1", "kind": "ConfigMap", "namespace": "web", "name": "web-1" }, run],
        "triggers": [
            { "name": "a", "namespace": "org-acme", "verdict": "NotWanted" },
            { "name": "b", "namespace": "org-acme", "verdict": "Created", "created": [run] },
        ],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Created", "message": "", "observedGeneration": observed,
            "lastTransitionTime": "2026-11-23T10:00:00Z",
        }],
    }))
    .unwrap();
    let mut delivery = Delivery::new("e1", DeliverySpec::default());
    delivery.metadata.generation = Some(3);
    delivery.status = Some(status);
    delivery
}

fn created(more: &Value) -> Value {
    let mut run = json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "namespace": "web", "name": "web-1", "uid": "u1",
    });
    run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    run
}

#[test]
fn both_places_are_written_provided_that_they_are_what_was_read() {
    let released = json!({ "verdict": "Released" });
    let places = ["/status/created/1", "/status/triggers/1/created/0"];
    let write = |place: &str| {
        [
            json!({ "op": "test", "path": format!("{place}/name"), "value": "web-1" }),
            json!({ "op": "add", "path": format!("{place}/concurrency"), "value": released }),
        ]
    };
    let mut expected = vec![json!({ "op": "test", "path": "/metadata/generation", "value": 3 })];
    expected.extend(places.iter().flat_map(|place| write(place)));
    for waits in [json!({}), json!({ "concurrency": { "verdict": "Waiting" } })] {
        let old = operations(&delivery(2, &created(&waits)), "web", &run(), &RunConcurrency::RELEASED);
        assert_eq!(old.as_ref(), Some(&expected));
        let current = operations(&delivery(3, &created(&waits)), "web", &run(), &RunConcurrency::RELEASED);
        let generations = &current.unwrap()[expected.len()..];
        assert_eq!(
            generations,
            [
                json!({ "op": "replace", "path": "/status/observedGeneration", "value": 4 }),
                json!({ "op": "replace", "path": "/status/conditions/0/observedGeneration", "value": 4 }),
            ]
        );
    }
}

#[test]
fn what_a_delivery_says_already_is_not_written_again() {
    let newer = RunConcurrency::superseded("web-2");
    let said = |concurrency: &RunConcurrency| delivery(3, &created(&json!({ "concurrency": concurrency })));
    let none = Some(Vec::new());
    assert_eq!(operations(&said(&newer), "web", &run(), &newer), none);
    assert_eq!(operations(&said(&newer), "web", &run(), &RunConcurrency::RELEASED), none, "it came late");
    assert_eq!(operations(&said(&RunConcurrency::RELEASED), "web", &run(), &RunConcurrency::RELEASED), none);
    let later = operations(&said(&RunConcurrency::RELEASED), "web", &run(), &newer).unwrap();
    assert_eq!(later[2]["value"], json!({ "verdict": "Superseded", "supersededBy": "web-2" }));
}

#[test]
fn a_delivery_of_another_run_is_not_written_to() {
    for other in [json!({ "uid": "u2" }), json!({ "name": "web-2" }), json!({ "namespace": "other" })] {
        let other = delivery(3, &created(&other));
        assert_eq!(operations(&other, "web", &run(), &RunConcurrency::RELEASED), None);
    }
    let undecided = Delivery::new("e1", DeliverySpec::default());
    assert_eq!(operations(&undecided, "web", &run(), &RunConcurrency::RELEASED), None);
}
