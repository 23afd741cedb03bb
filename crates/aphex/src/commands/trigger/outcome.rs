//! What two decisions about one event have in common, and what not.

use std::collections::{BTreeMap, BTreeSet};

use aphex_api::delivery::TriggerVerdict;
use serde_json::{Value, json};
use similar::TextDiff;

use crate::commands::trial::{Trial, Tried};

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// A trigger that has no part in a decision.
const NOT_ASKED: &str = "not asked";

/// What counts of a decision, on both sides: verdicts, parameters, objects. Which words a refusal has does not.
///
/// A trigger that does nothing on either side is left out: whether it is not asked or does not want the event is one outcome.
pub(super) fn sides(before: &Trial, after: &Trial) -> (Value, Value) {
    let (mut was, mut becomes) = (triggers(before), triggers(after));
    let active = |triggers: &BTreeMap<String, &Tried>| -> BTreeSet<String> {
        let active = triggers.iter().filter(|(_, tried)| !is_passive(tried));
        active.map(|(name, _)| name.clone()).collect()
    };
    let counts = &active(&was) | &active(&becomes);
    was.retain(|name, _| counts.contains(name));
    becomes.retain(|name, _| counts.contains(name));
    (essence(before, &was), essence(after, &becomes))
}

/// Whether the outcome is another one.
pub(super) fn differ(before: &Trial, after: &Trial) -> bool {
    let (before, after) = sides(before, after);
    before != after
}

fn triggers(trial: &Trial) -> BTreeMap<String, &Tried> {
    let named = trial.triggers.iter().map(|tried| {
        let result = &tried.result;
        let group = result.group.as_ref().map(|group| format!("{group}: ")).unwrap_or_default();
        (format!("{group}{}/{}", result.namespace, result.name), tried)
    });
    named.collect()
}

fn is_passive(tried: &Tried) -> bool {
    let result = &tried.result;
    result.verdict == TriggerVerdict::NotWanted && result.params.is_empty() && tried.resources.is_empty()
}

fn essence(trial: &Trial, triggers: &BTreeMap<String, &Tried>) -> Value {
    let one = |tried: &Tried| {
        let made = tried.result.verdict == TriggerVerdict::Created;
        json!({
            "verdict": tried.result.verdict,
            "serviceAccount": made.then(|| format!("{}/{}", tried.account.namespace, tried.account.name)),
            "params": tried.result.params,
            "resources": tried.resources,
        })
    };
    let triggers: BTreeMap<&String, Value> =
        triggers.iter().map(|(name, tried)| (name, one(tried))).collect();
    json!({ "verdict": trial.word(), "triggers": triggers })
}

/// The diff of two values, as YAML.
pub(super) fn yaml_diff(before: &Value, after: &Value) -> anyhow::Result<String> {
    let (before, after) = (serde_saphyr::to_string(before)?, serde_saphyr::to_string(after)?);
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    Ok(diff.unified_diff().context_radius(CONTEXT).header("now", "changed").to_string())
}

/// What differs, for people: verdicts trigger by trigger, and the diff of what is created either way.
pub(super) fn differences(before: &Trial, after: &Trial) -> anyhow::Result<Vec<String>> {
    let (mut before, mut after) = sides(before, after);
    let names = |essence: &Value| -> BTreeSet<String> {
        essence["triggers"].as_object().into_iter().flat_map(|triggers| triggers.keys().cloned()).collect()
    };
    let mut lines = Vec::new();
    for name in &names(&before) | &names(&after) {
        let word =
            |essence: &Value| essence["triggers"][&name]["verdict"].as_str().unwrap_or(NOT_ASKED).to_owned();
        let (was, becomes) = (word(&before), word(&after));
        if was != becomes {
            lines.push(format!("trigger {name}: {was}, changed: {becomes}"));
            for side in [&mut before, &mut after] {
                side["triggers"].as_object_mut().and_then(|triggers| triggers.remove(&name));
            }
        }
    }
    let diff = yaml_diff(&before["triggers"], &after["triggers"])?;
    lines.extend(diff.lines().map(str::to_owned));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use aphex_gateway::select::Account;

    use super::*;

    fn trial(triggers: &[(&str, &str)]) -> Trial {
        let one = |(name, verdict): &(&str, &str)| {
            let result = json!({ "namespace": "x", "name": name, "verdict": verdict, "message": "" });
            Tried {
                result: serde_json::from_value(result).unwrap(),
                resources: Vec::new(),
                account: Account { namespace: "x".to_owned(), name: "default".to_owned() },
            }
        };
        Trial::judged(triggers.iter().map(one).collect())
    }

    #[test]
    fn a_trigger_that_does_not_want_an_event_is_as_good_as_one_that_is_not_asked() {
        let alone = trial(&[("a", "NotWanted")]);
        let both = trial(&[("a", "NotWanted"), ("b", "NotWanted")]);
        assert!(!differ(&alone, &both));
        let made = trial(&[("a", "NotWanted"), ("b", "Created")]);
        assert!(differ(&both, &made));
        assert_eq!(differences(&both, &made).unwrap(), ["trigger x/b: NotWanted, changed: Created"]);
        assert_eq!(differences(&made, &alone).unwrap(), ["trigger x/b: Created, changed: not asked"]);
    }
}
