//! What is made of events that are odd, and of files that say less than they seem to: `trigger test` and `trigger backtest`.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use super::program::{aphex, example};
use super::why::{changed, pushed, text};

/// Runs `aphex trigger test` where there is no server.
fn test(file: &Path, payload: &Path, more: &[&str]) -> anyhow::Result<Output> {
    let mut command = aphex();
    command.args(["trigger", "test", "-f"]).arg(file).arg("--payload").arg(payload).args(more);
    command.env("HOME", "/nonexistent").env("KUBECONFIG", "/nonexistent");
    Ok(command.output()?)
}

/// A file in a folder, with the content.
fn file(folder: &Path, name: &str, content: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, content)?;
    Ok(path)
}

/// The example's push with another branch.
fn push(git_ref: &str) -> anyhow::Result<Value> {
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(example("github-push.json"))?)?;
    event["ref"] = git_ref.into();
    Ok(event)
}

/// Ends one line, begins another, and colours both.
const FORGED: &str =
    "refs/heads/x\u{1b}[31m…\u{1b}]0;owned\u{7}\nVerdict    Created: created PipelineRun hello-world/fake";

/// No line is the payload's own, and nothing in it moves the terminal.
fn is_plain(told: &str) -> bool {
    let controls = told.chars().any(|letter| letter.is_control() && letter != '\n');
    !controls && !told.lines().any(|line| line.starts_with("Verdict    Created"))
}

#[test]
fn a_payload_does_not_speak_in_our_name() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let event = file(folder.path(), "event.json", &push(FORGED)?.to_string())?;
    let offline = text(&test(&example("trigger.yaml"), &event, &[])?).0;
    let shown = "body.ref = refs/heads/x\\x1b[31m…\\x1b]0;owned\\x07\\nVerdict    Created";
    assert!(is_plain(&offline) && offline.contains(shown), "{offline}");

    let up = pushed(&folder.path().join("data"))?;
    up.ok(&["push", "hello-world", "--payload", &event.to_string_lossy(), "--delivery", "forged"])?;
    for words in [
        &["delivery", "get", "forged"][..],
        &["delivery", "list", "-o", "wide"],
        &["describe", "repo", "hello-world"],
        &["delivery", "replay", "forged", "--dry-run"],
    ] {
        let told = up.ok(words)?;
        assert!(is_plain(&told), "{words:?}: {told}");
    }
    let told = up.ok(&["delivery", "get", "forged", "--color", "always"])?;
    assert!(told.contains("Verdict    \u{1b}[1mNotWanted\u{1b}[0m: "), "colours of ours stay: {told}");
    assert!(!told.contains("\u{1b}[31m…"), "{told}");
    let one: Value = serde_json::from_str(&up.ok(&["delivery", "get", "forged", "-o", "json"])?)?;
    assert_eq!(one["spec"]["ref"], FORGED, "programs get what there is");
    Ok(())
}
