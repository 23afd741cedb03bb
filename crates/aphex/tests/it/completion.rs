//! Completion as a shell asks for it: the script calls the program, which asks the API.

use std::process::Command;
use std::time::{Duration, Instant};

use super::program::{Up, aphex, example};

const PATIENCE: Duration = Duration::from_mins(1);

/// What a shell is offered for these words, of which the last is being typed (the protocol of clap's bash script).
fn offered(kubeconfig: &str, words: &[&str]) -> anyhow::Result<Vec<String>> {
    let output = aphex()
        .env("APHEX_COMPLETE", "bash")
        .env("KUBECONFIG", kubeconfig)
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "false")
        .env("_CLAP_IFS", "\n")
        .args(["--", "aphex"])
        .args(words)
        .output()?;
    anyhow::ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    // Flags are offered as well where nothing is typed yet, behind the words.
    let words = String::from_utf8(output.stdout)?;
    Ok(words.lines().filter(|word| !word.starts_with('-')).map(str::to_owned).collect())
}

#[test]
fn names_come_from_the_api_and_nothing_comes_of_a_failure() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start(folder.path())?;
    let paths = ["organization.yaml", "repo-binding.yaml", "pipeline.yaml"]
        .map(|name| example(name).to_string_lossy().into_owned());
    up.ok(&["apply", "-f", &paths[0], "-f", &paths[1], "-f", &paths[2], "--wait", "60"])?;
    let kubeconfig = up.kubeconfig.to_string_lossy().into_owned();
    // A machine that is busy may take longer than a shell is kept waiting, and then gives nothing: asked again.
    let becomes = |words: &[&str], wanted: &[&str]| -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut found = offered(&kubeconfig, words)?;
        while found != wanted && found.is_empty() && Instant::now() < deadline {
            found = offered(&kubeconfig, words)?;
        }
        anyhow::ensure!(found == wanted, "{words:?} is offered {found:?}, not {wanted:?}");
        Ok(())
    };
    becomes(&["repo", "get", "hel"], &["hello-world"])?;
    becomes(&["describe", "org", ""], &["acme-corp"])?;
    becomes(&["secret", "set", "ac"], &["acme-corp"])?;
    becomes(&["pipeline", "get", "-n", "team-payments", "c"], &["checkout"])?;
    becomes(&["run", "list", "-n", "team-"], &["team-payments"])?;
    becomes(&["org", "list", "--context", ""], &["aphex-admin"])?;
    becomes(&["org", "list", "-o", "js"], &["json", "jsonpath="])?;
    assert_eq!(offered(&kubeconfig, &["pipeline", "get", "-n", "nowhere", ""])?, Vec::<String>::new());
    up.kill();
    assert_eq!(offered(&kubeconfig, &["repo", "get", "hel"])?, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_script_of_each_shell_calls_the_program_back() -> anyhow::Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let output = aphex().args(["completion", shell]).output()?;
        let script = String::from_utf8(output.stdout)?;
        assert!(output.status.success() && script.contains("APHEX_COMPLETE"), "{shell}: {script}");
        assert!(script.contains(env!("CARGO_BIN_EXE_aphex")), "{shell} finds the program: {script}");
    }
    let aphex = env!("CARGO_BIN_EXE_aphex");
    let bash = "source <($0 completion bash) && complete -p aphex";
    let output = Command::new("bash").args(["-c", bash, aphex]).output()?;
    assert!(output.status.success(), "bash takes the script: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
