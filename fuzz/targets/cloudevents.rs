//! CloudEvents as they come in, and those that tell of any event: what is sent can be sent, and says what came.
#![no_main]

use aphex_fuzz::texts;
use aphex_gateway::cloudevents::{Told, messages};
use aphex_gateway::deliveries::object_name;
use aphex_gateway::sink::{form, kept_headers};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([id, name, value, content_type]) = texts(data) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in [(name, value), ("content-type", content_type), ("ce-id", id)] {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let json =
        HeaderValue::from_str(content_type).is_ok_and(|kind| form::is_form(Some(&kind)) == Some(false));
    assert!(!json || content_type.to_ascii_lowercase().contains("json"), "{content_type}");
    let kept = kept_headers(&headers);
    let event_id = object_name(id);
    for (fired, failed) in [(0, true), (2, false)] {
        let told = Told {
            namespace: "org-acme",
            listener: "github-listener",
            event_id: &event_id,
            headers: &kept,
            received: Timestamp::UNIX_EPOCH,
            finished: Timestamp::UNIX_EPOCH,
            fired,
            failed,
        };
        let sent = messages(&told);
        assert_eq!(sent.len(), 2 + fired + usize::from(failed));
        for message in &sent {
            for (name, value) in &message.headers {
                name.parse::<HeaderName>().expect("a header's name");
                HeaderValue::from_str(value).expect("a header's value");
            }
            serde_json::from_str::<Value>(&message.data).expect("data is JSON");
        }
        let first: Value = serde_json::from_str(&sent[0].data).expect("data is JSON");
        assert!(kept.iter().all(|(name, value)| first[name][0] == value.as_str()));
    }
});
