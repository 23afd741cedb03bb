//! Other people's own tests, run against `aphex up`.
//!
//! kube-rs: the tests in the published crates that need a cluster and are therefore ignored by default. Their sources
//! are those cargo has for our own dependency, put into a workspace of their own in the cache.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::folders;
use crate::run::{built, cargo, note, root, say, succeed};

/// Whose tests.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Whose {
    /// kube, kube-client and kube-runtime
    KubeRs,
}

/// The crates whose library tests are run.
const CRATES: &[&str] = &["kube", "kube-client", "kube-runtime"];
/// As wide as the tests want, with one TLS and one crypto library.
const FEATURES: &str = "kube/derive,kube/runtime,kube/rustls-tls,kube/aws-lc-rs,kube/jsonpatch,\
     kube-client/client,kube-client/rustls-tls,kube-client/aws-lc-rs,kube-client/ws,kube-client/jsonpatch,\
     kube-client/unstable-client";
/// Tests that wait for a pod to run, read its log or enter it: they need a kubelet.
const NEED_KUBELET: &[&str] = &[
    "test::pod_can_await_conditions",
    "test::can_get_pod_logs_and_evict",
    "test::pod_can_exec_and_write_to_stdin",
];
/// Tests use the crate `kube` as well, which publishing drops from the crates that `kube` itself consists of.
const DEVELOPMENT: &str = "\n[dev-dependencies.kube]\nversion = \"*\"\nfeatures = [\"client\", \"derive\"]\ndefault-features = false\n";

pub(crate) fn run(whose: Whose) -> anyhow::Result<()> {
    match whose {
        Whose::KubeRs => kube_rs(),
    }
}

fn kube_rs() -> anyhow::Result<()> {
    let folder = workspace()?;
    let test = || {
        let mut command = cargo();
        command.current_dir(&folder).env_remove("CARGO_TARGET_DIR").env("CARGO_PROFILE_DEV_DEBUG", "0");
        command.args(["test", "--workspace", "--lib", "--no-default-features", "--features", FEATURES]);
        command
    };
    note("building kube-rs' tests (minutes, once)");
    succeed(test().arg("--no-run"))?;
    note("building aphex");
    succeed(cargo().args(["build", "--package", "aphex"]))?;
    let platform = Platform::start(&folder.join("data"))?;
    let mut tests = test();
    tests.env("KUBECONFIG", platform.data.join("kubeconfig")).args(["--no-fail-fast", "--", "--ignored"]);
    for name in NEED_KUBELET {
        say(&format!("left out: {name}: needs a kubelet"));
        tests.args(["--skip", name]);
    }
    succeed(&mut tests)
}

/// A workspace of the three crates as they are published, in the versions of our lock file.
fn workspace() -> anyhow::Result<PathBuf> {
    let output = cargo().args(["metadata", "--format-version", "1"]).output().context("cannot run cargo")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut manifest = "[workspace]\nresolver = \"3\"\n".to_owned();
    writeln!(manifest, "members = {CRATES:?}\n\n[patch.crates-io]")?;
    let mut folder = PathBuf::new();
    for name in CRATES {
        let package =
            metadata["packages"].as_array().into_iter().flatten().find(|package| package["name"] == *name);
        let package = package.with_context(|| format!("{name} is not among our dependencies"))?;
        let text = |field: &str| package[field].as_str().with_context(|| format!("{name} has no {field}"));
        folder = folders::cache()?.join("clients").join(format!("kube-rs-{}", text("version")?));
        let source = Path::new(text("manifest_path")?).parent().context("a manifest lies in a folder")?;
        copy(source, &folder.join(name)).with_context(|| format!("cannot copy {}", source.display()))?;
        if *name != "kube" {
            let manifest = folder.join(name).join("Cargo.toml");
            fs::write(&manifest, fs::read_to_string(&manifest)? + DEVELOPMENT)?;
        }
        writeln!(manifest, "{name} = {{ path = {name:?} }}")?;
    }
    fs::write(folder.join("Cargo.toml"), manifest)?;
    if !folder.join("Cargo.lock").exists() {
        fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    }
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (source, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if source.is_dir() {
            copy(&source, &target)?;
        } else if source.file_name().is_some_and(|name| name != "Cargo.lock") {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// A running `aphex up`; ended when dropped.
struct Platform {
    child: Child,
    data: PathBuf,
}

impl Platform {
    fn start(data: &Path) -> anyhow::Result<Self> {
        if data.exists() {
            fs::remove_dir_all(data)?;
        }
        let mut up = Command::new(built("aphex"));
        up.args(["up", "--api-port", "0", "--gateway-port", "0", "--issuer-port", "0", "--data-dir"])
            .arg(data)
            .stdout(Stdio::piped());
        let mut child = up.spawn().context("cannot run aphex")?;
        let output = child.stdout.take();
        let platform = Self { child, data: data.to_owned() };
        for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
            if line? == "Aphex is ready." {
                return Ok(platform);
            }
        }
        bail!("`aphex up` ended before it was ready");
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
