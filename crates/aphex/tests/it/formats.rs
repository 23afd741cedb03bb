//! `-o` on every command: each that offers it answers with it, whatever it does.
//!
//! Which commands there are is read from the reference page, which is made from the arguments: one that is new and offers
//! `-o` fails the test until it is among the lines here.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize as _;
use serde_json::Value;

use super::examples::page;
use super::program::{Up, aphex, example};

/// The event that is pushed first.
const PUSHED: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
const RUN: &str = "hello-world-3b1bf772d5";

/// How a line is run and what it ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// To its end, which is one of these.
    Ends(&'static [i32]),
    /// Until the first document is there.
    GoesOn,
}

use How::{Ends, GoesOn};

const DONE: How = Ends(&[0]);

/// Every command that offers `-o`, in an order in which each finds what it needs.
const LINES: &[(&str, How)] = &[
    ("apply -f ORGANIZATION -f BINDING -f PIPELINE --wait 60", DONE),
    ("kb apply -f KNOWLEDGE", DONE),
    ("push hello-world --payload PUSH --delivery PUSHED", DONE),
    ("push hello-world --payload PUSH --no-wait", DONE),
    ("push hello-world --payload PUSH --event ping", DONE),
    ("plan -f ORGANIZATION", DONE),
    ("describe org acme-corp", DONE),
    ("org list", DONE),
    ("org list --watch", GoesOn),
    ("org get acme-corp", DONE),
    ("org describe acme-corp", DONE),
    ("org apply -f ORGANIZATION", DONE),
    ("org rotate-secret acme-corp", DONE),
    ("repo list", DONE),
    ("repo get hello-world", DONE),
    ("repo describe hello-world", DONE),
    ("repo apply -f BINDING", DONE),
    ("repo rotate-secret hello-world --grace 1h", DONE),
    ("repo check hello-world", Ends(&[0, 1])),
    ("pipeline create shop -n team-payments --org acme-corp --repo acme/shop --pipeline BUILD --wait", DONE),
    ("pipeline create -f CART", DONE),
    ("pipeline list", DONE),
    ("pipeline get shop", DONE),
    ("pipeline describe shop", DONE),
    ("pipeline delete shop cart -n team-payments --yes --wait", DONE),
    ("kb list", DONE),
    ("kb get platform-docs", DONE),
    ("kb describe platform-docs", DONE),
    ("kb delete platform-docs --yes", DONE),
    ("secret set acme-corp token --from-file TOKEN", DONE),
    ("secret list acme-corp", DONE),
    ("secret rm acme-corp token --yes", DONE),
    ("delivery list", DONE),
    ("delivery get PUSHED", DONE),
    ("delivery watch", GoesOn),
    ("delivery replay PUSHED --no-wait", DONE),
    ("delivery replay PUSHED", DONE),
    ("delivery replay PUSHED --dry-run", DONE),
    ("trigger test -f TRIGGER --event push --payload PUSH", Ends(&[0, 1, 3])),
    ("trigger backtest -f TRIGGER", Ends(&[0, 1, 3])),
    ("run list", DONE),
    ("run get RUN", DONE),
    ("run rerun RUN", DONE),
    ("run cancel RUN", DONE),
    ("run delete RUN --yes", DONE),
    ("user add ada --email ada@example.com --no-password", DONE),
    ("user add backup --service-account --scope users:read", DONE),
    ("user passwd ada", DONE),
    ("user list", DONE),
    ("user list --watch", GoesOn),
    ("user get ada", DONE),
    ("user get ada --watch", GoesOn),
    ("user disable ada", DONE),
    ("user enable ada", DONE),
    ("group add payments", DONE),
    ("group add-member payments ada", DONE),
    ("group list", DONE),
    ("group list --watch", GoesOn),
    ("group get payments", DONE),
    ("group get payments --watch", GoesOn),
    ("group remove-member payments ada", DONE),
    ("group delete payments --yes", DONE),
    ("user delete ada --yes", DONE),
    ("doctor", Ends(&[0, 1])),
    ("whoami", DONE),
    ("version", DONE),
    ("logout", DONE),
    ("pipeline delete checkout -n team-payments --yes --wait", DONE),
    ("repo delete hello-world --yes --wait", DONE),
    ("org delete acme-corp --yes --wait", DONE),
];
/// Run elsewhere: a login needs a browser (`login`).
const ELSEWHERE: &[&str] = &["login"];

/// A folder with what the lines name, and a platform.
struct Scene {
    up: Up,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let up = Up::start(&folder.path().join("data"))?;
        let tasks =
            "tasks: [{name: say, taskSpec: {steps: [{name: say, image: busybox, script: 'echo hello'}]}}]";
        let cart = format!(
            "apiVersion: platform.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: cart, namespace: team-payments}}\n\
             spec: {{organization: acme-corp, repository: {{org: acme, name: cart}}, pipeline: {{spec: {{{tasks}}}}}}}\n"
        );
        for (name, text) in [("build.yaml", tasks), ("cart.yaml", &cart), ("token", "a token")] {
            std::fs::write(folder.path().join(name), text)?;
        }
        std::fs::write(folder.path().join("password"), "nine green kettles sing\n")?;
        Ok(Self { up, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn word(&self, word: &str) -> PathBuf {
        match word {
            "ORGANIZATION" => example("organization.yaml"),
            "BINDING" => example("repo-binding.yaml"),
            "PIPELINE" => example("pipeline.yaml"),
            "KNOWLEDGE" => example("knowledge-base.yaml"),
            "TRIGGER" => example("trigger.yaml"),
            "PUSH" => example("github-push.json"),
            "BUILD" => self.path("build.yaml"),
            "CART" => self.path("cart.yaml"),
            "TOKEN" => self.path("token"),
            "PUSHED" => PUSHED.into(),
            "RUN" => RUN.into(),
            other => other.into(),
        }
    }

    fn command(&self, line: &str, format: &str) -> anyhow::Result<Command> {
        let mut command = aphex();
        command
            .args(line.split(' ').map(|word| self.word(word)))
            .args(["-o", format])
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("settings"))
            .env("APHEX_DATA_DIR", self.path("data"))
            .env("KUBECONFIG", &self.up.kubeconfig)
            .env("APHEX_CLOUDFLARE_URL", "http://127.0.0.1:1")
            .stdin(File::open(self.path("password"))?);
        Ok(command)
    }

    /// What a line prints, as JSON.
    fn json(&self, line: &str, how: How) -> anyhow::Result<Value> {
        let mut command = self.command(line, "json")?;
        let Ends(codes) = how else { return first_document(&mut command).context(line.to_owned()) };
        let output = command.output()?;
        let code = output.status.code().unwrap_or(-1);
        ensure!(codes.contains(&code), "{line} ended with {code}: {}", said(&output));
        let documents: Result<Vec<Value>, _> =
            serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect();
        let documents = documents.with_context(|| format!("{line} prints no JSON: {}", said(&output)))?;
        documents.into_iter().next().with_context(|| format!("{line} prints nothing"))
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The first document of a command that goes on, and is ended then.
fn first_document(command: &mut Command) -> anyhow::Result<Value> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("no standard output")?;
    let document = Value::deserialize(&mut serde_json::Deserializer::from_reader(output));
    let _ = child.kill();
    let _ = child.wait();
    Ok(document?)
}

/// The commands of the reference page that offer `-o`.
fn offering(page: &str) -> BTreeSet<String> {
    let sections = page.split("\n### aphex ").skip(1);
    let with = sections.filter(|section| {
        !section.lines().any(|line| line.starts_with("Takes no ") && line.contains("`--output`"))
    });
    with.filter_map(|section| section.lines().next().map(str::to_owned)).collect()
}

fn command_of<'a>(line: &'a str, commands: &'a BTreeSet<String>) -> Option<&'a String> {
    commands.iter().find(|command| line == command.as_str() || line.starts_with(&format!("{command} ")))
}

#[test]
fn every_command_that_offers_a_format_answers_in_it() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let commands = offering(&page(scene.folder.path())?);
    let ran: BTreeSet<String> =
        LINES.iter().filter_map(|(line, _)| command_of(line, &commands)).cloned().collect();
    let missing: Vec<&String> =
        commands.difference(&ran).filter(|command| !ELSEWHERE.contains(&command.as_str())).collect();
    ensure!(missing.is_empty(), "no line runs these with -o json: {missing:?}");
    ensure!(ELSEWHERE.iter().all(|command| commands.contains(*command)), "{commands:?}");
    let mut wrong = Vec::new();
    for (line, how) in LINES {
        if line.starts_with("run get") {
            start_a_run(&scene)?;
        }
        if let Err(error) = scene.json(line, *how) {
            wrong.push(format!("{error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
    Ok(())
}

/// A run of a name that is known.
fn start_a_run(scene: &Scene) -> anyhow::Result<()> {
    let file = scene.path("run.yaml");
    std::fs::write(
        &file,
        format!(
            "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {{name: {RUN}, namespace: hello-world}}\n\
             spec: {{pipelineRef: {{name: hello-world}}}}\n"
        ),
    )?;
    scene.up.ok(&["apply", "--force-conflicts", "-f", &file.to_string_lossy()]).map(drop)
}

#[test]
fn what_writes_prints_the_name_of_what_it_wrote() -> anyhow::Result<()> {
    let scene = Scene::new()?;
    let name = |line: &str| -> anyhow::Result<String> {
        let output = scene.command(line, "name")?.output()?;
        ensure!(output.status.success(), "{line}: {}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    };
    scene.up.ok(&[
        "apply",
        "-f",
        &text(&example("organization.yaml")),
        "-f",
        &text(&example("repo-binding.yaml")),
        "--wait",
    ])?;
    for (line, expected) in [
        ("push hello-world --payload PUSH --delivery one", "delivery.aphex.io/one\n"),
        ("push hello-world --payload PUSH --delivery two --no-wait", "delivery.aphex.io/two\n"),
        ("repo rotate-secret hello-world --grace 1h", "repobinding.aphex.io/hello-world\n"),
        ("org rotate-secret acme-corp", "organization.aphex.io/acme-corp\n"),
        ("secret set acme-corp token --from-file TOKEN", "token\n"),
        ("secret rm acme-corp token --yes", "token\n"),
        ("user add ada --email ada@example.com --no-password", "user/ada\n"),
        ("user passwd ada", "user/ada\n"),
        ("user disable ada", "user/ada\n"),
        ("group add payments", "group/payments\n"),
        ("group add-member payments ada", "group/payments\n"),
        ("group delete payments --yes", "group/payments\n"),
        ("user delete ada --yes", "user/ada\n"),
        ("logout", ""),
    ] {
        assert_eq!(name(line)?, expected, "{line}");
    }
    let secrets = scene.json("repo get hello-world", DONE)?;
    let secret = secrets["status"]["webhookSecret"].as_str().context("a secret")?.to_owned();
    let rotated = scene.json("repo rotate-secret hello-world --grace 1h", DONE)?.to_string();
    ensure!(!rotated.contains(&secret) && !rotated.contains("webhookSecret\""), "{rotated}");
    let shown = scene.json("repo rotate-secret hello-world --grace 1h --show", DONE)?;
    ensure!(shown["status"]["webhookSecret"].as_str().is_some_and(|new| new != secret), "{shown}");
    // Where a name would lose what is shown once, or a format means nothing, nothing is done.
    for (line, format, expected) in [
        ("user add backup --service-account", "name", "would lose the bearer token"),
        ("delivery get one --payload", "json", "leave -o out"),
    ] {
        let output = scene.command(line, format)?.output()?;
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(said(&output).contains(expected), "{line}: {}", said(&output));
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
