//! Manifests as files.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::output::say;

/// Objects as YAML, one document each.
pub(super) fn documents(objects: &[Value]) -> anyhow::Result<String> {
    let texts = objects.iter().map(serde_saphyr::to_string).collect::<Result<Vec<_>, _>>();
    Ok(texts.context("cannot write YAML")?.join("---\n"))
}

/// Writes a file whole or not at all, from the start with its permissions.
pub(super) fn put(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let beside = path.with_added_extension("new");
    let written = || {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("{} written", path.display()));
    Ok(())
}
