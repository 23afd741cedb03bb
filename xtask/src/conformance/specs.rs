//! Which specs the suite has.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::report;

/// The names of the specs that match, in the suite's order.
pub(super) fn select(programs: &Path, focus: &str, skip: &str) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let results = folder.path().join("specs.json");
    let output = Command::new(programs.join("e2e.test"))
        .args(["--ginkgo.dry-run", "--ginkgo.no-color"])
        .arg(format!("--ginkgo.focus={focus}"))
        .arg(format!("--ginkgo.skip={skip}"))
        .arg(format!("--ginkgo.json-report={}", results.display()))
        .stdin(Stdio::null())
        .output()
        .context("cannot run e2e.test")?;
    let found = report::read(&results).with_context(|| {
        let said = String::from_utf8_lossy(&output.stdout);
        let tail: Vec<&str> = said.lines().rev().take(10).collect();
        format!("the suite does not tell its specs ({}): {}", output.status, tail.join(" | "))
    })?;
    Ok(found.into_iter().map(|one| one.name).collect())
}

/// Deals specs out in turn, so that neighbours, which are alike, are waited for at the same time.
pub(super) fn deal(specs: &[String], hands: usize) -> Vec<Vec<String>> {
    let mut dealt = vec![Vec::new(); hands];
    for (number, spec) in specs.iter().enumerate() {
        dealt[number % hands].push(spec.clone());
    }
    dealt
}

/// A regular expression (RE2) for these specs and no others.
pub(super) fn exactly(specs: &[String]) -> String {
    let quoted: Vec<String> = specs.iter().map(|spec| quote(spec)).collect();
    format!("({})$", quoted.join("|"))
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_signs_matches_itself_alone() {
        let specs = ["[sig-auth] a (b) [Conformance]".to_owned(), "c.d".to_owned()];
        assert_eq!(exactly(&specs), r"(\[sig-auth\] a \(b\) \[Conformance\]|c\.d)$");
    }

    #[test]
    fn every_spec_is_dealt_once() {
        let specs: Vec<String> = (0..7).map(|number| number.to_string()).collect();
        let hands = deal(&specs, 3);
        assert_eq!(hands.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 2]);
        assert_eq!(hands[1], ["1", "4"]);
    }
}
