//! An engine to run specs on: `aphex up`, the real controllers of workloads, and an object that says it is a node.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use crate::run::built;

/// Specs wait for history to be dropped; so do we, but not for minutes.
const HISTORY: &str = "20";
/// The loops of kube-controller-manager that the embedded engine has no counterpart of.
const LOOPS: &str = "deployment-controller,replicaset-controller,replicationcontroller-controller";
/// The suite wants a schedulable node.
const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"stand-in","labels":{"kubernetes.io/os":"linux","kubernetes.io/arch":"amd64","kubernetes.io/hostname":"stand-in"}}}"#;
const NODE_STATUS: &str = r#"{"status":{"capacity":{"cpu":"8","memory":"16Gi","pods":"110"},"allocatable":{"cpu":"8","memory":"16Gi","pods":"110"},"conditions":[{"type":"Ready","status":"True","reason":"StandIn","message":"stands in for a node","lastHeartbeatTime":"2099-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"}],"addresses":[{"type":"InternalIP","address":"127.0.0.1"}]}}"#;

/// A running engine; gone when dropped.
pub(super) struct Bench {
    children: Vec<Child>,
    folder: Option<tempfile::TempDir>,
}

impl Bench {
    /// Starts everything and waits until it is ready.
    pub(super) fn start(programs: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("aphex-conformance-").tempdir()?;
        let mut bench = Self { children: Vec::new(), folder: Some(folder) };
        bench.up()?;
        bench.controllers(programs)?;
        let kubectl = programs.join("kubectl");
        bench.kubectl(&kubectl, &["create", "-f", "-"], NODE)?;
        bench.kubectl(
            &kubectl,
            &["patch", "node", "stand-in", "--subresource=status", "--type=merge", "-p", NODE_STATUS],
            "",
        )?;
        bench.kubectl(
            &kubectl,
            &["patch", "node", "stand-in", "--type=merge", "-p", r#"{"spec":{"taints":null}}"#],
            "",
        )?;
        Ok(bench)
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), tempfile::TempDir::path)
    }

    /// The administrator's kubeconfig.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder().join("data/kubeconfig")
    }

    /// Leaves the files where they are.
    pub(super) fn keep(mut self) -> PathBuf {
        self.folder.take().map_or_else(PathBuf::new, tempfile::TempDir::keep)
    }

    fn log(&self, name: &str) -> anyhow::Result<std::fs::File> {
        Ok(std::fs::File::create(self.folder().join(format!("{name}.log")))?)
    }

    fn up(&mut self) -> anyhow::Result<()> {
        let mut child = Command::new(built("aphex"))
            .args([
                "up",
                "--api-port",
                "0",
                "--gateway-port",
                "0",
                "--issuer-port",
                "0",
                "--history",
                HISTORY,
                "--data-dir",
            ])
            .arg(self.folder().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.log("aphex")?)
            .spawn()
            .context("cannot run aphex")?;
        let lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines);
        let ready = lines.map_while(Result::ok).any(|line| line.contains("is ready"));
        self.children.push(child);
        let log = self.folder().join("aphex.log");
        anyhow::ensure!(ready, "aphex up did not become ready: {}", std::fs::read_to_string(log)?);
        Ok(())
    }

    fn controllers(&mut self, programs: &Path) -> anyhow::Result<()> {
        let child = Command::new(programs.join("kube-controller-manager"))
            .arg(format!("--kubeconfig={}", self.kubeconfig().display()))
            .arg(format!("--controllers={LOOPS}"))
            // Its Lease, renewed every two seconds, is what moves the revision of an otherwise quiet engine on.
            .args(["--leader-elect=true", "--secure-port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log("kube-controller-manager")?)
            .spawn()
            .context("cannot run kube-controller-manager")?;
        self.children.push(child);
        Ok(())
    }

    fn kubectl(&self, kubectl: &Path, arguments: &[&str], input: &str) -> anyhow::Result<()> {
        let mut child = Command::new(kubectl)
            .arg(format!("--kubeconfig={}", self.kubeconfig().display()))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "kubectl {} failed: {said}", arguments[0]);
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
