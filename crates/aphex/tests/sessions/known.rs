//! The differences that are known: where they are, and why they stay.

use std::cell::Cell;

use anyhow::Context as _;
use serde::Deserialize;

use super::compare::Difference;
use super::script::folder;

/// One entry of `differences.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// Why it stays.
    pub(crate) reason: String,
    /// Where it is seen.
    pub(crate) seen: Vec<Place>,
}

/// Steps of a session and places in what they said; `*` stands for any text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The session.
    pub(crate) session: String,
    /// The step's title.
    pub(crate) step: String,
    /// Path of the difference.
    pub(crate) at: String,
    #[serde(skip)]
    met: Cell<bool>,
}

/// The list.
pub(crate) fn read() -> anyhow::Result<Vec<Known>> {
    let path = folder().join("differences.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(&path)?)
        .with_context(|| format!("cannot read {}", path.display()))
}

/// Whether a difference is in the list; the places it fits are noted as met.
pub(crate) fn is_known(list: &[Known], session: &str, step: &str, difference: &Difference) -> bool {
    let mut known = false;
    for place in list.iter().flat_map(|known| &known.seen) {
        if place.session == session && fits(&place.step, step) && fits(&place.at, &difference.at) {
            place.met.set(true);
            known = true;
        }
    }
    known
}

/// Places of sessions that were played at which nothing differed: the list is to be shortened.
pub(crate) fn unmet<'a>(list: &'a [Known], played: &'a [String]) -> impl Iterator<Item = &'a Place> {
    let places = list.iter().flat_map(|known| &known.seen);
    places.filter(|place| !place.met.get() && played.contains(&place.session))
}

fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else { return false };
        rest = &rest[found + part.len()..];
    }
    true
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, wanted) in [
        ("/body/x", "/body/x", true),
        ("/body/x", "/body/xy", false),
        ("/body/*/x", "/body/a/b/x", true),
        ("*", "anything", true),
        ("/a*", "/b", false),
        ("/a*c", "/abd", false),
    ] {
        assert_eq!(fits(pattern, text), wanted, "{pattern} {text}");
    }
}
