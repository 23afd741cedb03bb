//! Typed records over the revisioned store, every value sealed with a key file.
//!
//! A record is found by its kind and an id. Ids are kept in clear: what is secret is kept under its
//! [`fingerprint`](crate::secrets::fingerprint). Reads are answered from memory; a write is acknowledged
//! once it is on disk.
//!
//! ```text
//! Record ─ JSON ─► seal (AES-256-GCM-SIV, issuer.key) ─► aphex-store (issuer.redb)
//! ```

mod seal;
#[cfg(test)]
mod tests;
mod transaction;

use std::fmt;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aphex_store::{Change, CommitError, Committed, Entry, List, OpenError, Options, Revision, Store};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::seal::Seal;
pub(crate) use self::seal::write_private;
pub use self::transaction::Transaction;

/// The store in its folder.
const STORE_FILE: &str = "issuer.redb";
/// The key that seals it.
const KEY_FILE: &str = "issuer.key";
/// Records dropped in one transaction of a sweep.
const SWEEP: usize = 256;

/// Something that is kept.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// What it is, in kebab case; no other type has the same.
    const KIND: &'static str;
}

/// A record that is worth nothing after some time.
pub trait Expires: Record {
    /// When that is.
    fn expires(&self) -> Timestamp;
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    /// Its id, unique in its kind.
    pub id: String,
    /// What it holds.
    pub value: T,
    /// The commit that wrote it: what [`Storage::replace`] compares with.
    pub revision: Revision,
}

/// Why records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The folder cannot be made.
    #[error("cannot create the folder {path}; allow writing there or choose another data folder")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error("cannot open the records of the issuer")]
    Open(#[source] OpenError),
    /// The key file cannot be read or written.
    #[error("cannot read or write the key file {path}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are records, and no key to open them.
    #[error(
        "the key file {path} is missing and the records beside it are sealed with it; restore it, or remove the folder to start with no users"
    )]
    KeyMissing {
        /// The file.
        path: PathBuf,
    },
    /// The key file does not hold a key.
    #[error(
        "the key file {path} holds no key of 32 bytes; restore it, or remove the folder to start with no users"
    )]
    KeyDamaged {
        /// The file.
        path: PathBuf,
    },
    /// A value could not be sealed.
    #[error("cannot seal record {key}")]
    Seal {
        /// Kind and id.
        key: String,
    },
    /// A value was sealed with another key, or is damaged.
    #[error(
        "record {key} does not open with the issuer's key file; restore the issuer.key that belongs to this data folder"
    )]
    Sealed {
        /// Kind and id.
        key: String,
    },
    /// A value cannot be written as JSON.
    #[error("cannot write record {key}")]
    Encode {
        /// Kind and id.
        key: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A value does not have the form that this version expects.
    #[error("cannot read record {key}; it was written by another version of the program")]
    Decode {
        /// Kind and id.
        key: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A record exists, changed or is gone, against what was expected.
    #[error("record {key} was changed meanwhile")]
    Conflict {
        /// Kind and id.
        key: String,
    },
    /// The store takes no writes.
    #[error("cannot keep the change")]
    Commit(#[source] CommitError),
}

/// The records of an issuer. Clones are handles to the same records.
#[derive(Clone)]
pub struct Storage {
    store: Store,
    seal: Arc<Seal>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("revision", &self.store.revision()).finish_non_exhaustive()
    }
}

/// Tells at start whether the key belongs to the records.
#[derive(Deserialize, Serialize)]
struct KeyCheck {}

impl Record for KeyCheck {
    const KIND: &'static str = "key-check";
}

impl Storage {
    /// Opens the records in this folder, or creates it with a new key.
    pub async fn open(folder: &Path) -> Result<Self, StorageError> {
        let failed = |source| StorageError::Folder { path: folder.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let path = folder.join(STORE_FILE);
        // Nothing is read at a past revision, so no history has to be kept.
        let options = Options::keeping(Duration::ZERO);
        let opened = tokio::task::spawn_blocking(move || Store::open(&path, options)).await;
        let store = match opened {
            Ok(opened) => opened.map_err(StorageError::Open)?,
            Err(error) => return Err(failed(std::io::Error::other(error))),
        };
        let sealed = match Self::keyed(&store, folder).await {
            Ok(storage) => storage,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        Ok(sealed)
    }

    async fn keyed(store: &Store, folder: &Path) -> Result<Self, StorageError> {
        let fresh = store.count("") == 0;
        let seal = Arc::new(Seal::load(&folder.join(KEY_FILE), fresh)?);
        let storage = Self { store: store.clone(), seal };
        if storage.get::<KeyCheck>("")?.is_none() {
            storage.put("", &KeyCheck {}).await?;
        }
        Ok(storage)
    }

    /// Records that live as long as the process.
    pub fn memory() -> Result<Self, StorageError> {
        let seal = Seal::random().ok_or_else(|| StorageError::Seal { key: String::new() })?;
        Ok(Self { store: Store::memory(Options::keeping(Duration::ZERO)), seal: Arc::new(seal) })
    }

    /// One record.
    pub fn get<T: Record>(&self, id: &str) -> Result<Option<Stored<T>>, StorageError> {
        self.store.get(&key::<T>(id)).map(|entry| self.read(&entry)).transpose()
    }

    /// All records of a kind, in the order of their ids.
    pub fn list<T: Record>(&self) -> Result<Vec<Stored<T>>, StorageError> {
        self.list_under("")
    }

    /// The records of a kind whose ids have the prefix, in the order of their ids.
    pub fn list_under<T: Record>(&self, prefix: &str) -> Result<Vec<Stored<T>>, StorageError> {
        let request = List { prefix: key::<T>(prefix), ..List::default() };
        // A list of the newest revision is always readable.
        let entries = self.store.list(&request).map(|page| page.entries).unwrap_or_default();
        entries.iter().map(|entry| self.read(entry)).collect()
    }

    /// Creates or replaces a record.
    pub async fn put<T: Record>(&self, id: &str, value: &T) -> Result<Revision, StorageError> {
        let mut transaction = self.transaction();
        transaction.put(id, value)?;
        transaction.commit().await
    }

    /// Creates a record; [`StorageError::Conflict`] when there is one.
    pub async fn create<T: Record>(&self, id: &str, value: &T) -> Result<Revision, StorageError> {
        let mut transaction = self.transaction();
        transaction.create(id, value)?;
        transaction.commit().await
    }

    /// Replaces a record; [`StorageError::Conflict`] when it changed since it was read.
    pub async fn replace<T: Record>(&self, stored: &Stored<T>) -> Result<Revision, StorageError> {
        let mut transaction = self.transaction();
        transaction.replace(stored)?;
        transaction.commit().await
    }

    /// Deletes a record; tells whether there was one.
    pub async fn delete<T: Record>(&self, id: &str) -> Result<bool, StorageError> {
        let change = Change::Delete { key: key::<T>(id), expect: aphex_store::Expect::Anything };
        Ok(self.commit(vec![change]).await?.entries.iter().any(Option::is_some))
    }

    /// Deletes a record and gives what it held: of all who ask at once, one gets it.
    pub async fn take<T: Record>(&self, id: &str) -> Result<Option<T>, StorageError> {
        let change = Change::Delete { key: key::<T>(id), expect: aphex_store::Expect::Anything };
        let taken = self.commit(vec![change]).await?.entries.into_iter().flatten().next();
        taken.map(|entry| self.read(&entry).map(|stored| stored.value)).transpose()
    }

    /// Several changes that go through together.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    /// Drops the records of a kind whose time is over; tells how many.
    pub async fn sweep<T: Expires>(&self, now: Timestamp) -> Result<usize, StorageError> {
        let over: Vec<_> = self.list::<T>()?.into_iter().filter(|s| s.value.expires() <= now).collect();
        let mut dropped = 0;
        for part in over.chunks(SWEEP) {
            let mut transaction = self.transaction();
            for stored in part {
                transaction.delete_unchanged(stored);
            }
            match transaction.commit().await {
                Ok(_) => dropped += part.len(),
                // Somebody renewed one of them; the rest goes with the next sweep.
                Err(StorageError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(dropped)
    }

    /// Finishes what was asked and lets go of the files.
    pub async fn close(&self) {
        self.store.close().await;
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<Committed, StorageError> {
        self.store.commit(changes).await.map_err(|error| match error {
            CommitError::Conflict { key, .. } => StorageError::Conflict { key },
            other => StorageError::Commit(other),
        })
    }

    fn read<T: Record>(&self, entry: &Entry) -> Result<Stored<T>, StorageError> {
        let bytes = self.seal.open(&entry.key, &entry.value)?;
        let failed = |source| StorageError::Decode { key: entry.key.to_string(), source };
        let value = serde_json::from_slice(&bytes).map_err(failed)?;
        let id = entry.key.split_once('/').map_or("", |(_, id)| id).to_owned();
        Ok(Stored { id, value, revision: entry.modified })
    }
}

fn key<T: Record>(id: &str) -> String {
    format!("{}/{id}", T::KIND)
}
