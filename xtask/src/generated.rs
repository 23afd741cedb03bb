//! Files that are made from code or from upstream, committed, and checked to be what they would be made into.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use aphex_api::crds::File;

use crate::engines;
use crate::run::{built, cargo, root, say, succeed};

/// The reference of the command line, in `docs`.
const REFERENCE: &str = "cli.md";

/// Writes `platform/crds` from the Rust types.
pub(crate) fn write_crds() -> anyhow::Result<()> {
    let folder = root().join("platform/crds");
    std::fs::create_dir_all(&folder)?;
    for file in crds()? {
        std::fs::write(folder.join(&file.name), file.text)
            .with_context(|| format!("cannot write {}", file.name))?;
    }
    Ok(())
}

/// Writes the published schemas that the API server ships, from the pinned Kubernetes module.
pub(crate) fn write_openapi() -> anyhow::Result<()> {
    let source = engines::module_source("kubernetes", "k8s.io/kubernetes")?;
    crate::openapi::generate(&source, &root().join("crates/aphex-schema/data"))
}

/// Writes `docs/cli.md` from the arguments of the program, which it builds first.
pub(crate) fn write_reference() -> anyhow::Result<()> {
    reference_into(&root().join("docs"))
}

fn reference_into(folder: &Path) -> anyhow::Result<()> {
    succeed(cargo().args(["build", "--quiet", "--package", "aphex"]))?;
    succeed(
        Command::new(built("aphex")).args(["man", "--format", "markdown"]).arg(folder).stderr(Stdio::null()),
    )
}

/// Fails when a committed file is not what it would be generated as.
pub(crate) fn check() -> anyhow::Result<()> {
    let made = tempfile::tempdir()?;
    reference_into(made.path())?;
    if read(&made.path().join(REFERENCE)) != read(&root().join("docs").join(REFERENCE)) {
        bail!("out of date, run `cargo xtask reference`: docs/{REFERENCE}");
    }
    let folder = root().join("platform/crds");
    let mut wrong = Vec::new();
    let wanted = crds()?;
    for file in &wanted {
        if read(&folder.join(&file.name)) != file.text {
            wrong.push(format!("platform/crds/{}", file.name));
        }
    }
    say(&format!("generated: {} files compared", wanted.len() + 1));
    if !wrong.is_empty() {
        bail!("out of date, run `cargo xtask crds`:\n{}", wrong.join("\n"));
    }
    Ok(())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The files of `platform/crds`.
fn crds() -> anyhow::Result<Vec<File>> {
    aphex_api::crds::files().context("cannot write the custom resource definitions as YAML")
}
