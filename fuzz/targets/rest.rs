//! Authentik's REST interface, asked by somebody who may do everything there.
#![no_main]

use aphex_fuzz::{provider, texts};
use http::Method;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([method, path, body]) = texts(data) else { return };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    provider::with(|provider| {
        let bearer = format!("Bearer {}", provider.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let _ = provider.ask(&method, &format!("/api/v3/{path}"), &headers, body);
    });
});
