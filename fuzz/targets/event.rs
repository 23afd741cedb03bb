//! What a payload says about an event: repository, branch, tag, commit; and when nothing more needs to be asked.
#![no_main]

use std::collections::BTreeMap;

use aphex_fuzz::texts;
use aphex_gateway::bindings::go_json;
use aphex_gateway::event::{self, Event, Facts};
use jiff::Timestamp;
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([kind, body]) = texts(data) else { return };
    let Ok(json) = serde_json::from_str::<Value>(body) else { return };
    let facts = Facts::of(kind, &json);
    assert!(facts.branch.is_empty() || facts.tag.is_empty(), "{facts:?}");
    let again: Value = serde_json::from_str(&go_json(&json)).expect("Go's way of writing JSON is JSON");
    assert_eq!(go_json(&again), go_json(&json));
    let event = Event {
        id: "7f4d2b3a".to_owned(),
        kind: kind.to_owned(),
        headers: BTreeMap::new(),
        body: json,
        raw: body.into(),
        url: "/n".to_owned(),
        received: Timestamp::UNIX_EPOCH,
    };
    let _ = (event::settled(&event, false), event::settled(&event, true), event::extensions(&event));
});
