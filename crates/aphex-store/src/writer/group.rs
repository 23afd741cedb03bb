//! A group in the making: checks each transaction against the state and the members before it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::change::{Change, CommitError, Committed};
use crate::entry::{Entry, Event, EventKind, Revision};
use crate::state::State;

/// Longest key and largest value that are taken; far above what an API server lets through.
const MOST_KEY_BYTES: usize = 4 << 10;
const MOST_VALUE_BYTES: usize = 64 << 20;

/// Transactions that go to disk together.
pub(super) struct Group<'a> {
    state: &'a State,
    /// What members changed, on top of the state.
    pending: HashMap<Arc<str>, Option<Entry>>,
    pub(super) events: Vec<Arc<Event>>,
    pub(super) revision: Revision,
    pub(super) bytes: usize,
}

impl<'a> Group<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state, pending: HashMap::new(), events: Vec::new(), revision: state.revision, bytes: 0 }
    }

    /// Adds a transaction, or refuses it and leaves the group as it was.
    pub(super) fn admit(&mut self, changes: Vec<Change>) -> Result<Committed, CommitError> {
        self.check(&changes)?;
        let next = self.revision + 1;
        let mut events = Vec::with_capacity(changes.len());
        let mut entries = Vec::with_capacity(changes.len());
        for change in changes {
            let previous = self.current(change.key()).cloned();
            let event = match change {
                Change::Put { key, payload, .. } => Some(put(key, payload, previous, next)?),
                Change::Delete { .. } => previous.map(|previous| delete(previous, next)),
            };
            entries.push(event.as_ref().and_then(|event| match event.kind {
                EventKind::Put => Some(event.entry.clone()),
                EventKind::Delete => event.previous.clone(),
            }));
            events.extend(event.map(Arc::new));
        }
        if !events.is_empty() {
            self.revision = next;
        }
        for event in &events {
            self.bytes += event.entry.value.len();
            let now = (event.kind == EventKind::Put).then(|| event.entry.clone());
            self.pending.insert(Arc::clone(&event.entry.key), now);
        }
        self.events.append(&mut events);
        Ok(Committed { revision: self.revision, entries })
    }

    fn check(&self, changes: &[Change]) -> Result<(), CommitError> {
        let mut keys = HashSet::new();
        for change in changes {
            let key = change.key();
            let invalid = |reason| CommitError::Invalid { key: key.to_owned(), reason };
            if key.len() > MOST_KEY_BYTES {
                return Err(invalid("the key is too long"));
            }
            // One revision has one state of a key, so that a watcher sees each state.
            if changes.len() > 1 && !keys.insert(key) {
                return Err(invalid("the key is changed twice in one transaction"));
            }
            if let Change::Put { payload, .. } = change {
                if payload.bytes.len() > MOST_VALUE_BYTES {
                    return Err(invalid("the value is too large"));
                }
                if payload.stamp.is_some_and(|stamp| stamp > payload.bytes.len()) {
                    return Err(invalid(OUTSIDE));
                }
            }
        }
        for change in changes {
            let current = self.current(change.key());
            if !change.expect().holds(current) {
                let key = change.key().to_owned();
                return Err(CommitError::Conflict { key, current: current.cloned() });
            }
        }
        Ok(())
    }

    fn current(&self, key: &str) -> Option<&Entry> {
        match self.pending.get(key) {
            Some(pending) => pending.as_ref(),
            None => self.state.current.get(key),
        }
    }
}

const OUTSIDE: &str = "the revision's place lies outside the value";

fn put(
    key: String,
    payload: crate::entry::Payload,
    previous: Option<Entry>,
    revision: Revision,
) -> Result<Event, CommitError> {
    let Some((value, stamp)) = payload.stamped(revision) else {
        return Err(CommitError::Invalid { key, reason: OUTSIDE });
    };
    // The same key is the same allocation in every version of it.
    let (key, created) = match &previous {
        Some(previous) => (Arc::clone(&previous.key), previous.created),
        None => (Arc::from(key), revision),
    };
    let entry = Entry { key, value, stamp, created, modified: revision };
    Ok(Event { kind: EventKind::Put, revision, entry, previous })
}

fn delete(previous: Entry, revision: Revision) -> Event {
    let entry = previous.deleted_at(revision);
    Event { kind: EventKind::Delete, revision, entry, previous: Some(previous) }
}
