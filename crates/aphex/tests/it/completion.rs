//! Completion as a shell asks for it: the script calls the program, which asks the API; and in the shells themselves.

use std::process::Command;
use std::time::{Duration, Instant};

use aphex_testkit::left_out;

use super::program::{Up, aphex, example};
use super::terminal::Terminal;

const PATIENCE: Duration = Duration::from_mins(1);

/// Ada may see the Pipelines of one namespace.
const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: pipelines, namespace: team-payments}
rules: [{apiGroups: [platform.dev], resources: [pipelines], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ada, namespace: team-payments}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: pipelines}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ada}]
";

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
    becomes(&["describe", "rb", "hel"], &["hello-world"])?;
    // Who has but one namespace is asked nothing else.
    let mut tenant: serde_json::Value = serde_saphyr::from_str(&std::fs::read_to_string(&up.kubeconfig)?)?;
    tenant["contexts"][0]["context"]["namespace"] = "team-payments".into();
    tenant["users"][0]["user"]["as"] = "ada".into();
    let path = folder.path().join("tenant");
    std::fs::write(&path, tenant.to_string())?;
    let role = folder.path().join("role.yaml");
    std::fs::write(&role, ROLE)?;
    up.ok(&["apply", "-f", &role.to_string_lossy()])?;
    let deadline = Instant::now() + PATIENCE;
    let words = ["pipeline", "get", ""];
    let mut found = offered(&path.to_string_lossy(), &words)?;
    while found.is_empty() && Instant::now() < deadline {
        found = offered(&path.to_string_lossy(), &words)?;
    }
    assert_eq!(found, ["checkout"]);
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

/// A platform with an organization, and the environment of somebody who uses it.
fn scene() -> anyhow::Result<(tempfile::TempDir, Up)> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    up.ok(&["apply", "-f", &example("organization.yaml").to_string_lossy(), "--wait", "60"])?;
    std::fs::create_dir_all(folder.path().join("bin"))?;
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_aphex"), folder.path().join("bin/aphex"))?;
    Ok((folder, up))
}

/// A shell with the program in its path; none where the shell is not installed.
fn shell(name: &str, folder: &std::path::Path, up: &Up) -> Option<Command> {
    if Command::new(name).arg("--version").output().is_err() {
        assert!(std::env::var_os("APHEX_REQUIRE_ENGINES").is_none(), "there is no {name}");
        left_out(&format!("completion in {name} itself"), &format!("{name} is not installed"));
        return None;
    }
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("HOME", folder)
        .env("KUBECONFIG", &up.kubeconfig)
        .env("NO_COLOR", "1")
        .current_dir(folder);
    Some(command)
}

#[test]
fn fish_itself_completes_words_and_names() -> anyhow::Result<()> {
    let (folder, up) = scene()?;
    let becomes = |line: &str, wanted: &str| -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Some(mut fish) = shell("fish", folder.path(), &up) else { return Ok(()) };
            let script = format!("aphex completion fish | source; complete -C '{line}'");
            let output = fish.args(["--no-config", "-c", &script]).output()?;
            let words = String::from_utf8(output.stdout)?;
            // Behind a tab stands what a word means.
            if words.lines().any(|word| word.split('\t').next() == Some(wanted)) {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            anyhow::ensure!(
                Instant::now() < deadline,
                "{line:?} is not completed to {wanted:?}: {words}{said}"
            );
        }
    };
    becomes("aphex org get ac", "acme-corp")?;
    becomes("aphex pipel", "pipeline")?;
    becomes("aphex org list --wat", "--watch")?;
    becomes("aphex org list -o js", "json")
}

#[test]
fn zsh_itself_completes_words_and_names() -> anyhow::Result<()> {
    let (folder, up) = scene()?;
    let Some(mut zsh) = shell("zsh", folder.path(), &up) else { return Ok(()) };
    // No files of the machine's or the user's.
    zsh.args(["-f", "-i"]);
    let mut terminal = Terminal::of(zsh)?;
    terminal.keys("PS1='> '; autoload -Uz compinit && compinit -u -D && source <(aphex completion zsh) && echo is-$((40+2))\r")?;
    terminal.wait_for("is-42")?;
    // A tab each; then the line is run. Where the machine was too slow for the tab, once more.
    let becomes = |terminal: &mut Terminal, typed: &str, wanted: &str| -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for round in 0.. {
            terminal.keys(&format!("{typed}; echo done-$(({round}+1000))\r"))?;
            let shown = terminal.wait_for(&format!("done-{}", round + 1000))?;
            if shown.contains(wanted) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{typed:?} does not lead to {wanted:?}: {shown}");
        }
        Ok(())
    };
    becomes(&mut terminal, "aphex org get ac\t -o name", "organization.aphex.io/acme-corp")?;
    becomes(&mut terminal, "aphex versi\t --clie\t -o js\t", "\"client\"")?;
    terminal.keys("exit\r")?;
    terminal.end()?;
    Ok(())
}
