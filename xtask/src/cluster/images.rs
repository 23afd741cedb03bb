//! The images that a node has from the start, and loading others.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::requirements::{self, system};
use super::state::{Record, State};
use super::{network, wait};
use crate::image::{Image, Layer, archive};

/// What holds a pod's namespaces: it only sleeps.
pub(super) const PAUSE: &str = "localhost/pause:1";
/// A shell and small programs, for steps of pipelines and for trying things.
pub(super) const BUSYBOX: &str = "localhost/busybox:1";
/// containerd's namespace for Kubernetes.
const NAMESPACE: &str = "k8s.io";
const PATIENCE: Duration = Duration::from_secs(30);

/// The programs that busybox is linked to as. Not wget and httpd: those of Debian 12's static busybox crash.
const APPLETS: &[&str] = &[
    "awk",
    "base64",
    "basename",
    "cat",
    "chmod",
    "cp",
    "cut",
    "date",
    "dirname",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "hostname",
    "httpd",
    "id",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "nc",
    "nslookup",
    "printf",
    "ps",
    "pwd",
    "rm",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "uname",
    "uniq",
    "vi",
    "wc",
    "wget",
    "whoami",
    "xargs",
];

/// Loads pause and busybox, once containerd answers.
pub(super) fn load_own(state: &State, record: &Record) -> anyhow::Result<()> {
    let busybox = requirements::busybox().context("busybox is not installed")?;
    let layer = || Layer::new().program("bin/busybox", &busybox);
    let mut shell = layer()?;
    for applet in APPLETS {
        shell = shell.link(&format!("bin/{applet}"), "busybox");
    }
    let image = |reference: &str, entrypoint: &[&str], layer| -> anyhow::Result<Image> {
        Ok(Image::new(reference.parse().map_err(anyhow::Error::msg)?, entrypoint, layer))
    };
    let file = state.path("tmp/own-images.tar");
    archive::write(
        &file,
        vec![
            image(PAUSE, &["/bin/busybox", "sleep", "2147483647"], layer()?)?,
            image(BUSYBOX, &["/bin/sh"], shell)?,
        ],
    )?;
    let socket = state.path("containerd.sock");
    wait::until("containerd to answer", PATIENCE, || {
        super::launch::still_runs(state, super::launch::Place::Node, "containerd")?;
        let answered = system("ctr").arg("--address").arg(&socket).arg("version").output();
        Ok(answered.context("cannot run ctr")?.status.success().then_some(()))
    })
    .with_context(|| wait::tail(&state.log("containerd")))?;
    load(state, record, &file)?;
    std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

/// Loads the images of an archive.
pub(super) fn load(state: &State, record: &Record, archive: &Path) -> anyhow::Result<()> {
    let Some(snapshotter) = &record.snapshotter else {
        bail!("the cluster {:?} has no node that could run images", state.name());
    };
    let mut command = system("ctr");
    command.arg("--address").arg(state.path("containerd.sock")).args(["--namespace", NAMESPACE]);
    command.args(["images", "import", "--snapshotter", snapshotter]).arg(archive);
    network::run(&mut command).with_context(|| format!("cannot load {}", archive.display()))
}
