//! The clients' packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use aphex_testkit::left_out;
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

/// A program of a cargo workspace of its own; nothing where its crates cannot be had.
///
/// Built where the workspace's tests keep their things, so that a second run has next to nothing to build.
pub(in crate::it) fn rust(test: &str, session: &Path, program: &str) -> anyhow::Result<Option<PathBuf>> {
    let cargo = || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(session).stdin(Stdio::null());
        cargo
    };
    let fetched = cargo().args(["fetch", "--locked", "--quiet"]).output().context("cannot run cargo")?;
    if !fetched.status.success() {
        let why = String::from_utf8_lossy(&fetched.stderr).trim().to_owned();
        anyhow::ensure!(
            std::env::var_os("APHEX_REQUIRE_ENGINES").is_none(),
            "{test} needs crates (and the network once):\n{why}"
        );
        left_out(test, &format!("its crates cannot be had: {}", why.lines().next().unwrap_or_default()));
        return Ok(None);
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program);
    let mut build = cargo();
    build.args(["build", "--locked", "--offline", "--quiet", "--target-dir"]).arg(&target);
    // What this build was told of targets and flags is not that one's business.
    for variable in ["CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        build.env_remove(variable);
    }
    let built = build.output().context("cannot run cargo")?;
    anyhow::ensure!(
        built.status.success(),
        "cannot build {program}:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    Ok(Some(target.join("debug").join(program)))
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
