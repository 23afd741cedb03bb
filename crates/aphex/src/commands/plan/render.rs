//! Changes as text: unified diffs of YAML.

use std::fmt::Write as _;

use aphex_controllers::plan::{Action, Change, Outside};
use serde_json::Value;
use similar::TextDiff;

use crate::output::paint_answer;

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// How many objects would be made, changed, deleted.
pub(super) struct Count {
    pub(super) create: usize,
    pub(super) change: usize,
    pub(super) prune: usize,
}

impl Count {
    pub(super) fn of(changes: &[Change]) -> Self {
        let count = |action| changes.iter().filter(|change| change.action == action).count();
        Self { create: count(Action::Create), change: count(Action::Change), prune: count(Action::Prune) }
    }
}

/// What an object is called: `RepoBinding platform-system/hello-world`.
pub(super) fn title(kind: &str, namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// `kind.group/name`, as kubectl names objects.
pub(super) fn name(change: &Change) -> String {
    let group = change.api_version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
    format!("{}{group}/{}", change.kind.to_lowercase(), change.name)
}

/// A headline and the diff, coloured where the answer goes to a terminal.
pub(super) fn diff(change: &Change) -> String {
    let title = title(&change.kind, change.namespace.as_deref(), &change.name);
    let (does, colour) = match change.action {
        Action::Create => ("create", "1;32"),
        Action::Change => ("change", "1;33"),
        Action::Prune => ("prune", "1;31"),
    };
    let owner = change.owner.as_ref().map_or(String::new(), |owner| format!(", of {owner}"));
    let computed = if change.tried { "" } else { " (computed)" };
    let mut text = paint_answer(&format!("{does} {title}{owner}{computed}"), colour);
    for line in unified(change).lines() {
        text.push('\n');
        text.push_str(&coloured(line));
    }
    text.push('\n');
    text
}

/// A line about something that is not on the engine.
pub(super) fn outside(outside: &Outside) -> String {
    let (does, colour) = match outside.action {
        Action::Create => ("create", "1;32"),
        Action::Change => ("change", "1;33"),
        Action::Prune => ("delete", "1;31"),
    };
    let Outside { kind, name, organization, .. } = outside;
    let line = format!("{does} {} {name}, of Organization {organization}", kind.as_str());
    // Cloudflare is not asked: what is there is used.
    let unless = if outside.action == Action::Create { " (unless it is there already)" } else { "" };
    format!("{}\n", paint_answer(&format!("{line}{unless}"), colour))
}

/// The unified diff of an object's YAML.
pub(super) fn unified(change: &Change) -> String {
    let yaml = |object: &Option<Value>| {
        object.as_ref().map(|object| serde_saphyr::to_string(object).unwrap_or_else(|_| object.to_string()))
    };
    let (before, after) = (yaml(&change.before), yaml(&change.after));
    let name = name(change);
    let side = |text: &Option<String>, prefix: &str| match (text, &change.namespace) {
        (None, _) => "/dev/null".to_owned(),
        (Some(_), Some(namespace)) => format!("{prefix}/{namespace}/{name}"),
        (Some(_), None) => format!("{prefix}/{name}"),
    };
    let (from, to) = (side(&before, "engine"), side(&after, "planned"));
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    TextDiff::from_lines(before.as_str(), after.as_str())
        .unified_diff()
        .context_radius(CONTEXT)
        .header(&from, &to)
        .to_string()
}

fn coloured(line: &str) -> String {
    let colour = match line.as_bytes() {
        [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => "1",
        [b'+', ..] => "32",
        [b'-', ..] => "31",
        [b'@', ..] => "36",
        _ => return line.to_owned(),
    };
    paint_answer(line, colour)
}

/// One line on the whole.
pub(super) fn summary(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "No changes.".to_owned();
    }
    let Count { create, change, prune } = Count::of(changes);
    let computed = changes.iter().filter(|change| !change.tried).count();
    let mut text = format!("{create} to create, {change} to change, {prune} to prune.");
    if computed > 0 {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{computed} computed from what the controllers want: the server could not try them, \
             for their namespaces do not exist yet or you may not write them yourself."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(before: Option<Value>, after: Option<Value>) -> Change {
        let action = match (&before, &after) {
            (None, _) => Action::Create,
            (_, None) => Action::Prune,
            _ => Action::Change,
        };
        Change {
            action,
            api_version: "aphex.io/v1alpha1".into(),
            kind: "Organization".into(),
            namespace: Some("platform-system".into()),
            name: "acme".into(),
            owner: None,
            tried: true,
            before,
            after,
        }
    }

    #[test]
    fn a_change_is_a_unified_diff_of_yaml() {
        let changed = change(Some(json!({ "a": 1, "b": 2 })), Some(json!({ "a": 1, "b": 3 })));
        let expected = "--- engine/platform-system/organization.aphex.io/acme\n\
             +++ planned/platform-system/organization.aphex.io/acme\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n";
        assert_eq!(unified(&changed), expected);
    }

    #[test]
    fn what_is_made_or_goes_differs_from_nothing() {
        let made = unified(&change(None, Some(json!({ "a": 1 }))));
        assert!(made.starts_with("--- /dev/null\n") && made.ends_with("+a: 1\n"), "{made}");
        let gone = unified(&change(Some(json!({ "a": 1 })), None));
        assert!(gone.contains("+++ /dev/null\n") && gone.ends_with("-a: 1\n"), "{gone}");
    }

    #[test]
    fn the_summary_counts() {
        let made = change(None, Some(json!({})));
        let computed = Change { tried: false, ..made.clone() };
        assert_eq!(summary(&[]), "No changes.");
        assert_eq!(summary(std::slice::from_ref(&made)), "1 to create, 0 to change, 0 to prune.");
        assert!(summary(&[made, computed]).starts_with("2 to create, 0 to change, 0 to prune.\n1 computed"));
    }
}
