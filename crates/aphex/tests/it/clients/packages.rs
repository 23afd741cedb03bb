//! The clients' packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use aphex_testkit::packages::{installed, is_there, npm};

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
    npm(test, "javascript", session)
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
