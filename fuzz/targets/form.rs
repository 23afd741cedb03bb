//! Bodies of the type `application/x-www-form-urlencoded`, and content types.
#![no_main]

use aphex_gateway::sink::form;
use http::HeaderValue;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let _ = form::is_form(Some(&value));
    }
    let _ = form::payload(data);
    if let Some(fields) = form::fields(data) {
        let fields: serde_json::Value = serde_json::from_slice(&fields).expect("fields are JSON");
        let lists = fields.as_object().expect("by name").values();
        assert!(lists.into_iter().all(|values| values.as_array().is_some_and(|values| !values.is_empty())));
    }
    // What another library encodes is read as it was.
    let encoded: String = form_urlencoded::byte_serialize(data).collect();
    let payload = form::payload(format!("a=b&payload={encoded}").as_bytes()).expect("it was encoded");
    assert_eq!(&payload[..], data);
});
