//! What the writer needs of a log; the memory one keeps nothing.

use std::error::Error;
use std::sync::Arc;

use crate::entry::{Event, Revision};

/// The events of one group of transactions, to be made durable together.
pub(crate) struct Batch<'a> {
    /// In the order of their revisions; those of one transaction are neighbours.
    pub(crate) events: &'a [Arc<Event>],
    /// Forget what is needed only to read at revisions below this one.
    pub(crate) compact: Option<Revision>,
}

/// Where transactions are made durable before anybody sees them.
pub(crate) trait Log: Send {
    /// Returns when the whole batch is on disk; on an error none of it may be shown.
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), DiskError>;

    /// Lets go of files and locks.
    fn close(&mut self) {}
}

/// The log of a store that lives in memory alone.
pub(crate) struct Forgetful;

impl Log for Forgetful {
    fn append(&mut self, _batch: &Batch<'_>) -> Result<(), DiskError> {
        Ok(())
    }
}

/// A failed operation on the store's disk.
#[derive(Debug, thiserror::Error)]
#[error("could not {operation}")]
pub struct DiskError {
    pub(crate) operation: &'static str,
    #[source]
    pub(crate) source: Box<dyn Error + Send + Sync>,
}
