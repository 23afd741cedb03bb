//! The Rust sources of the workspace, as the checks read them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::run::root;

/// Every Rust file below the crates' and xtask's `src` folders, sorted.
pub(crate) fn files() -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for krate in crates()? {
        walk(&krate.join("src"), &mut found)?;
    }
    found.sort();
    Ok(found)
}

/// The folders of all crates, xtask included.
pub(crate) fn crates() -> anyhow::Result<Vec<PathBuf>> {
    let folder = root().join("crates");
    let mut found = vec![root().join("xtask")];
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        found.push(entry?.path());
    }
    found.retain(|path| path.join("Cargo.toml").exists());
    found.sort();
    Ok(found)
}

/// Collects Rust files below a folder; a missing folder has none, and a package within is another's.
pub(crate) fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if !path.join("Cargo.toml").exists() {
                walk(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The text before the inline test module: the production lines.
pub(crate) fn production(text: &str) -> &str {
    match text.find("#[cfg(test)]\nmod tests {") {
        Some(end) => &text[..end],
        None => text,
    }
}

/// A path as people know it.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
