//! The Go toolchain that builds engines.

use std::collections::HashMap;
use std::fmt;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::Context as _;

use super::catalog::Engine;
use crate::run::root;

/// Go is not on this machine.
#[derive(Debug)]
pub(super) struct NoGo;

impl fmt::Display for NoGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Go is not installed: install Go 1.25 or later (https://go.dev/dl) and put it into PATH")
    }
}

impl std::error::Error for NoGo {}

/// What Go said before: a cluster asks for its programs often, and Go takes its time.
static KNOWN: LazyLock<Mutex<HashMap<&'static str, String>>> = LazyLock::new(Mutex::default);

/// What builds an engine, such as `go1.26.8-linux-amd64`.
pub(super) fn version(engine: &Engine) -> anyhow::Result<String> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = known.get(engine.name) {
        return Ok(version.clone());
    }
    let version = ask(engine)?;
    known.insert(engine.name, version.clone());
    Ok(version)
}

/// Asks in the engine's folder, because a module may ask for a newer toolchain than the installed one.
fn ask(engine: &Engine) -> anyhow::Result<String> {
    let folder = root().join("engines").join(engine.name);
    let output =
        match Command::new("go").args(["env", "GOVERSION", "GOOS", "GOARCH"]).current_dir(&folder).output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(NoGo.into()),
            Err(error) => return Err(error).context("cannot run go"),
        };
    anyhow::ensure!(
        output.status.success(),
        "go cannot work with engines/{}: {}",
        engine.name,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?.split_whitespace().collect::<Vec<_>>().join("-"))
}
