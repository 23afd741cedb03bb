//! `cargo xtask e2e`: the platform as its users have it, on a whole node or on the embedded engine.
//!
//! On a node: the shipped image in real pods beside Tekton, applied with plain kubectl, and `e2e/session.sh` against it.
//! Argo CD and External Secrets are definitions only: what the platform writes for them is kept, and nothing more.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::cluster::{Cluster, Kind, Options};
use crate::image::{Build, target};
use crate::progress::Step;
use crate::run::{built, cargo, note, root, succeed};
use crate::{engines, image};

/// The cluster's name.
const NAME: &str = "e2e";
/// The image that `platform/overlays/node` names.
const IMAGE: &str = "localhost/aphex:1";
/// The port of the node at which that overlay has the gateway.
const GATEWAY_PORT: u16 = 30080;
/// Definitions that stand in for programs which the node does not have.
const STAND_INS: &[&str] = &["argocd.yaml", "external-secrets.yaml"];

/// What the platform runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// A whole node with Tekton; needs root
    Cluster,
    /// `aphex up`
    Embedded,
}

/// What `cargo xtask e2e` takes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What the platform runs on
    #[arg(long, value_enum, default_value = "cluster")]
    engine: Engine,
    /// An archive with localhost/aphex:1, instead of building one
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Build the image's program without optimising it, in a fraction of the time
    #[arg(long, conflicts_with = "image")]
    quick: bool,
    /// Leave the cluster up
    #[arg(long)]
    keep: bool,
}

/// Runs the session; a cluster that was raised for it is taken down again, however it ends.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.engine {
        Engine::Embedded => on_embedded(),
        Engine::Cluster => {
            let archive = match &arguments.image {
                Some(archive) => archive.clone(),
                None => build_image(if arguments.quick { Build::Quick } else { Build::Release })?,
            };
            let ended = on_cluster(&archive);
            if arguments.keep {
                note(&format!("the cluster is left: cargo xtask cluster down --name {NAME}"));
                return ended;
            }
            let down = Cluster::down(NAME).context("cannot take the cluster down");
            ended.and(down)
        }
    }
}

fn build_image(build: Build) -> anyhow::Result<PathBuf> {
    let archive = target()?.join("aphex-e2e-image.tar");
    image::build(Some(IMAGE.parse().map_err(anyhow::Error::msg)?), &archive, build)?;
    Ok(archive)
}

fn on_cluster(archive: &Path) -> anyhow::Result<()> {
    // What people have on their own machines, beside what runs in pods.
    succeed(cargo().args(["build", "--package", "aphex"]))?;
    let cluster = Cluster::up(&Options { name: NAME.to_owned(), kind: Kind::Node, port: None, oidc: None })?;
    cluster.tekton()?;
    let step = Step::start("install the platform");
    cluster.load(archive)?;
    for definitions in STAND_INS {
        let file = root().join("crates/aphex/foreign").join(definitions);
        quietly(cluster.kubectl()?.args(["apply", "--server-side", "-f"]).arg(file))?;
    }
    quietly(cluster.kubectl()?.args(["create", "namespace", "argocd"]))?;
    let overlay = root().join("platform/overlays/node");
    quietly(cluster.kubectl()?.args(["apply", "--server-side", "-k"]).arg(overlay))?;
    step.done();
    let node = cluster.node_address().context("a node has an address")?;
    session(
        &root().join("xtask/e2e/session.sh"),
        &[
            engines::program("kubectl")?.as_os_str(),
            root().join("examples").as_os_str(),
            format!("http://{node}:{GATEWAY_PORT}").as_ref(),
            "tekton".as_ref(),
            built("aphex").as_os_str(),
        ],
        &cluster.kubeconfig(),
    )
}

fn on_embedded() -> anyhow::Result<()> {
    succeed(cargo().args(["build", "--package", "aphex"]))?;
    session(
        &root().join("crates/aphex/tests/stranger.sh"),
        &[
            built("aphex").as_os_str(),
            engines::program("kubectl")?.as_os_str(),
            root().join("examples").as_os_str(),
        ],
        Path::new(""),
    )
}

/// Runs a script in a folder of its own.
fn session(script: &Path, arguments: &[&std::ffi::OsStr], kubeconfig: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let mut command = Command::new("bash");
    command.arg(script).args(arguments).current_dir(folder.path()).env("KUBECONFIG", kubeconfig);
    succeed(&mut command).with_context(|| format!("the session of {}", script.display()))
}

/// Runs a command that has nothing to say unless it fails.
fn quietly(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?} ended with {}: {}", output.status, said.trim());
    Ok(())
}
