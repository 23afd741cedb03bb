//! What came of the specs: ginkgo's JSON report.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::run::root;

const PAGE: &str = "docs/fidelity.md";
const BEGIN: &str = "<!-- conformance: written by `cargo xtask conformance --write` -->";
const END: &str = "<!-- conformance: end -->";

/// One spec that ran.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Its whole name, as focus expressions see it.
    pub(super) name: String,
    /// Whether all was well.
    pub(super) passed: bool,
    /// Whether the spec found that it is not for a cluster like this.
    pub(super) skipped: bool,
    /// What was wrong, or why it was skipped.
    pub(super) message: String,
}

/// Reads a report; specs that were not selected are left out, as are the suite's own set-up nodes.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Outcome>> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let suites: Value = serde_json::from_slice(&text).context("the report is not JSON")?;
    let specs = suites
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|suite| suite["SpecReports"].as_array().map(Vec::as_slice).unwrap_or_default());
    Ok(specs.filter_map(outcome).collect())
}

fn outcome(spec: &Value) -> Option<Outcome> {
    let state = spec["State"].as_str().unwrap_or_default();
    let of_spec = spec["LeafNodeType"] == "It";
    let message = spec["Failure"]["Message"].as_str().unwrap_or_default().to_owned();
    // What was not selected is skipped without a word. A failure of the suite's own set-up stands for itself; its
    // successes are no specs.
    let skipped = state == "skipped" && of_spec && !message.is_empty();
    if (matches!(state, "skipped" | "pending" | "") && !skipped) || (!of_spec && state == "passed") {
        return None;
    }
    let texts = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten();
    let mut words: Vec<&str> = texts.filter_map(Value::as_str).collect();
    let leaf = spec["LeafNodeText"].as_str().filter(|leaf| !leaf.is_empty());
    words.push(leaf.or(spec["LeafNodeType"].as_str()).unwrap_or_default());
    Some(Outcome { name: words.join(" "), passed: state == "passed", skipped, message })
}

/// Puts the counts, and the names of those that failed, into the page.
pub(super) fn write(outcomes: &[Outcome]) -> anyhow::Result<()> {
    let path = root().join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let page = replaced(&page, outcomes).with_context(|| format!("{PAGE} has no place for the result"))?;
    std::fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))
}

fn replaced(page: &str, outcomes: &[Outcome]) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let passed = outcomes.iter().filter(|one| one.passed).count();
    let conformance = outcomes.iter().filter(|one| one.passed && one.name.contains("[Conformance]")).count();
    let ran = outcomes.iter().filter(|one| !one.skipped).count();
    let mut result =
        format!("\n{ran} specs run, {passed} passed; {conformance} of them are `[Conformance]` specs.\n");
    for one in outcomes.iter().filter(|one| !one.passed) {
        result.push_str(if one.skipped { "\n- finds it is not for this: " } else { "\n- does not pass: " });
        result.push_str(&one.name);
        result.push('\n');
    }
    Some(format!("{before}{BEGIN}{result}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(name: &str, passed: bool) -> Outcome {
        Outcome { name: name.to_owned(), passed, skipped: false, message: String::new() }
    }

    #[test]
    fn only_specs_that_ran_count_and_a_broken_set_up_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let spec = |kind: &str, leaf: &str, state: &str, why: &str| {
            serde_json::json!({ "LeafNodeType": kind, "LeafNodeText": leaf, "State": state,
                "ContainerHierarchyTexts": ["[sig-a]"], "Failure": { "Message": why } })
        };
        let specs = [
            spec("It", "one", "passed", ""),
            spec("It", "two", "failed", "m"),
            spec("It", "three", "skipped", ""),
            spec("It", "four", "skipped", "needs two nodes"),
            spec("SynchronizedBeforeSuite", "", "passed", ""),
            spec("SynchronizedBeforeSuite", "", "failed", "m"),
        ];
        std::fs::write(&path, serde_json::json!([{ "SpecReports": specs }]).to_string()).unwrap();
        let read = read(&path).unwrap();
        let names: Vec<_> = read.iter().map(|one| (one.name.as_str(), one.passed, one.skipped)).collect();
        let wanted = [
            ("[sig-a] one", true, false),
            ("[sig-a] two", false, false),
            ("[sig-a] four", false, true),
            ("[sig-a] SynchronizedBeforeSuite", false, false),
        ];
        assert_eq!(names, wanted);
    }

    #[test]
    fn the_page_keeps_what_is_around_the_result() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let page = replaced(&page, &[ran("x [Conformance]", true), ran("y", false)]).unwrap();
        let counts = "2 specs run, 1 passed; 1 of them are `[Conformance]` specs.";
        assert_eq!(page, format!("a\n{BEGIN}\n{counts}\n\n- does not pass: y\n{END}\nb\n"));
        assert_eq!(replaced("no place", &[]), None);
    }
}
