//! A note beside the store's file that says which process holds it.
//!
//! The lock itself is the engine's lock on the file and goes with the process. The note only
//! lets the next one say who is in the way, so failing to write it is not an error.

use std::path::{Path, PathBuf};

/// The note; it goes when dropped.
#[derive(Debug)]
pub(super) struct Holder {
    path: PathBuf,
}

impl Holder {
    /// Writes the note. Only the holder of the lock does.
    pub(super) fn announce(store: &Path) -> Self {
        let path = note(store);
        let fresh = path.with_extension("holder-new");
        let written = std::fs::write(&fresh, format!("{}\n", std::process::id()))
            .and_then(|()| std::fs::rename(&fresh, &path));
        if let Err(error) = written {
            tracing::warn!(%error, path = %path.display(), "could not note who holds the store");
        }
        Self { path }
    }

    /// The process id in the note, if there is one.
    pub(super) fn of(store: &Path) -> Option<u32> {
        std::fs::read_to_string(note(store)).ok()?.trim().parse().ok()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // A note left behind does no harm: without the lock nobody reads it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn note(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".holder");
    store.with_file_name(name)
}
