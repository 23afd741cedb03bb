//! JSONPath, written by tenants, over payloads, written by strangers.
#![no_main]

use aphex_fuzz::texts;
use aphex_gateway::jsonpath;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([path, body]) = texts(data) else { return };
    let readable = jsonpath::check(path).is_ok();
    let Ok(body) = serde_json::from_str(body) else { return };
    if jsonpath::find(&body, path).is_ok() {
        assert!(readable, "a path that finds something can be read");
    }
});
