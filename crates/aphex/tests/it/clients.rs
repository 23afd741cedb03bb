//! Other people's clients against `aphex up`: what they are used to must hold here.
//!
//! Each session is a program in its own language below `tests/clients` (Go: `engines/client-go`), which ends with an
//! error and says which of its checks failed. Other people's controllers are clients too: a real
//! kube-controller-manager, and Tekton. Without the language's tools it is left out; with
//! `APHEX_REQUIRE_ENGINES` that is a failure.

pub(crate) mod packages;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use aphex_testkit::{engine, left_out};

use super::program::Up;

/// Several minor versions: the oldest and the newest are beyond Kubernetes' own promise of one minor version, and work all the same.
const KUBECTLS: &[&str] = &["kubectl", "kubectl-1.33", "kubectl-1.34", "kubectl-1.36", "kubectl-1.37"];

/// For sessions that want to meet an expired revision.
const FORGETFUL: &[&str] = &["--history", "15"];
/// What `tekton.sh` takes, in order.
const TEKTON: &[&str] = &[
    "kubectl",
    "tekton-pipeline-controller",
    "tekton-triggers-eventlistenersink",
    "tekton-triggers-interceptors",
];

fn sessions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a client against a platform of its own; what it printed is the error when it fails.
fn against_aphex(client: &mut Command) -> anyhow::Result<()> {
    against_aphex_with(&[], client)
}

/// The same against a platform that is started with more arguments.
fn against_aphex_with(more: &[&str], client: &mut Command) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start_with(folder.path(), more)?;
    let output = client
        .env("KUBECONFIG", &up.kubeconfig)
        .env("HOME", folder.path())
        .output()
        .with_context(|| format!("cannot run {}", client.get_program().display()))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "the client ended with {}:\n{said}", output.status);
    // A session that checks nothing must not pass.
    anyhow::ensure!(said.lines().any(|line| line.starts_with("ok ")), "the client checked nothing:\n{said}");
    Ok(())
}

#[test]
fn kubernetes_own_go_client_finds_what_it_is_used_to() -> anyhow::Result<()> {
    let Some(program) = engine("client-go")? else {
        left_out("Kubernetes' own Go client", "client-go is not built");
        return Ok(());
    };
    against_aphex_with(FORGETFUL, &mut Command::new(program))
}

#[test]
fn the_python_client_finds_what_it_is_used_to() -> anyhow::Result<()> {
    let folder = sessions().join("python");
    match packages::python("Kubernetes' Python client", &folder)? {
        Some(packages) => against_aphex_with(
            FORGETFUL,
            Command::new("python3").arg("-B").arg(folder.join("session.py")).env("PYTHONPATH", packages),
        ),
        None => Ok(()),
    }
}

#[test]
fn the_javascript_client_finds_what_it_is_used_to() -> anyhow::Result<()> {
    let folder = sessions().join("javascript");
    let Some(packages) = packages::javascript("Kubernetes' JavaScript client", &folder)? else {
        return Ok(());
    };
    let place = packages::beside(&folder.join("session.mjs"), &packages)?;
    against_aphex(Command::new("node").arg(place.path().join("session.mjs")))
}

#[test]
fn a_day_with_kubectl_goes_the_same_in_every_version() -> anyhow::Result<()> {
    for name in KUBECTLS {
        let Some(kubectl) = engine(name)? else {
            left_out(&format!("a day with {name}"), "it is not built");
            continue;
        };
        let place = tempfile::tempdir()?;
        let mut session = Command::new("bash");
        session.arg(sessions().join("kubectl.sh")).arg(kubectl).current_dir(place.path());
        against_aphex(&mut session).with_context(|| format!("with {name}"))?;
    }
    Ok(())
}

#[test]
fn a_real_controller_manager_keeps_house() -> anyhow::Result<()> {
    let (Some(kubectl), Some(manager)) = (engine("kubectl")?, engine("kube-controller-manager")?) else {
        left_out("a real kube-controller-manager", "it is not built");
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let mut session = Command::new("bash");
    session.arg(sessions().join("controller-manager.sh")).arg(kubectl).arg(manager).current_dir(place.path());
    against_aphex_with(&["--without", "housekeeping"], &mut session)
}

#[test]
fn tekton_runs_pipelines_and_serves_event_listeners_that_the_engine_keeps() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let mut session = Command::new("bash");
    session.arg(sessions().join("tekton.sh")).current_dir(place.path());
    for name in TEKTON {
        let Some(program) = engine(name)? else {
            left_out("Tekton's own controllers", &format!("{name} is not built"));
            return Ok(());
        };
        session.arg(program);
    }
    for module in ["github.com/tektoncd/pipeline", "github.com/tektoncd/triggers"] {
        session.arg(packages::go_source("tekton", module)?);
    }
    against_aphex(&mut session)
}
