//! What a caller asks for in a transaction, and what comes back.

use std::sync::Arc;

use crate::entry::{Entry, Payload, Revision};
use crate::log::DiskError;

/// What a key must hold for a change to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No condition.
    Anything,
    /// The key must not exist.
    Absent,
    /// The key must exist and have been written by this revision.
    Revision(Revision),
}

impl Expect {
    pub(crate) fn holds(self, current: Option<&Entry>) -> bool {
        match self {
            Self::Anything => true,
            Self::Absent => current.is_none(),
            Self::Revision(revision) => current.is_some_and(|entry| entry.modified == revision),
        }
    }
}

/// One change in a transaction.
#[derive(Clone, Debug)]
pub enum Change {
    /// Create or replace a key.
    Put {
        /// The key.
        key: String,
        /// What to store.
        payload: Payload,
        /// What the key must hold before.
        expect: Expect,
    },
    /// Remove a key. Removing an absent key under [`Expect::Anything`] changes nothing.
    Delete {
        /// The key.
        key: String,
        /// What the key must hold before.
        expect: Expect,
    },
}

impl Change {
    /// The key that the change is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    pub(crate) fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
        }
    }
}

/// A transaction that is on disk.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its revision; if it changed nothing, the newest one at that moment.
    pub revision: Revision,
    /// Per change, in order: the new entry of a put, or the one that a delete removed.
    pub entries: Vec<Option<Entry>>,
}

/// Why a transaction did not go through. None of its changes did.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// A key did not hold what the change expected.
    #[error("key {key} does not hold what the transaction expects")]
    Conflict {
        /// The key.
        key: String,
        /// What it holds.
        current: Option<Entry>,
    },
    /// The transaction makes no sense, whatever the store holds.
    #[error("transaction refused at key {key}: {reason}")]
    Invalid {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A write to disk failed, now or earlier. Reads go on; acknowledged transactions are safe.
    #[error("the store takes no writes since one to its disk failed; free or repair the disk, then restart")]
    Failed(#[source] Arc<DiskError>),
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}
