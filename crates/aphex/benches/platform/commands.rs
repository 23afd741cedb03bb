//! How long people and shells wait for an answer: the program started, its kubeconfig read, the server asked, all told.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::embedded::Up;
use super::push::millis;

/// Runs of each command; the middle one counts.
const RUNS: usize = 21;

/// Milliseconds by command.
pub fn answers(up: &Up) -> anyhow::Result<Vec<(String, f64)>> {
    let mut found = Vec::new();
    for arguments in [
        &["org", "list"][..],
        &["repo", "get", "hello-world", "-o", "json"],
        &["delivery", "list"],
        &["run", "list", "-o", "jsonpath={.items[*].metadata.name}"],
        &["describe", "repo", "hello-world"],
    ] {
        let time = middle(|| up.run(arguments))?;
        found.push((format!("aphex {}, ms", arguments.join(" ")), millis(time)));
    }
    found.push(("completion of a binding's name, ms".to_owned(), millis(middle(|| completion(up))?)));
    Ok(found)
}

fn middle(mut once: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<Duration> {
    let mut times = (0..RUNS).map(|_| once()).collect::<anyhow::Result<Vec<_>>>()?;
    times.sort();
    Ok(times[RUNS / 2])
}

/// As bash asks for it.
fn completion(up: &Up) -> anyhow::Result<Duration> {
    let since = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_aphex"))
        .env("APHEX_COMPLETE", "bash")
        .env("KUBECONFIG", &up.kubeconfig)
        .env("_CLAP_COMPLETE_INDEX", "3")
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "false")
        .env("_CLAP_IFS", "\n")
        .args(["--", "aphex", "repo", "get", "h"])
        .stderr(Stdio::null())
        .output()?;
    anyhow::ensure!(
        output.stdout == b"hello-world\n",
        "offered: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(since.elapsed())
}
