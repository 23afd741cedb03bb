//! Tekton Pipelines and Triggers in a node, from their own manifests and images made of the engines.

mod manifests;

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::Cluster;
use crate::engines;
use crate::image::{Image, Layer, archive};
use crate::progress::Step;

/// How long Tekton's pods may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// Where Tekton's manifests go.
const NAMESPACES: &[&str] = &["tekton-pipelines", "tekton-pipelines-resolvers"];

/// The programs that Tekton runs as pods, by project and command.
const COMMANDS: &[(&str, &str)] = &[
    ("pipeline", "controller"),
    ("pipeline", "webhook"),
    ("pipeline", "entrypoint"),
    ("pipeline", "events"),
    ("pipeline", "nop"),
    ("pipeline", "resolvers"),
    ("pipeline", "sidecarlogresults"),
    ("pipeline", "workingdirinit"),
    ("triggers", "controller"),
    ("triggers", "webhook"),
    ("triggers", "interceptors"),
    ("triggers", "eventlistenersink"),
];

/// Loads the images, applies the manifests and waits until every deployment is available.
pub(super) fn install(cluster: &Cluster) -> anyhow::Result<()> {
    let versions = manifests::Versions {
        pipeline: engines::version("tekton-pipeline-controller")?,
        triggers: engines::version("tekton-triggers-controller")?,
    };
    // Built before anything is said about loading.
    for (project, command) in COMMANDS {
        engines::program(&format!("tekton-{project}-{command}"))?;
    }
    let step = Step::start("load Tekton's images");
    for (project, command) in COMMANDS {
        step.tell(&format!("{project} {command}"));
        load(cluster, project, command, &versions)?;
    }
    step.done();
    let step = Step::start("apply Tekton's manifests");
    let objects = manifests::read(&versions)?;
    let (definitions, others): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|object| object["kind"] == "CustomResourceDefinition");
    let (namespaces, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|object| object["kind"] == "Namespace");
    apply(cluster, &[namespaces, definitions].concat())?;
    kubectl(cluster, &["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])?;
    apply(cluster, &others)?;
    step.done();
    let step = Step::start("wait for Tekton's pods");
    for namespace in NAMESPACES {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let wait = ["wait", "--for=condition=Available", "deployment", "--all", "-n", namespace, &timeout];
        kubectl(cluster, &wait).with_context(|| pods(cluster, namespace))?;
    }
    step.done();
    Ok(())
}

fn load(
    cluster: &Cluster,
    project: &str,
    command: &str,
    versions: &manifests::Versions,
) -> anyhow::Result<()> {
    let reference = versions.image(project, command).parse().map_err(anyhow::Error::msg)?;
    let path = format!("ko-app/{command}");
    let program = engines::program(&format!("tekton-{project}-{command}"))?;
    let layer = Layer::new().program(&path, &program)?;
    let file = cluster.state.path(&format!("tmp/tekton-{project}-{command}.tar"));
    archive::write(&file, vec![Image::new(reference, &[&format!("/{path}")], layer)])?;
    cluster.load(&file)?;
    std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

/// Applies objects, taking fields that controllers wrote: Tekton's webhooks fill in their own certificates.
fn apply(cluster: &Cluster, objects: &[Value]) -> anyhow::Result<()> {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    let mut command = cluster.kubectl()?;
    command
        .args(["apply", "--server-side", "--force-conflicts", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run kubectl")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(list.to_string().as_bytes()).context("cannot write to kubectl")?;
    }
    let output = child.wait_with_output().context("cannot wait for kubectl")?;
    if !output.status.success() {
        bail!("kubectl apply failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<()> {
    super::network::run(cluster.kubectl()?.args(arguments))
}

/// What pods say of themselves, for an error.
fn pods(cluster: &Cluster, namespace: &str) -> String {
    let output = cluster.kubectl().and_then(|mut command| {
        command.args(["get", "pods,events", "-n", namespace]).output().context("cannot run kubectl")
    });
    match output {
        Ok(output) => format!("pods of {namespace}:\n{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => format!("{error:#}"),
    }
}
