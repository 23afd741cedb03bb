//! Payloads as Deliveries hold them: base64 of gzip of JSON, written by whoever may write Deliveries.
#![no_main]

use aphex_gateway::deliveries::payload::{pack, unpack};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = unpack(text);
    }
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) {
        let packed = pack(data).expect("memory can be written to");
        let payload = unpack(&(packed.first + &packed.rest.concat())).expect("it was packed");
        assert_eq!(payload.body, json);
    }
});
