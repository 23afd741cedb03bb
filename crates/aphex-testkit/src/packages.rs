//! Packages of other languages that tests use: installed once into a cache that is found by what is pinned.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::engines::left_out;

/// A folder with `node_modules`, as a folder's `package.json` and `package-lock.json` say; nothing without Node.
pub fn npm(test: &str, name: &str, source: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !is_there(test, "node", "--version")? || !is_there(test, "npm", "--version")? {
        return Ok(None);
    }
    let pinned = ["package.json", "package-lock.json"];
    let folder = installed(name, source, &pinned, |folder| {
        for name in &pinned {
            // A missing copy is the installation's error.
            let _ = std::fs::copy(source.join(name), folder.join(name));
        }
        let mut install = Command::new("npm");
        install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder);
        install
    })?;
    Ok(Some(folder))
}

/// Whether a tool is there. Without it a test is left out, which is an error where everything shall run.
pub fn is_there(test: &str, tool: &str, version: &str) -> anyhow::Result<bool> {
    let mut ask = Command::new(tool);
    let answer = ask.arg(version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if answer.is_ok_and(|status| status.success()) {
        return Ok(true);
    }
    anyhow::ensure!(
        std::env::var_os("APHEX_REQUIRE_ENGINES").is_none(),
        "{test} needs {tool}, which is not installed"
    );
    left_out(test, &format!("{tool} is not installed"));
    Ok(false)
}

/// The folder that a command fills, filled once for these contents of the pinned files.
pub fn installed(
    name: &str,
    source: &Path,
    pinned: &[&str],
    install: impl FnOnce(&Path) -> Command,
) -> anyhow::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    for file in pinned {
        let text = std::fs::read(source.join(file)).with_context(|| format!("cannot read {file}"))?;
        (file, text).hash(&mut hasher);
    }
    let clients = cache()?.join("aphex/clients");
    let folder = clients.join(format!("{name}-{:016x}", hasher.finish()));
    if folder.exists() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&clients)?;
    // Filled beside and renamed, so that what was interrupted is not taken for whole.
    let beside = tempfile::Builder::new().prefix(&format!(".{name}-")).tempdir_in(&clients)?;
    let mut command = install(beside.path());
    let output =
        command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    anyhow::ensure!(
        output.status.success(),
        "cannot install the packages of {name} (this needs the network once):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let renamed = std::fs::rename(beside.path(), &folder);
    // Another test may have been first.
    anyhow::ensure!(renamed.is_ok() || folder.exists(), "cannot create {}", folder.display());
    Ok(folder)
}

fn cache() -> anyhow::Result<PathBuf> {
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")
}
