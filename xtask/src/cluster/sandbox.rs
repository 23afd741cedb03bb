//! The namespaces a node lives in, seen from outside: making them, asking for services, ending them.
//!
//! ```text
//! unshare --kill-child   a process of this machine; when it ends, so does the next
//!  └─ cluster init       process 1 of the node; when it ends, the kernel ends all below, their mounts and network
//!      ├─ etcd, kube-apiserver, containerd, kubelet ...
//!      └─ what containerd starts
//! ```

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::network::Network;
use super::requirements::system;
use super::services::{self, Service};
use super::state::State;
use super::{launch, network, wait};
use crate::folders;

/// The name of the first process, for logs.
pub(super) const INIT: &str = "init";
/// Where the first process is asked to start services.
pub(super) const SOCKET: &str = "init.sock";
/// How long the first process may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first process' answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The service runs.
    Started,
    /// It does not, and why.
    Failed(String),
}

/// Makes the namespaces and connects their network with this machine's.
pub(super) fn create(state: &State, network: &Network) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut command = system("unshare");
    command
        .args([
            "--mount",
            "--propagation=private",
            "--pid",
            "--net",
            "--ipc",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg("--")
        .arg(own)
        .args(["cluster", "init"])
        .arg("--folder")
        .arg(state.folder())
        .arg("--engines")
        .arg(engines()?)
        .args(["--host", &network.host.to_string(), "--node", &network.node.to_string()]);
    let outer = launch::spawn(state, INIT, &mut command)?;
    let first = wait::until("the node's first process", PATIENCE, || {
        still_runs(state)?;
        Ok(outer.children().first().copied())
    })?;
    state.write("processes/first.json", &first)?;
    network::connect(network, first)?;
    wait::until("the node's network and mounts", PATIENCE, || {
        still_runs(state)?;
        Ok(UnixStream::connect(state.path(SOCKET)).is_ok().then_some(()))
    })
    .with_context(|| wait::tail(&state.log(INIT)))
}

fn still_runs(state: &State) -> anyhow::Result<()> {
    launch::still_runs(state, launch::Place::Here, INIT)
}

/// Has the first process start a service.
pub(super) fn start(state: &State, service: &Service) -> anyhow::Result<()> {
    let program = services::inside(&service.program, &engines()?);
    let wanted = Service { program, ..service.clone() };
    let mut stream =
        UnixStream::connect(state.path(SOCKET)).context("the node's first process does not answer")?;
    stream.write_all(&serde_json::to_vec(&wanted)?).context("cannot ask the node's first process")?;
    stream.shutdown(Shutdown::Write).context("cannot ask the node's first process")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context("the node's first process does not answer")?;
    match serde_json::from_str(&line).context("the node's first process answers nonsense")? {
        Answer::Started => Ok(()),
        Answer::Failed(why) => bail!("{why}"),
    }
}

/// How a service of the node has ended; nothing while it runs.
pub(super) fn how_ended(state: &State, name: &str) -> anyhow::Result<Option<String>> {
    still_runs(state)?;
    match std::fs::read_to_string(state.path("ended").join(name)) {
        Ok(how) => Ok(Some(how)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot tell how {name} ended")),
    }
}

/// Which snapshotter works here: sharing what containers have in common is quicker, but a file system that is itself
/// an overlay cannot carry another.
pub(super) fn snapshotter(folder: &Path) -> &'static str {
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| folder.join(name));
    if [&lower, &upper, &work, &merged].into_iter().any(|path| std::fs::create_dir_all(path).is_err()) {
        return "native";
    }
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    // In a mount namespace of its own, so that nothing can be left mounted.
    let tried = system("unshare")
        .args(["--mount", "--", "mount", "--no-mtab", "-t", "overlay", "overlay", "-o"])
        .arg(options)
        .arg(&merged)
        .output();
    if tried.is_ok_and(|output| output.status.success()) { "overlayfs" } else { "native" }
}

/// The folder of all engines, without links on the way.
fn engines() -> anyhow::Result<std::path::PathBuf> {
    let folder = folders::cache()?.join("engines");
    folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))
}
