//! What a request carries to show that its sender knows a secret, in the ways of four kinds of senders.
//!
//! | Scheme | Header | Made of |
//! |---|---|---|
//! | GitHub | `X-Hub-Signature-256` | HMAC-SHA256 over the body |
//! | Bitbucket | `X-Hub-Signature` | HMAC over the body, `sha256=`, `sha512=` or `sha1=` before it |
//! | GitLab | `X-Gitlab-Token` | the secret itself |
//! | Slack | `X-Slack-Signature` | HMAC-SHA256 over `v0:<timestamp>:<body>`, five minutes at most after the timestamp |
//!
//! After the senders' own documentation, and `pkg/interceptors` of Tekton Triggers v0.34. Everything is compared in
//! constant time, and nothing here prints what it holds.

use aws_lc_rs::hmac::{
    Algorithm, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, HMAC_SHA512, Key, verify as verify_mac,
};
use http::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretSlice};

use super::{HEADER, Signature, same};

const BITBUCKET: &str = "x-hub-signature";
const GITLAB: &str = "x-gitlab-token";
const SLACK: &str = "x-slack-signature";
const SLACK_TIME: &str = "x-slack-request-timestamp";
/// How old a request of Slack may be ("Verifying requests from Slack").
const SLACK_AGE: i64 = 5 * 60;

/// The way in which an interceptor wants a secret to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `X-Hub-Signature-256`.
    Github,
    /// `X-Hub-Signature`.
    Bitbucket,
    /// `X-Gitlab-Token`.
    Gitlab,
    /// `X-Slack-Signature`.
    Slack,
}

/// What a request carries.
#[derive(Clone, Default)]
pub struct Proofs {
    github: Option<Signature>,
    bitbucket: Option<(Algorithm, Vec<u8>)>,
    /// The secret itself: wiped when it is dropped.
    gitlab: Option<SecretSlice<u8>>,
    /// The text before the body, and the signature.
    slack: Option<(String, Vec<u8>)>,
}

impl std::fmt::Debug for Proofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proofs")
    }
}

impl Proofs {
    /// Reads a request's headers; what is malformed shows nothing.
    pub fn of(headers: &HeaderMap, now: Timestamp) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let slack = || {
            let time = text(SLACK_TIME)?;
            let sent: i64 = time.parse().ok()?;
            let signature = unhex(text(SLACK)?.strip_prefix("v0=")?)?;
            let fresh = now.as_second().abs_diff(sent) <= SLACK_AGE.unsigned_abs();
            fresh.then(|| (format!("v0:{time}:"), signature))
        };
        Self {
            github: text(HEADER).and_then(Signature::parse),
            bitbucket: text(BITBUCKET).and_then(bitbucket),
            gitlab: headers.get(GITLAB).map(|value| value.as_bytes().to_vec().into()),
            slack: slack(),
        }
    }

    /// Whether there is anything in the way of a scheme.
    pub fn has(&self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::Github => self.github.is_some(),
            Scheme::Bitbucket => self.bitbucket.is_some(),
            Scheme::Gitlab => self.gitlab.is_some(),
            Scheme::Slack => self.slack.is_some(),
        }
    }

    /// Whether the sender knows the secret; an empty secret is known to nobody.
    pub fn show(&self, scheme: Scheme, secret: &[u8], body: &[u8]) -> bool {
        if secret.is_empty() {
            return false;
        }
        match scheme {
            Scheme::Github => self.github.as_ref().is_some_and(|signature| signature.verifies(secret, body)),
            Scheme::Bitbucket => self
                .bitbucket
                .as_ref()
                .is_some_and(|(algorithm, tag)| verify_mac(&Key::new(*algorithm, secret), body, tag).is_ok()),
            Scheme::Gitlab => self.gitlab.as_ref().is_some_and(|token| same(token.expose_secret(), secret)),
            Scheme::Slack => self.slack.as_ref().is_some_and(|(before, tag)| {
                let signed = [before.as_bytes(), body].concat();
                verify_mac(&Key::new(HMAC_SHA256, secret), &signed, tag).is_ok()
            }),
        }
    }
}

/// `ValidateSignature` of go-github, which Tekton's interceptor asks.
fn bitbucket(header: &str) -> Option<(Algorithm, Vec<u8>)> {
    let (name, hex) = header.trim().split_once('=')?;
    let algorithm = match name {
        "sha1" => HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => HMAC_SHA256,
        "sha512" => HMAC_SHA512,
        _ => return None,
    };
    Some((algorithm, unhex(hex)?))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proofs(headers: &[(&'static str, &str)]) -> Proofs {
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        Proofs::of(&headers.collect(), Timestamp::from_second(1_531_420_618).unwrap())
    }

    #[test]
    fn slacks_own_example_verifies_for_five_minutes() {
        // "Verifying requests from Slack", docs.slack.dev.
        let secret = b"8f742231b10e8888abcd99yyyzzz85a5";
        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let at = |time: &str| proofs(&[(SLACK, signature), (SLACK_TIME, time)]);
        assert!(at("1531420618").show(Scheme::Slack, secret, body));
        assert!(!at("1531420618").show(Scheme::Slack, b"other", body));
        assert!(!at("1531420618").show(Scheme::Github, secret, body));
        assert!(!at("1531420619").show(Scheme::Slack, secret, body));
        assert!(at("1531420000").slack.is_none() && at("soon").slack.is_none());
    }

    #[test]
    fn a_gitlab_token_is_the_secret() {
        let shown = proofs(&[(GITLAB, "open sesame")]);
        assert!(shown.show(Scheme::Gitlab, b"open sesame", b""));
        assert!(!shown.show(Scheme::Gitlab, b"open", b""));
        assert!(!proofs(&[(GITLAB, "")]).show(Scheme::Gitlab, b"", b""));
        assert!(!proofs(&[]).show(Scheme::Gitlab, b"x", b""));
    }

    #[test]
    fn bitbuckets_signature_names_its_hash() {
        // RFC 2202 (SHA-1) and RFC 4231 (SHA-256, SHA-512), test case 2.
        let body = b"what do ya want for nothing?";
        for signature in [
            "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "sha512=164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ] {
            assert!(proofs(&[(BITBUCKET, signature)]).show(Scheme::Bitbucket, b"Jefe", body), "{signature}");
            assert!(!proofs(&[(BITBUCKET, signature)]).show(Scheme::Bitbucket, b"Chef", body), "{signature}");
        }
        for wrong in ["", "md5=00", "sha256=0", "sha256=zz", "sha256"] {
            assert!(proofs(&[(BITBUCKET, wrong)]).bitbucket.is_none(), "{wrong}");
        }
    }
}
