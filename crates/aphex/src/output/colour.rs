//! Colours: when there are any, and what they say of an object.
//!
//! On a terminal, unless `NO_COLOR` is set (no-color.org), the terminal is a dumb one, or `--color` says otherwise. Forms for
//! programs have none whatever is asked.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use clap::ValueEnum;
use serde_json::Value;

use super::plain::inked;

/// When answers are coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless $NO_COLOR is set
    #[default]
    Auto,
    /// Always, into files and pipes too
    Always,
    /// Never
    Never,
}

/// What was asked for on the command line; one process has one answer.
static WHEN: OnceLock<When> = OnceLock::new();

/// Keeps what `--color` says.
pub(crate) fn decide(when: When) {
    // Told once, by `main`'s command; whoever comes later changes nothing.
    let _ = WHEN.set(when);
}

/// Colours a word for standard error.
pub(crate) fn paint(text: &str, code: &str) -> String {
    painted(text, code, std::io::stderr().is_terminal())
}

/// Colours a text of the answer.
pub(crate) fn paint_answer(text: &str, code: &str) -> String {
    painted(text, code, std::io::stdout().is_terminal())
}

fn painted(text: &str, code: &str, terminal: bool) -> String {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|terminal| terminal == "dumb");
    if wanted(WHEN.get().copied().unwrap_or_default(), terminal, plain) {
        inked(text, code)
    } else {
        text.to_owned()
    }
}

fn wanted(when: When, terminal: bool, plain: bool) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && !plain,
    }
}

/// How something is, as a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Green.
    Good,
    /// Yellow.
    Waits,
    /// Red.
    Bad,
}

impl Tone {
    /// What ANSI calls it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Waits => "33",
            Self::Bad => "31",
        }
    }

    /// How an object is: by its condition Ready, a run's by Succeeded, and by the word itself where there is neither.
    pub(crate) fn of(object: &Value, word: &str) -> Option<Self> {
        if word.is_empty() {
            return None;
        }
        // A Delivery is ready once it is decided, whatever was decided.
        if object["kind"] == "Delivery" {
            return Self::of_word(word);
        }
        if object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
            return Some(Self::Waits);
        }
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let ready =
            conditions.into_iter().flatten().find(|one| one["type"] == "Ready" || one["type"] == "Succeeded");
        match ready.and_then(|one| one["status"].as_str()) {
            Some("True") => Some(Self::Good),
            Some("False") => Some(Self::Bad),
            Some(_) => Some(Self::Waits),
            None => Self::of_word(word),
        }
    }

    /// How something is that has no conditions: a delivery, a check, a user.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "Created" | "Ready" | "Active" | "Succeeded" | "ok" | "active" => Self::Good,
            "Pending" | "Received" | "Provisioning" | "Running" | "warn" | "no password" => Self::Waits,
            "Failed" | "fail" | "disabled" => Self::Bad,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them_unless_told_otherwise() {
        let cases = [
            (When::Auto, true, false, true),
            (When::Auto, true, true, false),
            (When::Auto, false, false, false),
            (When::Always, false, true, true),
            (When::Never, true, false, false),
        ];
        for (when, terminal, plain, expected) in cases {
            assert_eq!(wanted(when, terminal, plain), expected, "{when:?} {terminal} {plain}");
        }
    }

    #[test]
    fn an_object_is_as_its_condition_says_whatever_its_phase() {
        let with = |kind: &str, status: &str| json!({ "status": { "conditions": [{ "type": kind, "status": status }] } });
        assert_eq!(Tone::of(&with("Ready", "True"), "Ready"), Some(Tone::Good));
        assert_eq!(Tone::of(&with("Ready", "False"), "Provisioning"), Some(Tone::Bad));
        assert_eq!(Tone::of(&with("Succeeded", "Unknown"), "Running"), Some(Tone::Waits));
        assert_eq!(Tone::of(&with("Other", "True"), "Filtered"), None);
        assert_eq!(Tone::of(&json!({}), "Failed"), Some(Tone::Bad));
        let mut delivery = with("Ready", "True");
        delivery["kind"] = json!("Delivery");
        assert_eq!(Tone::of(&delivery, "Created"), Some(Tone::Good));
        assert_eq!(Tone::of(&delivery, "NotWanted"), None);
        assert_eq!(Tone::of(&delivery, "Failed"), Some(Tone::Bad));
        let mut leaving = with("Ready", "True");
        leaving["metadata"] = json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" });
        assert_eq!(Tone::of(&leaving, "Ready"), Some(Tone::Waits));
    }
}
