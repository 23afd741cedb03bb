//! Several changes that go through together or not at all.

use aphex_store::{Change, Expect, Payload, Revision};

use super::{Record, Storage, StorageError, Stored, key};

/// Changes gathered for one commit.
#[must_use = "changes are made by `commit`"]
pub struct Transaction<'a> {
    storage: &'a Storage,
    changes: Vec<Change>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(storage: &'a Storage) -> Self {
        Self { storage, changes: Vec::new() }
    }

    /// Creates or replaces a record.
    pub fn put<T: Record>(&mut self, id: &str, value: &T) -> Result<(), StorageError> {
        self.write(id, value, Expect::Anything)
    }

    /// Creates a record that must not exist.
    pub fn create<T: Record>(&mut self, id: &str, value: &T) -> Result<(), StorageError> {
        self.write(id, value, Expect::Absent)
    }

    /// Replaces a record that must not have changed since it was read.
    pub fn replace<T: Record>(&mut self, stored: &Stored<T>) -> Result<(), StorageError> {
        self.write(&stored.id, &stored.value, Expect::Revision(stored.revision))
    }

    /// Deletes a record; one that does not exist is no error.
    pub fn delete<T: Record>(&mut self, id: &str) {
        self.changes.push(Change::Delete { key: key::<T>(id), expect: Expect::Anything });
    }

    /// Deletes a record that must not have changed since it was read.
    pub fn delete_unchanged<T: Record>(&mut self, stored: &Stored<T>) {
        let expect = Expect::Revision(stored.revision);
        self.changes.push(Change::Delete { key: key::<T>(&stored.id), expect });
    }

    /// Makes the changes; answers once they are on disk.
    pub async fn commit(self) -> Result<Revision, StorageError> {
        if self.changes.is_empty() {
            return Ok(self.storage.store.revision());
        }
        Ok(self.storage.commit(self.changes).await?.revision)
    }

    fn write<T: Record>(&mut self, id: &str, value: &T, expect: Expect) -> Result<(), StorageError> {
        let key = key::<T>(id);
        let failed = |source| StorageError::Encode { key: key.clone(), source };
        let bytes = serde_json::to_vec(value).map_err(failed)?;
        let payload = Payload { bytes: self.storage.seal.close(&key, bytes)?.into(), stamp: None };
        self.changes.push(Change::Put { key, payload, expect });
        Ok(())
    }
}
