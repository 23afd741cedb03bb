//! Files that are made from code or from upstream, committed, and checked to be what they would be made into.

use std::path::Path;

use anyhow::{Context as _, bail};
use aphex_api::crds::File;

use crate::engines;
use crate::run::{root, say};

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

/// Fails when a committed file is not what it would be generated as.
pub(crate) fn check() -> anyhow::Result<()> {
    let folder = root().join("platform/crds");
    let mut wrong = Vec::new();
    let wanted = crds()?;
    for file in &wanted {
        if read(&folder.join(&file.name)) != file.text {
            wrong.push(format!("platform/crds/{}", file.name));
        }
    }
    say(&format!("generated: {} files compared", wanted.len()));
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
