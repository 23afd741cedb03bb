//! Current entries and recent history in memory; every read is answered from here.
//!
//! History is a list of events with the entry each one replaced. A read at an older revision takes
//! the current entries and undoes the events since, for the keys in question.

mod page;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use page::{List, Page};

use crate::entry::{Entry, Event, EventKind, Revision};

/// Why a read at a revision, or a watch after one, is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The revision is too old: its history has been dropped.
    #[error("the requested revision has been compacted; the oldest readable one is {oldest}")]
    Compacted {
        /// The oldest revision that can be read at or watched from.
        oldest: Revision,
    },
    /// The revision does not exist yet.
    #[error("the requested revision is newer than the current one, {current}")]
    Future {
        /// The newest revision.
        current: Revision,
    },
}

/// The store's content at its newest revision, and how it came about.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) current: BTreeMap<Arc<str>, Entry>,
    /// Events after `compacted`, oldest first.
    pub(crate) history: VecDeque<Arc<Event>>,
    pub(crate) revision: Revision,
    /// Oldest revision that can be read at.
    pub(crate) compacted: Revision,
}

impl State {
    /// An empty store, at revision 1 because 0 has a meaning of its own in Kubernetes' requests.
    pub(crate) fn empty() -> Self {
        Self { current: BTreeMap::new(), history: VecDeque::new(), revision: 1, compacted: 0 }
    }

    /// Takes in events that are durable; they are in the order of their revisions.
    pub(crate) fn apply(&mut self, events: &[Arc<Event>]) {
        for event in events {
            match event.kind {
                EventKind::Put => {
                    self.current.insert(Arc::clone(&event.entry.key), event.entry.clone());
                }
                EventKind::Delete => {
                    self.current.remove(&event.entry.key);
                }
            }
            self.revision = self.revision.max(event.revision);
            self.history.push_back(Arc::clone(event));
        }
    }

    /// Drops history up to and including a revision; the caller frees it outside the lock.
    pub(crate) fn compact(&mut self, to: Revision) -> Vec<Arc<Event>> {
        self.compacted = self.compacted.max(to);
        let cut = self.first_after(to);
        self.history.drain(..cut).collect()
    }

    /// Events after a revision whose keys have the prefix.
    pub(crate) fn events_after(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<VecDeque<Arc<Event>>, ReadError> {
        self.check_readable(after)?;
        let events = self.history.range(self.first_after(after)..);
        Ok(events.filter(|event| event.entry.key.starts_with(prefix)).cloned().collect())
    }

    fn check_readable(&self, at: Revision) -> Result<(), ReadError> {
        if at < self.compacted {
            return Err(ReadError::Compacted { oldest: self.compacted });
        }
        if at > self.revision {
            return Err(ReadError::Future { current: self.revision });
        }
        Ok(())
    }

    fn first_after(&self, revision: Revision) -> usize {
        self.history.partition_point(|event| event.revision <= revision)
    }
}
