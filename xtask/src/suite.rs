//! Every test: builds what tests need, runs them all, adds up the counts, and lists what was left out and why.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, bail};

use crate::engines;
use crate::run::{cargo, note, say};

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).args(arguments);
    match engines::available()? {
        Some(folder) => {
            command.env("APHEX_ENGINES", folder).env("APHEX_REQUIRE_ENGINES", "1");
        }
        None => note("so tests that need kubectl or a real API server are left out (listed below)"),
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let mut totals = Totals::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            totals.read(&line);
            say(&line);
        }
    }
    let status = child.wait()?;
    for reason in &totals.left_out {
        say(&format!("left out: {reason}"));
    }
    say(&format!("\n{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.skipped));
    if !status.success() {
        bail!("tests failed");
    }
    // What needs a server of its own is run by `cargo xtask live`.
    let missing = totals.left_out.iter().filter(|reason| !reason.contains("APHEX_TEST_KUBECONFIG")).count();
    if std::env::var_os("CI").is_some() && missing > 0 {
        bail!("{missing} tests were left out, which CI does not allow");
    }
    if totals.passed == 0 {
        bail!("no test ran");
    }
    if totals.skipped > 0 {
        bail!("{} tests are marked as ignored: say why in the suite or delete them", totals.skipped);
    }
    Ok(())
}

/// Counts over all test binaries.
#[derive(Debug, Default)]
struct Totals {
    passed: usize,
    failed: usize,
    skipped: usize,
    left_out: Vec<String>,
}

impl Totals {
    fn read(&mut self, line: &str) {
        if let Some(reason) = line.trim().strip_prefix("left out: ") {
            self.left_out.push(reason.to_owned());
        }
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) =
                (words.next().and_then(|word| word.parse::<usize>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Totals;

    #[test]
    fn counts_add_up_over_binaries() {
        let mut totals = Totals::default();
        totals.read(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        );
        totals.read("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s");
        totals.read("left out: kubectl session: no kubectl");
        assert_eq!((totals.passed, totals.failed, totals.skipped), (7, 3, 1));
        assert_eq!(totals.left_out, ["kubectl session: no kubectl"]);
    }
}
