//! What a node needs from the system, by the names that Debian has for it.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

/// A file that must be there, a program (without a slash) or a path; and the package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    (super::node_files::CNI_PLUGINS, "containernetworking-plugins"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("mount", "mount"),
    ("unshare", "util-linux"),
];

/// Fails with the names of all that is missing and the line that installs it.
pub(super) fn check() -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("a node needs Linux; `cargo xtask cluster up --api-only` runs without one");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("a node needs root; `cargo xtask cluster up --api-only` does not");
    }
    let missing: Vec<_> = NEEDED.iter().filter(|(file, _)| !is_there(file)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let files: Vec<&str> = missing.iter().map(|(file, _)| *file).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    bail!(
        "a node needs {}, which this machine does not have; on Debian:\n  apt-get update && apt-get install -y {}",
        files.join(", "),
        packages.join(" ")
    )
}

/// The busybox that goes into images must need no library.
pub(super) fn busybox() -> Option<std::path::PathBuf> {
    which("busybox")
}

fn is_there(file: &str) -> bool {
    if file.contains('/') { Path::new(file).exists() } else { which(file).is_some() }
}

/// The path of a program. Administrators' folders count even if this user's PATH lacks them.
pub(super) fn which(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A system program, wherever it is.
pub(super) fn system(program: &str) -> Command {
    Command::new(which(program).unwrap_or_else(|| program.into()))
}
