//! The clients' packages: installed once into a cache that is found by what is pinned.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use aphex_testkit::left_out;

/// A folder for `PYTHONPATH`; nothing without Python.
pub(in crate::it) fn python(test: &str, session: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !is_there(test, "python3", "--version")? {
        return Ok(None);
    }
    let folder = installed("python", session, &["requirements.txt"], |folder| {
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]);
        install.args(["--root-user-action", "ignore", "--target"]).arg(folder);
        install.arg("--requirement").arg(session.join("requirements.txt"));
        install
    })?;
    Ok(Some(folder))
}

/// A folder with `node_modules`; nothing without Node.
pub(in crate::it) fn javascript(test: &str, session: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !is_there(test, "node", "--version")? || !is_there(test, "npm", "--version")? {
        return Ok(None);
    }
    let pinned = ["package.json", "package-lock.json"];
    let folder = installed("javascript", session, &pinned, |folder| {
        for name in &pinned {
            // A missing copy is the installation's error.
            let _ = std::fs::copy(session.join(name), folder.join(name));
        }
        let mut install = Command::new("npm");
        install.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder);
        install
    })?;
    Ok(Some(folder))
}

/// A folder with a copy of a script beside its packages, where Node looks for them.
pub(in crate::it) fn beside(script: &Path, packages: &Path) -> anyhow::Result<tempfile::TempDir> {
    let place = tempfile::tempdir()?;
    let name = script.file_name().context("a script has a name")?;
    std::fs::copy(script, place.path().join(name))?;
    std::os::unix::fs::symlink(packages.join("node_modules"), place.path().join("node_modules"))?;
    Ok(place)
}

/// The source of a module that an engine is built from, where Go keeps it.
pub(super) fn go_source(engine: &str, module: &str) -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../engines").join(engine);
    let mut list = Command::new("go");
    let output = list.args(["list", "-m", "-f", "{{.Dir}}", module]).current_dir(folder).output()?;
    let path = String::from_utf8(output.stdout)?.trim().to_owned();
    anyhow::ensure!(
        output.status.success() && !path.is_empty(),
        "Go has no source of {module}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(PathBuf::from(path))
}

/// Whether a tool is there. Without it a test is left out, which is an error where everything shall run.
fn is_there(test: &str, tool: &str, version: &str) -> anyhow::Result<bool> {
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
fn installed(
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
