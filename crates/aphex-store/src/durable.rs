//! The log on disk. The only module that knows the storage engine, redb.
//!
//! Three tables. `current` has what each key holds. `log` has, per revision, what each changed key
//! held *before*: with `current` that is the whole recent history, and dropping old revisions is
//! all that compaction takes. `meta` has the format, the identity and how far the log was compacted;
//! a commit leaves it alone, since every table it touches costs pages to write.
//!
//! Every commit is synced before it returns, and no read transaction outlives the opening.

#[cfg(test)]
mod crash;
mod holder;
mod load;
mod open_error;
mod record;
mod snapshot;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

pub(crate) use load::Loaded;
pub use open_error::OpenError;
use open_error::OpenFailure;
use redb::backends::FileBackend;
use redb::{Builder, Database, Durability, StorageBackend, TableDefinition};
pub(crate) use snapshot::Snapshot;
pub use snapshot::SnapshotError;

use self::holder::Holder;
use crate::entry::{Event, EventKind, Revision};
use crate::log::{Batch, DiskError, Log};

/// Changes when older programs can no longer read what we write.
const FORMAT: u64 = 1;

/// Reads are answered from memory, so the engine caches only what commits touch.
const CACHE_BYTES: usize = 16 << 20;

const CURRENT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("current");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");

const META_FORMAT: &[u8] = b"format";
const META_CLUSTER: &[u8] = b"cluster";
const META_COMPACTED: &[u8] = b"compacted";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An open store file.
pub(crate) struct Durable {
    database: Option<Database>,
    holder: Option<Holder>,
}

impl Durable {
    /// Opens or creates the file and reads all of it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Loaded), OpenError> {
        let failed = |failure: OpenFailure| failure.at(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(OpenFailure::Io(error)))?;
        }
        let file = create(path).map_err(|error| failed(OpenFailure::Io(error)))?;
        let backend = FileBackend::new(file).map_err(|error| failed(OpenFailure::Database(error)))?;
        let (mut durable, loaded) = Self::open_backend(backend).map_err(failed)?;
        sync_folder(path).map_err(|error| failed(OpenFailure::Io(error)))?;
        durable.holder = Some(Holder::announce(path));
        Ok((durable, loaded))
    }

    /// The same on anything that the engine can write to.
    pub(crate) fn open_backend(backend: impl StorageBackend) -> Result<(Self, Loaded), OpenFailure> {
        // The engine may panic on a file that was altered behind its back; the integrity check
        // finds most of that and the guard the rest.
        catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
            let database = builder.create_with_backend(backend).map_err(OpenFailure::Database)?;
            let loaded = load::load(&database)?;
            Ok((Self { database: Some(database), holder: None }, loaded))
        }))
        .unwrap_or(Err(OpenFailure::Damaged("the storage engine gave up on it".into())))
    }

    fn commit(&self, batch: &Batch<'_>) -> Result<(), Failure> {
        let Some(database) = &self.database else { return Err("the file is closed".into()) };
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut current = transaction.open_table(CURRENT)?;
            for (key, event) in newest_per_key(batch) {
                match event.kind {
                    EventKind::Put => {
                        current.insert(key.as_bytes(), record::entry(&event.entry).as_slice())?;
                    }
                    EventKind::Delete => {
                        current.remove(key.as_bytes())?;
                    }
                }
            }
            let mut log = transaction.open_table(LOG)?;
            for events in batch.events.chunk_by(|a, b| a.revision == b.revision) {
                let Some(first) = events.first() else { continue };
                log.insert(first.revision, record::undo(events).as_slice())?;
            }
            if let Some(compact) = batch.compact {
                log.retain_in(..=compact, |_, _| false)?;
                let mut meta = transaction.open_table(META)?;
                meta.insert(META_COMPACTED, number(compact).as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl Log for Durable {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), DiskError> {
        let committed = catch_unwind(AssertUnwindSafe(|| self.commit(batch)));
        committed
            .unwrap_or_else(|_| Err("the storage engine gave up".into()))
            .map_err(|source| DiskError { operation: "write a transaction to the store's file", source })
    }

    fn close(&mut self) {
        // The note goes first: once the lock is free the next holder writes its own.
        drop(self.holder.take());
        drop(self.database.take());
    }
}

/// The last event of each key; what earlier members of the group wrote need not reach `current`.
fn newest_per_key<'a>(batch: &'a Batch<'_>) -> BTreeMap<&'a str, &'a Event> {
    batch.events.iter().map(|event| (&*event.entry.key, &**event)).collect()
}

fn number(number: Revision) -> [u8; 8] {
    number.to_le_bytes()
}

/// Values hold secrets: the file is for its owner alone.
fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the file's name as durable as its content.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}
