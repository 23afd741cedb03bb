//! What requests carry to show that their sender knows a secret: GitHub's, Bitbucket's, GitLab's and Slack's headers.
#![no_main]

use aphex_fuzz::texts;
use aphex_gateway::sign;
use aphex_gateway::signature::Signature;
use aphex_gateway::signature::proofs::{Proofs, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

const HEADERS: [&str; 5] = [
    "x-hub-signature-256",
    "x-hub-signature",
    "x-gitlab-token",
    "x-slack-signature",
    "x-slack-request-timestamp",
];
const SCHEMES: [Scheme; 4] = [Scheme::Github, Scheme::Bitbucket, Scheme::Gitlab, Scheme::Slack];
/// No input has it.
const SECRET: &[u8] = b"\xff 0b3f8c5a7e2d49d1a6c4f1e8b7d2c9a0";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some([github, bitbucket, gitlab, slack, time, secret, body]) = texts(data) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in HEADERS.into_iter().zip([github, bitbucket, gitlab, slack, time]) {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let proofs = Proofs::of(&headers, Timestamp::from_second(1_531_420_618).unwrap());
    for scheme in SCHEMES {
        let shown = proofs.show(scheme, secret.as_bytes(), body.as_bytes());
        assert!(!shown || (proofs.has(scheme) && !secret.is_empty()));
        assert!(!proofs.show(scheme, SECRET, body.as_bytes()), "nobody knows it");
    }
    let signature = Signature::parse(&sign(secret.as_bytes(), body.as_bytes())).unwrap();
    assert_eq!(signature.verifies(secret.as_bytes(), body.as_bytes()), !secret.is_empty());
});
