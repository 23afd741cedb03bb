//! Runs the fuzz targets of `fuzz/`, which need no other toolchain: libFuzzer, and rustc's own coverage counters.
//!
//! `cargo fuzz` knows the same layout, and needs a nightly toolchain for what it adds (address sanitizer), of which code
//! without `unsafe` has no use.

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use crate::run::{cargo, note, root, say, succeed};

/// What makes rustc count which code an input reaches; as `cargo fuzz --sanitizer none` has it.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";
/// The longest input; a few kilobytes find what megabytes find.
const LONGEST: u32 = 8 * 1024;
/// An input that takes longer, in seconds, is a finding. Counting code is several times slower than ours.
const PATIENCE: u32 = 60;
/// Memory in MiB beyond which an input is a finding.
const MEMORY: u32 = 2048;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Targets to run [default: all of fuzz/targets]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// What a target did.
struct Outcome {
    target: String,
    seconds: u64,
    executions: u64,
    coverage: u64,
    finding: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let known = targets()?;
    let wanted = if arguments.targets.is_empty() { known.clone() } else { arguments.targets.clone() };
    for target in &wanted {
        ensure!(known.contains(target), "there is no target {target}; there are {}", known.join(", "));
    }
    let programs = build(&wanted)?;
    seeds::write(&folder().join("seeds"))?;
    let mut outcomes = Vec::new();
    for target in wanted {
        note(&format!("{target}: {} s", arguments.seconds));
        outcomes.push(one(&programs.join(&target), &target, arguments.seconds)?);
    }
    say(&format!("{:<10} {:>8} {:>12} {:>9}  finding", "target", "seconds", "executions", "coverage"));
    for outcome in &outcomes {
        let Outcome { target, seconds, executions, coverage, finding } = outcome;
        let finding = finding.as_deref().unwrap_or("none");
        say(&format!("{target:<10} {seconds:>8} {executions:>12} {coverage:>9}  {finding}"));
    }
    ensure!(
        outcomes.iter().all(|outcome| outcome.finding.is_none()),
        "there are findings: run a target's program with the file as its argument, mend what is wrong, write a test \
         for it, and keep the file in fuzz/findings/TARGET"
    );
    Ok(())
}

/// What is built, and what libFuzzer keeps between runs.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("fuzz")
}

fn targets() -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/targets")).context("cannot list fuzz/targets")? {
        let path = entry?.path();
        found.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    found.sort();
    Ok(found)
}

/// Builds them, and gives the folder that they are in.
fn build(targets: &[String]) -> anyhow::Result<PathBuf> {
    let version = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let manifest = root().join("fuzz/Cargo.toml");
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--target", host]).arg("--manifest-path").arg(manifest);
    command.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", folder());
    for target in targets {
        command.args(["--bin", target]);
    }
    // With the target named, build scripts and macros are built without the counters.
    succeed(&mut command)?;
    Ok(folder().join(host).join("release"))
}

fn one(program: &Path, target: &str, seconds: u64) -> anyhow::Result<Outcome> {
    let (corpus, found) = (folder().join("corpus").join(target), folder().join("artifacts").join(target));
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let log = folder().join(format!("{target}.log"));
    let written = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let began = Instant::now();
    let mut command = Command::new(program);
    command.arg(&corpus);
    for more in [folder().join("seeds").join(target), root().join("fuzz/findings").join(target)] {
        if more.is_dir() {
            command.arg(more);
        }
    }
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-timeout={PATIENCE}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args(["-print_final_stats=1", "-use_value_profile=1"])
        .stdout(Stdio::null())
        .stderr(written);
    let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
    let log_text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let finding = (!status.success()).then(|| finding(&log_text, &log));
    let outcome = Outcome {
        target: target.to_owned(),
        seconds: began.elapsed().as_secs(),
        executions: last_number(&log_text, "stat::number_of_executed_units:"),
        coverage: last_number(&log_text, " cov:"),
        finding,
    };
    if outcome.executions == 0 && outcome.finding.is_none() {
        bail!("{target} ran nothing; see {}", log.display());
    }
    Ok(outcome)
}

/// The file with the input, where libFuzzer wrote one; else the log.
fn finding(text: &str, log: &Path) -> String {
    let file = text.lines().find_map(|line| line.split("Test unit written to ").nth(1));
    file.map_or_else(|| log.display().to_string(), str::to_owned)
}

/// The number after the last mention of a word.
fn last_number(text: &str, word: &str) -> u64 {
    let rest = text.rsplit_once(word).map_or("", |(_, rest)| rest).trim_start();
    rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzers_own_words_are_understood() {
        let text = "#2\tINITED cov: 10 ft: 11\n#99\tNEW    cov: 123 ft: 456 corp: 7/8b\n\
                    artifact_prefix='/x/'; Test unit written to /x/crash-abc\nstat::number_of_executed_units: 4321\n";
        assert_eq!(last_number(text, " cov:"), 123);
        assert_eq!(last_number(text, "stat::number_of_executed_units:"), 4321);
        assert_eq!(finding(text, Path::new("/log")), "/x/crash-abc");
        assert_eq!(finding("", Path::new("/log")), "/log");
    }

    #[test]
    fn every_target_has_seeds() {
        let folder = tempfile::tempdir().unwrap();
        seeds::write(folder.path()).unwrap();
        for target in targets().unwrap() {
            let seeds = fs::read_dir(folder.path().join(&target)).map_or(0, Iterator::count);
            assert!(seeds > 0, "{target}");
        }
    }
}
