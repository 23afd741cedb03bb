//! Requests of strangers to the issuer: queries, forms, credentials, cookies, user codes, JSON.
#![no_main]

use aphex_fuzz::{provider, texts};
use http::Method;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([method, target, authorization, cookie, kind, body]) = texts(data) else { return };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let headers = [("authorization", authorization), ("cookie", cookie), ("content-type", kind)];
    provider::with(|provider| {
        let answer = provider.ask(&method, target, &headers, body);
        assert!(!answer.body.contains("<b id"), "what was sent became part of a page");
    });
});
