//! What a person who is logged in can be made to bring: wishes of clients, and codes with whatever verifier.
#![no_main]

use aphex_fuzz::provider::{self, CALLBACK};
use aphex_fuzz::texts;
use http::Method;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const FORM: &str = "application/x-www-form-urlencoded";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([wish, token]) = texts(data) else { return };
    provider::with(|provider| {
        let cookie = [("cookie", provider.cookie.as_str())];
        let _ = provider.ask(&Method::GET, &format!("/auth?{wish}"), &cookie, "");
        // A code that was given for this very challenge, and what somebody brings for it.
        let good = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("client_id", "aphex"), ("redirect_uri", CALLBACK), ("response_type", "code")])
            .extend_pairs([("scope", "openid offline_access"), ("code_challenge", CHALLENGE)])
            .extend_pairs([("code_challenge_method", "S256")])
            .finish();
        let answer = provider.ask(&Method::GET, &format!("/auth?{good}"), &cookie, "");
        let code = answer.location.split("code=").nth(1).and_then(|rest| rest.split('&').next());
        let code = code.expect("a person who is logged in gets a code").to_owned();
        let body = token.replace("CODE", &code);
        let sold = provider.ask(&Method::POST, "/token", &[("content-type", FORM)], &body);
        let brought = form_urlencoded::parse(body.as_bytes()).any(|(_, value)| value == VERIFIER);
        assert!(brought || !sold.body.contains("access_token"), "sold without the verifier: {}", sold.body);
    });
});
