//! Moves an engine to another version: the pin, and what upstream makes follow from it.

use std::process::{Command, Output};

use anyhow::{Context as _, bail};

use super::catalog::{self, Engine};
use super::pins::{self, Pins, counterpart};
use crate::run::say;

const KUBERNETES: &str = "k8s.io/kubernetes";

/// What `cargo xtask engines bump` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The engine: a folder below engines/
    engine: String,
    /// The wanted version of its module, such as v1.35.5
    version: String,
    /// Which module, when the engine has several: a part of its path
    #[arg(long)]
    module: Option<String>,
}

/// Edits `go.mod` and lets Go write `go.sum`; on failure both are as before.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let engine = catalog::engine(&arguments.engine)?;
    let pins = Pins::read(engine)?;
    let module = module(engine, arguments.module.as_deref())?;
    let before = pins.version(module)?.to_owned();
    let sums = std::fs::read_to_string(pins.folder.join("go.sum")).context("cannot read go.sum")?;
    let moved = edits(&pins, module, &arguments.version)
        .and_then(|edits| go(&pins, &[&["mod", "edit"], as_slices(&edits).as_slice()].concat()))
        .and_then(|_| go(&pins, &["mod", "tidy"]));
    if let Err(error) = moved {
        std::fs::write(pins.folder.join("go.mod"), &pins.manifest).context("cannot restore go.mod")?;
        std::fs::write(pins.folder.join("go.sum"), sums).context("cannot restore go.sum")?;
        return Err(error.context(format!("engines/{} stays at {module} {before}", engine.name)));
    }
    let now = Pins::read(engine)?;
    let now = now.version(module)?;
    if now != arguments.version {
        bail!("a dependency asks for {module} {now}: engines/{} now has that", engine.name);
    }
    say(&format!(
        "engines/{}: {module} {before} -> {now}; next: cargo xtask engines {}",
        engine.name, engine.name
    ));
    Ok(())
}

/// The one pinned module of an engine that fits.
fn module(engine: &Engine, part: Option<&str>) -> anyhow::Result<&'static str> {
    let mut modules: Vec<&str> = engine.programs.iter().map(|program| program.module).collect();
    modules.dedup();
    modules.retain(|module| part.is_none_or(|part| module.contains(part)));
    match modules.as_slice() {
        [one] => Ok(one),
        [] => bail!("engines/{} pins no module with {:?}", engine.name, part.unwrap_or_default()),
        several => bail!("engines/{} pins {}: say which with --module", engine.name, several.join(" and ")),
    }
}

/// The arguments of `go mod edit`.
fn edits(pins: &Pins, module: &str, version: &str) -> anyhow::Result<Vec<String>> {
    let mut edits = vec![format!("-require={module}@{version}")];
    if module == KUBERNETES {
        let libraries =
            counterpart(version).with_context(|| format!("{version:?} is no version of Kubernetes"))?;
        let staged = staged(pins, version)?;
        let dropped = pins::replaced(&pins.manifest)
            .into_iter()
            .filter(|(old, _)| !staged.iter().any(|new| new == old));
        edits.extend(dropped.map(|(old, _)| format!("-dropreplace={old}")));
        edits.extend(staged.iter().map(|library| format!("-replace={library}={library}@{libraries}")));
    } else if module == "k8s.io/kubectl" {
        // Kubernetes' libraries are released together; one that stays behind would pull, or hold, the others.
        let now = pins.version(module)?;
        edits.extend(pins::at(&pins.manifest, now).map(|library| format!("-require={library}@{version}")));
    }
    Ok(edits)
}

/// The libraries that a version of Kubernetes keeps in its own tree: its `go.mod` replaces them by folders, which only
/// count there, so we replace them by their releases.
fn staged(pins: &Pins, version: &str) -> anyhow::Result<Vec<String>> {
    let output = go(pins, &["mod", "download", "-json", &format!("{KUBERNETES}@{version}")])?;
    let download: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cannot read go's answer")?;
    let path = download["GoMod"].as_str().context("go did not say where the go.mod is")?;
    let manifest = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(folders(&manifest))
}

/// The modules that `replace` lines put into folders.
fn folders(manifest: &str) -> Vec<String> {
    manifest
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("replace ").split_once(" => ./staging/"))
        .map(|(module, _)| module.to_owned())
        .collect()
}

fn as_slices(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn go(pins: &Pins, arguments: &[&str]) -> anyhow::Result<Output> {
    let output = match Command::new("go").args(arguments).current_dir(&pins.folder).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(super::toolchain::NoGo.into());
        }
        output => output.context("cannot run go")?,
    };
    if !output.status.success() {
        bail!("go {} failed: {}", arguments[..2].join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_kubernetes_own_manifest() {
        let manifest = "require k8s.io/api v0.0.0\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tx.y/z => x.y/w v1\n)\n";
        assert_eq!(folders(manifest), ["k8s.io/api"]);
    }

    #[test]
    fn the_module_must_be_named_where_there_are_several() {
        let tekton = catalog::engine("tekton").unwrap();
        assert!(module(tekton, None).unwrap_err().to_string().contains("--module"));
        assert_eq!(module(tekton, Some("triggers")).unwrap(), "github.com/tektoncd/triggers");
        assert_eq!(module(catalog::engine("etcd").unwrap(), None).unwrap(), "go.etcd.io/etcd/server/v3");
    }
}
