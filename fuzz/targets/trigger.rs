//! A trigger as a tenant writes it, from filter to created object, and an event as a stranger sends it.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_api::delivery::SecretKeyRef;
use aphex_api::foreign::triggers::{EventListener, UNSIGNED_EVENTS_ANNOTATION};
use aphex_fuzz::texts;
use aphex_gateway::evaluate::{Evaluation, evaluate};
use aphex_gateway::event::{self, Event};
use aphex_gateway::interceptors::cel::Programs;
use aphex_gateway::interceptors::outside::{Outside, Question, Response};
use aphex_gateway::snapshot::{Objects, Snapshot};
use jiff::Timestamp;
use secrecy::SecretSlice;
use serde_json::{Value, json};

/// Nobody answers.
struct Alone;

impl Outside for Alone {
    fn secret(&self, _: &SecretKeyRef) -> Option<SecretSlice<u8>> {
        None
    }

    fn answer(&self, _: &Question) -> Option<Result<Response, String>> {
        Some(Err("nobody answers".to_owned()))
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([filter, overlay, binding, resource, body]) = texts(data) else { return };
    let Ok(body) = serde_json::from_str::<Value>(body) else { return };
    // Tekton's kinds hold any JSON, and a text where it is none.
    let resource: Value = serde_json::from_str(resource).unwrap_or_else(|_| resource.into());
    let listener = json!({
        "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "EventListener",
        "metadata": { "name": "l", "namespace": "n", "annotations": { UNSIGNED_EVENTS_ANNOTATION: "accept" } },
        "spec": { "triggers": [{
            "name": "t",
            "interceptors": [{
                "ref": { "name": "cel", "kind": "ClusterInterceptor" },
                "params": [
                    { "name": "filter", "value": filter },
                    { "name": "overlays", "value": [{ "key": "made.here", "expression": overlay }] },
                ],
            }],
            "bindings": [{ "name": "given", "value": binding }],
            "template": { "spec": {
                "params": [{ "name": "given", "default": "x" }, { "name": "other", "default": "y" }],
                "resourcetemplates": [resource],
            } },
        }] },
    });
    let listener: EventListener = serde_json::from_value(listener).expect("a listener of the right shape");
    let raw: Arc<str> = body.to_string().into();
    let event = Event {
        id: "7f4d2b3a".to_owned(),
        kind: "push".to_owned(),
        headers: BTreeMap::from([("X-Github-Event".to_owned(), "push".to_owned())]),
        body,
        raw,
        url: "/n".to_owned(),
        received: Timestamp::UNIX_EPOCH,
    };
    let _ = event::settled(&event, false);
    let (snapshot, cel) = (Snapshot::of(Objects::default()), Programs::default());
    let evaluation = Evaluation {
        snapshot: &snapshot,
        listener: &listener,
        kept_in: "n",
        event: &event,
        verified: &[],
        outside: Arc::new(Alone),
        github_api: "http://localhost",
        cel: &cel,
        seed: "seed",
    };
    let planned = evaluate(&evaluation);
    assert_eq!(planned, evaluate(&evaluation), "evaluated again, it makes the same");
    for resource in planned.iter().flat_map(|planned| &planned.resources) {
        let metadata = &resource["metadata"];
        assert!(metadata["name"].as_str().is_some_and(|name| !name.is_empty()), "{resource}");
        assert!(metadata["namespace"].as_str().is_some_and(|name| !name.is_empty()), "{resource}");
    }
});
