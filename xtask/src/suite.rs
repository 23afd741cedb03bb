//! Every test: builds what tests need, runs them all, adds up the counts, and lists what was left out and why.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::engines;
use crate::run::{cargo, note, say};

/// So many failures are tried again, alone; more are no accident.
const FEW: usize = 3;

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let engines = engines::available()?;
    if engines.is_none() {
        note("so tests that need kubectl or a real API server are left out (listed below)");
    }
    let tests = || {
        let mut tests = cargo();
        tests.args(["test", "--workspace", "--no-fail-fast"]).args(arguments);
        if let Some(folder) = &engines {
            tests.env("APHEX_ENGINES", folder).env("APHEX_REQUIRE_ENGINES", "1");
        }
        tests
    };
    // Whoever chooses tests by name tries them again as they like.
    let chosen = arguments.iter().any(|argument| argument == "--");
    let totals = if chosen { Totals::of(&mut tests())? } else { twice(tests)? };
    for reason in &totals.left_out {
        say(&format!("left out: {reason}"));
    }
    for line in &totals.told {
        say(line);
    }
    let (passed, failed, skipped) = (totals.passed, totals.failed.len(), totals.skipped);
    say(&format!("\n{passed} passed, {failed} failed, {skipped} skipped"));
    if !totals.well {
        bail!("tests failed");
    }
    // What needs a server of its own is run by `cargo xtask live`.
    let missing = totals.left_out.iter().filter(|reason| !reason.contains("APHEX_TEST_KUBECONFIG")).count();
    if std::env::var_os("CI").is_some() && missing > 0 {
        bail!("{missing} tests were left out, which CI does not allow");
    }
    if passed == 0 {
        bail!("no test ran");
    }
    if skipped > 0 {
        bail!("{skipped} tests are marked as ignored: say why in the suite or delete them");
    }
    Ok(())
}

/// Runs tests, and the few that failed once more, alone: on a machine that others use too, a deadline may be missed.
///
/// What they said the first time stays in the output, and their names are told.
pub(crate) fn twice(tests: impl Fn() -> Command) -> anyhow::Result<Totals> {
    let mut first = Totals::of(&mut tests())?;
    // A program that broke off has not told of all its tests.
    if first.well || !(1..=FEW).contains(&first.failed.len()) || first.begun != first.ended {
        return Ok(first);
    }
    note(&format!("once more, alone: {}", first.failed.join(", ")));
    let second = Totals::of(tests().arg("--").arg("--exact").args(&first.failed))?;
    first.well = second.well && second.passed >= first.failed.len();
    if first.well {
        note(&format!("passed at the second attempt: {}", first.failed.join(", ")));
        first.passed += first.failed.len();
        first.failed.clear();
    }
    Ok(first)
}

/// What the test programs of one run told.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// All programs ended well.
    pub(crate) well: bool,
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
    left_out: Vec<String>,
    /// What failed tests printed.
    told: Vec<String>,
    telling: bool,
    begun: usize,
    ended: usize,
}

impl Totals {
    /// Runs tests and shows what they print.
    fn of(tests: &mut Command) -> anyhow::Result<Self> {
        let mut child = tests.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
        let mut totals = Self::default();
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines() {
                let line = line?;
                totals.read(&line);
                say(&line);
            }
        }
        totals.well = child.wait()?.success();
        Ok(totals)
    }

    fn read(&mut self, line: &str) {
        if let Some(reason) = line.trim().strip_prefix("left out: ") {
            self.left_out.push(reason.to_owned());
        }
        if line.starts_with("---- ") && line.ends_with(" ----") {
            self.telling = true;
        } else if line == "failures:" {
            self.telling = false;
        }
        if self.telling {
            self.told.push(line.to_owned());
        }
        if let Some(count) = line.strip_prefix("running ") {
            self.begun += usize::from(count.ends_with(" tests") || count.ends_with(" test"));
        }
        self.failed.extend(failure(line).map(str::to_owned));
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        self.ended += 1;
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) =
                (words.next().and_then(|word| word.parse::<usize>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

/// The name of the test that a line says has failed.
fn failure(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::{Totals, failure};

    fn read(lines: &[&str]) -> Totals {
        let mut totals = Totals::default();
        for line in lines {
            totals.read(line);
        }
        totals
    }

    #[test]
    fn counts_add_up_over_binaries() {
        let totals = read(&[
            "running 6 tests",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "running 1 test",
            "test a::b ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
            "left out: kubectl session: no kubectl",
        ]);
        assert_eq!((totals.passed, totals.failed.len(), totals.skipped), (7, 1, 1));
        assert_eq!((totals.begun, totals.ended), (2, 2));
        assert_eq!(totals.left_out, ["kubectl session: no kubectl"]);
    }

    #[test]
    fn what_a_failed_test_said_is_told_again() {
        let block = ["---- a::b stdout ----", "Error: no answer", ""];
        let mut lines = vec!["running 1 test", "test a::b ... FAILED", "", "failures:", ""];
        lines.extend(block);
        lines.extend(["failures:", "    a::b", "", "test result: FAILED. 0 passed; 1 failed; 0 ignored"]);
        assert_eq!(read(&lines).told, block);
    }

    #[test]
    fn a_program_that_breaks_off_is_known_by_its_missing_result() {
        let totals = read(&["running 2 tests", "test a ... ok"]);
        assert_ne!(totals.begun, totals.ended);
    }

    #[test]
    fn failures_are_known_by_their_line() {
        assert_eq!(failure("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failure("test a::b ... ok"), None);
        assert_eq!(failure("test result: FAILED. 1 passed"), None);
    }
}
