//! Every example of every `--help` is run: what people copy works.
//!
//! The examples are read from the reference page, which is made from the arguments. They run in a folder and a home of their
//! own, against an engine with the objects that they speak of.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;

use super::program::{Up, aphex, example};
use super::versions::releases;

/// The reference page.
const PAGE: &str = "cli.md";
const PATIENCE: Duration = Duration::from_mins(2);
/// Seconds that an example may take.
const LIMIT: &str = "150";
/// What `timeout` ends with when it had to end something.
const TOO_LONG: i32 = 124;
/// What goes on until it is stopped, and what it prints once it works.
const GOES_ON: &[(&str, &str)] = &[
    ("aphex up", "Aphex is ready."),
    ("aphex demo --keep", "Ctrl-C"),
    ("aphex controller", "connected"),
    ("aphex gateway", "connected"),
    ("aphex issuer", "The issuer is ready."),
    ("aphex login", "http"),
    ("--watch", ""),
    ("aphex delivery watch", ""),
];
/// Exit codes other than 0, by a part of the line: questions that nobody is there to answer, and what needs pods.
const CODES: &[(&str, &[i32])] = &[
    ("aphex plan", &[0, 2]),
    ("aphex doctor", &[0, 1]),
    // What it applies is local mode's already.
    ("aphex install platform --image registry.example.com/aphex:0.1.0 --set", &[5]),
    // Nobody has to listen there.
    ("aphex repo check hello-world --url", &[1]),
    ("aphex logs", &[4]),
    // Nobody is logged in there.
    ("aphex token", &[5]),
];

/// A Tekton Pipeline's spec, in one line.
const TASKS: &str =
    "tasks: [{name: say, taskSpec: {steps: [{name: say, image: busybox, script: 'echo hello'}]}}]";

/// What is typed where somebody is asked for a password.
const PASSWORD: &str = "nine green kettles sing\n";

/// The examples of the reference, by command, in its order.
fn examples(page: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if let Some(command) = line.strip_prefix("### ") {
            found.push((command.to_owned(), Vec::new()));
        }
        match (line, inside, found.last_mut()) {
            ("```sh", ..) => inside = true,
            ("```", true, _) => inside = false,
            (line, true, Some((_, lines))) => lines.push(line.to_owned()),
            _ => {}
        }
    }
    found
}

/// A folder with what the examples name.
struct Scene {
    up: Up,
    folder: tempfile::TempDir,
    releases: String,
    issuer: String,
}

impl Scene {
    async fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let up = Up::start(&folder.path().join("data"))?;
        let issuer = up.told("Logins").await?;
        let scene = Self { up, folder, releases: releases("200 OK", r#"{"tag_name":"v0.0.1"}"#)?, issuer };
        let home = scene.path("home");
        for place in ["home/.kube", "home/.zfunc", "home/.config/fish/completions", "bin"] {
            std::fs::create_dir_all(scene.path(place))?;
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_aphex"), scene.path("bin/aphex"))?;
        std::os::unix::fs::symlink(std::fs::canonicalize(example(""))?, home.join("examples"))?;
        std::fs::copy(&scene.up.kubeconfig, home.join(".kube/config"))?;
        std::fs::copy(example("repo-binding.yaml"), home.join("binding.yaml"))?;
        for (name, text) in [("token", "a token\n"), ("id_ed25519", "a key\n"), ("build.yaml", TASKS)] {
            std::fs::write(home.join(name), text)?;
        }
        std::fs::write(home.join("password.txt"), PASSWORD)?;
        let certified = rcgen::generate_simple_self_signed(vec!["dex.home.local".to_owned()])?;
        for name in ["tls.crt", "ca.crt"] {
            std::fs::write(home.join(name), certified.cert.pem())?;
        }
        std::fs::write(home.join("tls.key"), certified.signing_key.serialize_pem())?;
        for name in ["cart", "search"] {
            let object = format!(
                "apiVersion: platform.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: {name}, namespace: team-payments}}\n\
                 spec: {{organization: acme-corp, repository: {{org: acme, name: {name}}}, pipeline: {{spec: {{{TASKS}}}}}}}\n"
            );
            std::fs::write(home.join(format!("{name}.yaml")), object)?;
        }
        scene.fill()?;
        Ok(scene)
    }

    /// Makes the objects that examples speak of.
    fn fill(&self) -> anyhow::Result<()> {
        let home = self.path("home");
        for line in [
            "aphex apply -f examples/organization.yaml -f examples/repo-binding.yaml -f examples/pipeline.yaml --wait 60",
            "aphex apply -f examples/knowledge-base.yaml",
            "aphex push hello-world --payload examples/github-push.json --delivery 72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "git init -q -b master && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one",
        ] {
            let output = self.command(line).output()?;
            anyhow::ensure!(output.status.success(), "{line}: {output:?}");
        }
        // Examples name a run as one would be named.
        let run = "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: hello-world-3b1bf772d5, namespace: hello-world}\nspec: {pipelineRef: {name: hello-world}, params: [{name: repo-full-name, value: [Codertocat/Hello-World]}]}\n";
        std::fs::write(home.join("run.yaml"), run)?;
        let output = self.command("aphex apply --force-conflicts -f run.yaml && rm run.yaml").output()?;
        anyhow::ensure!(output.status.success(), "{output:?}");
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A line as a shell runs it, in a home of its own.
    fn command(&self, line: &str) -> Command {
        // What goes on and is not known to is ended, and found by the code of that.
        let mut command = Command::new("timeout");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let bin = self.path("bin");
        let places = std::iter::once(bin).chain(std::env::split_paths(&path));
        command
            .args([LIMIT, "bash", "-o", "pipefail", "-c", line])
            .current_dir(self.path("home"))
            .env_clear()
            .env("PATH", std::env::join_paths(places).unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("NO_COLOR", "1")
            .env("BROWSER", "true")
            .env("TOKEN", "a token")
            .env("APHEX_RELEASES_URL", &self.releases)
            // Nothing of the network: what it would say is another test's.
            .env("APHEX_CLOUDFLARE_URL", "http://127.0.0.1:1")
            .stdin(Stdio::null());
        let typed = line.strip_prefix("exec ").unwrap_or(line);
        if ["aphex user", "aphex group"].iter().any(|part| typed.starts_with(part)) {
            // Of the scene's issuer, on a terminal.
            let typed = std::fs::File::open(self.path("home/password.txt"))
                .map_or_else(|_| Stdio::null(), Stdio::from);
            command.env("APHEX_DATA_DIR", self.path("data")).stdin(typed);
        }
        command
    }

    /// An example with what is free and what is there, instead of the ports and hosts that it names or leaves to be the
    /// usual ones.
    fn placed(&self, line: &str) -> anyhow::Result<String> {
        if line.starts_with("aphex login") {
            let issuer = format!("--issuer {}", self.issuer);
            let named = line.replace("--issuer https://dex.home.local", &issuer);
            return Ok(if named == line { format!("{line} {issuer}") } else { named });
        }
        if line.starts_with("aphex issuer") {
            let line = line.replace(" --listen 0.0.0.0:5556", "");
            return Ok(format!("{line} --listen 127.0.0.1:0"));
        }
        on_free_ports(line)
    }
}

/// Ports that are free, instead of those that examples leave to be the usual ones.
fn on_free_ports(line: &str) -> anyhow::Result<String> {
    let mut line = line.replace("--port 8080", "--port 0");
    if line.starts_with("aphex up") {
        let help = String::from_utf8(aphex().args(["up", "--help"]).output()?.stdout)?;
        for flag in help.split_whitespace().filter(|word| word.starts_with("--") && word.ends_with("-port")) {
            if !line.contains(flag) {
                line = format!("{line} {flag} 0");
            }
        }
    }
    if ["aphex controller", "aphex gateway"].iter().any(|role| line.starts_with(role)) {
        line.push_str(" --admin 127.0.0.1:0");
    }
    Ok(line)
}

/// Runs until the first sign that it works, then ends it.
fn begins(scene: &Scene, line: &str, sign: &str) -> anyhow::Result<()> {
    let mut child =
        scene.command(&format!("exec {} 2>&1", scene.placed(line)?)).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("no output")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut said = String::new();
    let worked = loop {
        let Ok(next) = lines.recv_timeout(PATIENCE) else { break false };
        said.push_str(&next);
        said.push('\n');
        if next.contains(sign) && !next.starts_with("error:") {
            break true;
        }
    };
    let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
    let _ = child.wait();
    anyhow::ensure!(worked, "{line}: {sign:?} was not said:\n{said}");
    Ok(())
}

fn ends(scene: &Scene, line: &str) -> anyhow::Result<()> {
    let output: Output = scene.command(line).output()?;
    let code = output.status.code().unwrap_or(-1);
    let asks = ["delete", "secret rm"].iter().any(|verb| line.contains(verb)) && !line.contains("--yes");
    let wanted: &[i32] = match CODES.iter().find(|(part, _)| line.contains(part)) {
        Some((_, codes)) => codes,
        None if asks || line == "aphex pipeline create" => &[2],
        None => &[0],
    };
    anyhow::ensure!(code != TOO_LONG, "{line} went on for {LIMIT} s: is it one for `GOES_ON`?");
    anyhow::ensure!(
        wanted.contains(&code),
        "{line} ended with {code}, not {wanted:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

pub(super) fn page(folder: &Path) -> anyhow::Result<String> {
    let output = aphex().args(["man", "--format", "markdown"]).arg(folder).output()?;
    anyhow::ensure!(output.status.success(), "{output:?}");
    let mut text = String::new();
    std::fs::File::open(folder.join(PAGE))?.read_to_string(&mut text)?;
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_examples_and_each_of_them_works() -> anyhow::Result<()> {
    let scene = Scene::new().await?;
    let all = examples(&page(scene.folder.path())?);
    let without: Vec<&str> =
        all.iter().filter(|(_, lines)| lines.is_empty()).map(|(command, _)| command.as_str()).collect();
    assert!(without.is_empty(), "no examples: {without:?}");
    // What others speak of comes first; what takes something away comes last, children before their parents.
    let mut lines: Vec<&String> = all.iter().flat_map(|(_, lines)| lines).collect();
    let order = |line: &&String| {
        let last = [
            "user delete",
            "group delete",
            "run delete",
            "pipeline delete",
            "kb delete",
            "repo delete",
            "org delete",
        ];
        let late = last.iter().position(|part| line.contains(part));
        (!line.contains("user add"), late.map_or(0, |at| at + 1))
    };
    lines.sort_by_key(order);
    let mut wrong = Vec::new();
    for line in lines {
        if line.contains("org delete") {
            // Other examples have made others of the organization's.
            let rest = "aphex pipeline delete shop cart search -n team-payments --yes --wait";
            ends(&scene, rest).ok();
        }
        let done = match GOES_ON.iter().find(|(part, _)| line.contains(part)) {
            Some((_, sign)) => begins(&scene, line, sign),
            None => ends(&scene, line),
        };
        wrong.extend(done.err().map(|error| format!("{error:#}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
    Ok(())
}
