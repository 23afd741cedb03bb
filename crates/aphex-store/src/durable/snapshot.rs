//! Backups: the current state, without history, as a store file of its own.

use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database};

use super::load::{Meta, write_meta};
use super::{CACHE_BYTES, CURRENT, FORMAT, Failure, LOG, create, record, sync_folder};
use crate::entry::{Entry, Revision};

/// A backup could not be written. The store itself is not affected.
#[derive(Debug, thiserror::Error)]
#[error("could not write a backup to {}", path.display())]
pub struct SnapshotError {
    path: PathBuf,
    #[source]
    source: Failure,
}

impl SnapshotError {
    pub(crate) fn new(path: &Path, source: Failure) -> Self {
        Self { path: path.to_owned(), source }
    }
}

/// What goes into a backup: one state that was visible.
pub(crate) struct Snapshot {
    pub(crate) entries: Vec<Entry>,
    pub(crate) revision: Revision,
    pub(crate) cluster_id: String,
}

impl Snapshot {
    /// Writes the whole file under another name first, so that a half one is never taken for it.
    pub(crate) fn write(&self, path: &Path) -> Result<(), SnapshotError> {
        let partial = path.with_added_extension("partial");
        let written = self.write_to(path, &partial);
        if written.is_err() {
            // The error that counts is the one before.
            let _ = std::fs::remove_file(&partial);
        }
        written.map_err(|source| SnapshotError::new(path, source))
    }

    fn write_to(&self, path: &Path, partial: &Path) -> Result<(), Failure> {
        if path.try_exists()? {
            return Err("the file exists; a backup never replaces another".into());
        }
        // What an earlier attempt left is no database to go on with.
        if partial.try_exists()? {
            std::fs::remove_file(partial)?;
        }
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create_with_backend(FileBackend::new(create(partial)?)?)?;
        self.fill(&database)?;
        drop(database);
        std::fs::rename(partial, path)?;
        sync_folder(path)?;
        Ok(())
    }

    fn fill(&self, database: &Database) -> Result<(), Failure> {
        let transaction = database.begin_write()?;
        {
            let mut current = transaction.open_table(CURRENT)?;
            for entry in &self.entries {
                current.insert(entry.key.as_bytes(), record::entry(entry).as_slice())?;
            }
            transaction.open_table(LOG)?;
            // Without history the oldest readable revision is the newest.
            let (cluster_id, compacted) = (self.cluster_id.clone(), self.revision);
            write_meta(&transaction, &Meta { format: FORMAT, cluster_id, compacted })?;
        }
        transaction.commit()?;
        Ok(())
    }
}
