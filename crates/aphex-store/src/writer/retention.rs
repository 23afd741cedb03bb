//! Which history has had its time; see [`Options`] for the rule.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::entry::{Event, Revision};
use crate::options::Options;

/// Revisions dropped at most in one go, so that no commit waits long behind it.
const MOST_AT_ONCE: usize = 2_048;

/// Bytes that an event costs beside its values.
const EVENT_OVERHEAD: usize = 256;

/// The age and weight of every revision in history.
pub(super) struct Retention {
    options: Options,
    kept: VecDeque<Kept>,
    bytes: usize,
}

struct Kept {
    revision: Revision,
    since: Instant,
    bytes: usize,
}

impl Retention {
    pub(super) fn new(options: Options) -> Self {
        Self { options, kept: VecDeque::new(), bytes: 0 }
    }

    /// Takes note of new events. Those found at start count as new: their age is not known.
    pub(super) fn add<'a>(&mut self, events: impl Iterator<Item = &'a Arc<Event>>, now: Instant) {
        for event in events {
            // The entry is the current one or a later event's previous; the previous is ours.
            let superseded = event.previous.as_ref().map_or(0, |entry| entry.value.len());
            let bytes = EVENT_OVERHEAD + event.entry.key.len() + superseded;
            self.bytes += bytes;
            match self.kept.back_mut().filter(|kept| kept.revision == event.revision) {
                Some(kept) => kept.bytes += bytes,
                None => self.kept.push_back(Kept { revision: event.revision, since: now, bytes }),
            }
        }
    }

    /// The revision up to which history may go now.
    pub(super) fn expired(&self, now: Instant) -> Option<Revision> {
        let mut count = self.kept.len() as u64;
        let mut bytes = self.bytes;
        let mut expired = None;
        for kept in self.kept.iter().take(MOST_AT_ONCE) {
            let too_much = count > self.options.max_revisions || bytes > self.options.max_history_bytes;
            let old = now.saturating_duration_since(kept.since) >= self.options.keep_for;
            let may_go = old && count > self.options.keep_revisions;
            if !(too_much || may_go) {
                break;
            }
            expired = Some(kept.revision);
            count -= 1;
            bytes -= kept.bytes;
        }
        expired
    }

    /// Forgets what went.
    pub(super) fn drop_to(&mut self, revision: Revision) {
        while let Some(kept) = self.kept.pop_front_if(|kept| kept.revision <= revision) {
            self.bytes -= kept.bytes;
        }
    }

    /// When to look again though nobody writes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // A tenth late, so that a quiet store does not write to its disk for every old revision.
        let slack = (self.options.keep_for / 10).max(Duration::from_millis(20));
        let beyond = self.kept.len() as u64 > self.options.keep_revisions;
        let wait = self.options.keep_for.saturating_add(slack);
        self.kept.front().filter(|_| beyond).and_then(|kept| kept.since.checked_add(wait))
    }
}
