//! A webhook event and what GitHub's payload says about it.
//!
//! Knows the payloads of `push` and `pull_request`; other events are carried as they come.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_api::delivery::DeliveryVerdict;
use aphex_api::dispatch;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// GitHub says in this header what an event is.
pub(crate) const KIND_HEADER: &str = "X-Github-Event";
/// The commit id that GitHub sends where there is no commit.
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";
/// GitHub Actions' own list (docs: "Skipping workflow runs"); the trailers are below.
const SKIP_WORDS: [&str; 5] = ["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"];
const SKIP_TRAILERS: [&str; 2] = ["skip-checks: true", "skip-checks:true"];

/// A verified event as triggers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The event's id: GitHub's delivery id where it fits a label, else one made of it.
    pub id: String,
    /// Event type (`X-GitHub-Event`).
    pub kind: String,
    /// Headers by Go's canonical names.
    pub headers: BTreeMap<String, String>,
    /// The JSON payload.
    pub body: Value,
    /// The payload as it was sent: services may verify it, so they are told every byte.
    pub raw: Arc<str>,
    /// Path and query of the request.
    pub url: String,
    /// When it was received.
    pub received: Timestamp,
}

impl Event {
    /// The event with other headers, of which its type is one.
    pub(crate) fn with_headers(self, headers: BTreeMap<String, String>) -> Self {
        let kind = headers.get(KIND_HEADER).cloned().unwrap_or_default();
        Self { kind, headers, ..self }
    }
}

/// The text of JSON that was read, which therefore is UTF-8.
pub(crate) fn raw(json: &[u8]) -> Arc<str> {
    std::str::from_utf8(json).map_or_else(|_| String::from_utf8_lossy(json).into(), Arc::from)
}

/// What the payload says, in the words that Deliveries and `extensions.delivery` use; empty where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Full name of the repository.
    pub repository: &'a str,
    /// The git ref: pushed to, or that of a pull request's head.
    pub git_ref: Cow<'a, str>,
    /// The branch: pushed to, or the base of a pull request.
    pub branch: &'a str,
    /// The tag pushed.
    pub tag: &'a str,
    /// The commit: pushed, or the head of a pull request.
    pub revision: &'a str,
    /// Login of the account that caused it.
    pub sender: &'a str,
}

impl<'a> Facts<'a> {
    /// Reads a payload.
    pub fn of(kind: &str, body: &'a Value) -> Self {
        let text = |path: &[&str]| at(body, path).and_then(Value::as_str).unwrap_or_default();
        let mut facts = Self {
            repository: text(&["repository", "full_name"]),
            sender: text(&["sender", "login"]),
            ..Self::default()
        };
        if kind == "pull_request" {
            let number = at(body, &["pull_request", "number"]).and_then(Value::as_u64);
            facts.git_ref =
                number.map(|number| format!("refs/pull/{number}/head")).unwrap_or_default().into();
            facts.branch = text(&["pull_request", "base", "ref"]);
            facts.revision = text(&["pull_request", "head", "sha"]);
        } else {
            let git_ref = text(&["ref"]);
            facts.git_ref = git_ref.into();
            facts.branch = git_ref.strip_prefix("refs/heads/").unwrap_or_default();
            facts.tag = git_ref.strip_prefix("refs/tags/").unwrap_or_default();
            facts.revision = text(&["after"]);
        }
        facts
    }
}

/// The value of a field of a field of an object; each push is asked for several, so nothing is made on the way.
fn at<'a>(body: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(body, |value, field| value.get(field))
}

/// Why an event is finished before any trigger is asked, if it is.
///
/// `plain` gives tags, deletions and skip words the treatment of Tekton, which knows none of them.
pub fn settled(event: &Event, plain: bool) -> Option<(DeliveryVerdict, String)> {
    if event.kind == "ping" {
        return Some((DeliveryVerdict::Ping, "GitHub's greeting; the webhook works".to_owned()));
    }
    if plain || event.kind != "push" {
        return None;
    }
    let facts = Facts::of(&event.kind, &event.body);
    if facts.revision == NO_COMMIT || event.body["deleted"] == true {
        return Some((DeliveryVerdict::RefDeleted, format!("the push deleted {}", facts.git_ref)));
    }
    if !facts.tag.is_empty() {
        return Some((DeliveryVerdict::Tag, format!("the push moved the tag {}", facts.tag)));
    }
    let message = at(&event.body, &["head_commit", "message"]).and_then(Value::as_str).unwrap_or_default();
    let word = skip_word(message)?;
    Some((DeliveryVerdict::SkipRequested, format!("the head commit's message says {word}")))
}

/// The words in a commit message that ask for no run.
fn skip_word(message: &str) -> Option<&'static str> {
    let lower = message.to_lowercase();
    if let Some(word) = SKIP_WORDS.into_iter().find(|word| lower.contains(word)) {
        return Some(word);
    }
    skip_trailer(&lower)
}

/// Trailers are the last paragraph, each on a line of its own, and not the first one, which is the title.
fn skip_trailer(message: &str) -> Option<&'static str> {
    let mut found = None;
    for line in message.trim().lines().rev() {
        if line.trim().is_empty() {
            return found;
        }
        if let Some(trailer) = SKIP_TRAILERS.into_iter().find(|trailer| line.trim() == *trailer) {
            found = Some(trailer);
        } else if !is_trailer(line) {
            return None;
        }
    }
    None
}

/// Whether git takes a line for a trailer, or for what goes on from one.
fn is_trailer(line: &str) -> bool {
    if line.starts_with([' ', '\t']) || line.starts_with("(cherry picked from commit ") {
        return true;
    }
    let token = line.split_once(':').map(|(token, _)| token.trim_end());
    token.is_some_and(|token| {
        !token.is_empty() && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    })
}

/// The extensions that bindings and expressions find there before any interceptor adds its own.
pub fn extensions(event: &Event) -> Map<String, Value> {
    let facts = Facts::of(&event.kind, &event.body);
    let received = Timestamp::from_second(event.received.as_second()).unwrap_or(event.received);
    let delivery = json!({
        dispatch::RECEIVED_TIME: received.to_string(),
        dispatch::ID: event.id,
        "event": event.kind,
        "branch": facts.branch,
        "tag": facts.tag,
        "revision": facts.revision,
        "repository": facts.repository,
        "sender": facts.sender,
    });
    Map::from_iter([(dispatch::EXTENSION.to_owned(), delivery)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, body: Value) -> Event {
        Event {
            id: "e".into(),
            kind: kind.into(),
            headers: BTreeMap::new(),
            raw: body.to_string().into(),
            body,
            url: "/acme".into(),
            received: Timestamp::new(1_700_000_000, 999).unwrap(),
        }
    }

    fn push(git_ref: &str, after: &str, message: &str) -> Event {
        event("push", json!({ "ref": git_ref, "after": after, "head_commit": { "message": message } }))
    }

    #[test]
    fn pushes_that_ask_for_nothing_are_settled_at_once() {
        let sha = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
        let verdict = |event: &Event| settled(event, false).map(|(verdict, _)| verdict);
        assert_eq!(verdict(&push("refs/heads/main", sha, "Fix it")), None);
        assert_eq!(verdict(&push("refs/heads/main", NO_COMMIT, "")), Some(DeliveryVerdict::RefDeleted));
        assert_eq!(verdict(&push("refs/tags/v1", sha, "Fix it")), Some(DeliveryVerdict::Tag));
        assert_eq!(verdict(&push("refs/tags/v1", NO_COMMIT, "")), Some(DeliveryVerdict::RefDeleted));
        assert_eq!(verdict(&event("ping", json!({}))), Some(DeliveryVerdict::Ping));
        assert_eq!(verdict(&event("issues", json!({ "ref": "refs/tags/v1" }))), None);
        assert_eq!(settled(&push("refs/tags/v1", sha, ""), true), None);
    }

    #[test]
    fn skip_words_are_githubs() {
        for message in [
            "Typo [skip ci]",
            "[CI SKIP] typo",
            "typo [no ci]",
            "Typo\n\nskip-checks: true",
            "T\n\nBody\n\nskip-checks:true\n",
            "T\n\n\nSkip-Checks: true",
            "T\n\nSigned-off-by: A <a@b.c>\nskip-checks: true",
            "T\r\n\r\nskip-checks: true\r\nCo-authored-by: A\r\n <a@b.c>\r\n",
        ] {
            let event = push("refs/heads/main", "1", message);
            assert!(matches!(settled(&event, false), Some((DeliveryVerdict::SkipRequested, _))), "{message}");
        }
        for message in [
            "skip ci",
            "skip-checks: true",
            "\n\nskip-checks: true",
            "Typo\nskip-checks: true",
            "Typo\n\nskip-checks: false",
            "Mentions\n\nskip-checks: true\nis a trailer of GitHub",
            "T\n\nskip-checks: true\n\nBody",
        ] {
            assert_eq!(settled(&push("refs/heads/main", "1", message), false), None, "{message}");
        }
    }

    #[test]
    fn facts_of_a_pull_request_are_its_base_and_head() {
        let body = json!({
            "pull_request": { "number": 7, "base": { "ref": "main" }, "head": { "sha": "abc", "ref": "topic" } },
            "repository": { "full_name": "acme/web" }, "sender": { "login": "dev" },
        });
        let facts = Facts::of("pull_request", &body);
        assert_eq!((facts.branch, facts.revision), ("main", "abc"));
        assert_eq!(facts.git_ref, "refs/pull/7/head");
        assert_eq!((facts.repository, facts.sender), ("acme/web", "dev"));
    }

    #[test]
    fn branches_keep_their_slashes_and_times_their_seconds() {
        let extensions = extensions(&push("refs/heads/feature/x", "1", ""));
        assert_eq!(extensions["delivery"]["branch"], "feature/x");
        assert_eq!(extensions["delivery"]["receivedTime"], "2023-11-14T22:13:20Z");
    }
}
