//! Ending a cluster, in whatever state it is.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::process::{self, Process};
use super::state::State;
use super::{control_groups, network};

/// Ends everything and removes the files.
pub(super) fn remove(state: &State) -> anyhow::Result<()> {
    stop(state)?;
    match fs::remove_dir_all(state.folder()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", state.folder().display()))
        }
        _ => Ok(()),
    }
}

/// Ends everything and leaves the files.
pub(super) fn stop(state: &State) -> anyhow::Result<()> {
    if !state.folder().exists() {
        return Ok(());
    }
    // Again as long as there are any: what is being ended may have started another.
    loop {
        let mut found = written(&state.path("processes"));
        found.extend(process::marked(state.folder()));
        found.retain(|process| process.is_alive());
        if found.is_empty() {
            break;
        }
        for process in found {
            process.end()?;
        }
    }
    if let Some(network) = state.record()?.and_then(|record| record.network) {
        network::disconnect(&network)?;
        control_groups::remove(state.name())?;
    }
    Ok(())
}

/// The processes that were written down.
fn written(folder: &Path) -> Vec<Process> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| serde_json::from_slice(&fs::read(entry.ok()?.path()).ok()?).ok()).collect()
}
