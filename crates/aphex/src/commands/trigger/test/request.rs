//! The event as it would arrive: what is given on the command line, as a request of its sender.

use std::collections::BTreeSet;

use anyhow::Context as _;
use aphex_gateway::deliveries::object_name;
use aphex_gateway::event::Event;
use aphex_gateway::signature::proofs::Scheme;
use aphex_gateway::sink::{EVENT_HEADERS, kept_headers, unicode};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::cli::TestTriggers;
use crate::commands::push::read_payload;

/// The id of an event that was given none; always the same, so that names of objects are.
const ID: &str = "00000000-0000-0000-0000-000000000000";
const GITHUB_ID: &str = "x-github-delivery";
/// What some editors put before a text. No sender does.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A request, and the event in it.
pub(super) struct Request {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) event: Event,
}

impl Request {
    /// Signs it in each of the ways, where there is a secret.
    pub(super) fn of(arguments: &TestTriggers, schemes: &BTreeSet<Scheme>) -> anyhow::Result<Self> {
        let path = &arguments.payload;
        let read = read_payload(path).with_context(|| format!("cannot read payload {}", path.display()))?;
        let body = Bytes::from(read);
        let body = if body.starts_with(BYTE_ORDER_MARK) { body.slice(BYTE_ORDER_MARK.len()..) } else { body };
        let (payload, raw) = unicode::read(body.clone())
            .with_context(|| format!("the payload {} is not JSON", path.display()))?;
        anyhow::ensure!(payload.is_object(), "the payload {} is JSON, but no object", path.display());
        let mut headers = headers(arguments)?;
        if let Some(path) = &arguments.secret_file {
            let secret =
                std::fs::read(path).with_context(|| format!("cannot read secret {}", path.display()))?;
            for scheme in schemes {
                sign(*scheme, secret.trim_ascii(), &body, &mut headers)?;
            }
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let id = text(GITHUB_ID);
        let kind = EVENT_HEADERS.into_iter().map(text).find(|kind| !kind.is_empty());
        let event = Event {
            id: object_name(if id.is_empty() { ID } else { id }),
            kind: kind.unwrap_or_default().to_owned(),
            headers: kept_headers(&headers),
            raw: String::from_utf8_lossy(&raw).into(),
            body: payload,
            url: "/".to_owned(),
            received: Timestamp::now(),
        };
        Ok(Self { headers, body, event })
    }
}

/// The headers that were given, and beside them those of GitHub, unless it is another's event.
fn headers(arguments: &TestTriggers) -> anyhow::Result<HeaderMap> {
    let [github_event, others @ ..] = EVENT_HEADERS;
    let others = |(name, _): &(String, String)| others.iter().any(|other| name.eq_ignore_ascii_case(other));
    let another = arguments.headers.iter().any(others);
    let event = arguments.event.as_deref().or((!another).then_some("push")).filter(|event| !event.is_empty());
    let usual = [
        Some(("content-type", "application/json")),
        event.map(|event| (github_event, event)),
        event.map(|_| (GITHUB_ID, ID)),
    ];
    let given = arguments.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut headers = HeaderMap::new();
    for (name, value) in usual.into_iter().flatten().chain(given) {
        let key = HeaderName::from_bytes(name.as_bytes())
            .with_context(|| format!("{name:?} is no name of a header"))?;
        let value =
            HeaderValue::from_str(value).with_context(|| format!("header {name} cannot have this value"))?;
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Shows the secret as the senders of a kind do.
fn sign(scheme: Scheme, secret: &[u8], body: &[u8], headers: &mut HeaderMap) -> anyhow::Result<()> {
    let (name, value) = match scheme {
        Scheme::Github => ("x-hub-signature-256", aphex_gateway::sign(secret, body)),
        Scheme::Bitbucket => ("x-hub-signature", aphex_gateway::sign(secret, body)),
        Scheme::Gitlab => {
            let token = HeaderValue::from_bytes(secret)
                .context("the secret is no token: a header cannot carry it")?;
            headers.insert("x-gitlab-token", token);
            return Ok(());
        }
        Scheme::Slack => {
            let time = Timestamp::now().as_second().to_string();
            let signed = aphex_gateway::sign(secret, &[b"v0:", time.as_bytes(), b":", body].concat());
            headers.insert("x-slack-request-timestamp", HeaderValue::from_str(&time)?);
            ("x-slack-signature", format!("v0={}", signed.trim_start_matches("sha256=")))
        }
    };
    headers.insert(name, HeaderValue::from_str(&value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use aphex_gateway::signature::proofs::Proofs;

    use super::*;

    #[test]
    fn each_kind_of_sender_shows_the_secret_in_its_own_way() {
        let schemes = [Scheme::Github, Scheme::Bitbucket, Scheme::Gitlab, Scheme::Slack];
        let mut headers = HeaderMap::new();
        for scheme in schemes {
            sign(scheme, b"a token", b"{}", &mut headers).unwrap();
        }
        let proofs = Proofs::of(&headers, Timestamp::now());
        for scheme in schemes {
            assert!(proofs.show(scheme, b"a token", b"{}"), "{scheme:?}");
            assert!(!proofs.show(scheme, b"another", b"{}"), "{scheme:?}");
        }
    }
}
