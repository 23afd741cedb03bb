//! Which history has had its time; see [`Options`] for the rule.
//!
//! Dropping costs a commit more pages of the file than its own changes do. So history goes many revisions at a time, and
//! a store that is written to all the time does not drop a revision with each commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::entry::{Event, Revision};
use crate::options::Options;

/// Revisions dropped at most in one go, so that no commit waits long behind it.
const MOST_AT_ONCE: usize = 2_048;

/// Revisions that go together, if the limits are far above it.
const BATCH: usize = 256;
/// The part of a limit that goes at once when it is reached.
const SHARE: usize = 16;

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

    /// The revision up to which history may go now; nothing while it is not worth a commit's while.
    pub(super) fn expired(&self, now: Instant) -> Option<Revision> {
        let (mut count, mut bytes) = (self.kept.len() as u64, self.bytes);
        let Options { max_revisions, max_history_bytes, keep_revisions, .. } = self.options;
        let too_much = count > max_revisions || bytes > max_history_bytes;
        if !too_much && !self.is_due(now) {
            return None;
        }
        // Below the limits by some, so that the next commit does not reach them again.
        let (mut most, mut most_bytes) = (max_revisions, max_history_bytes);
        if too_much {
            most -= (max_revisions / SHARE as u64).min(BATCH as u64);
            most_bytes -= max_history_bytes / SHARE;
        }
        let mut expired = None;
        for kept in self.kept.iter().take(MOST_AT_ONCE) {
            let too_much = count > most || bytes > most_bytes;
            let may_go = self.is_old(kept, now) && count > keep_revisions;
            if !(too_much || may_go) {
                break;
            }
            expired = Some(kept.revision);
            count -= 1;
            bytes -= kept.bytes;
        }
        expired
    }

    /// Whether a batch may go, or what may go has waited for one long enough.
    fn is_due(&self, now: Instant) -> bool {
        let beyond = (self.kept.len() as u64).saturating_sub(self.options.keep_revisions);
        let batch = self.kept.get(BATCH - 1).is_some_and(|kept| self.is_old(kept, now));
        (batch && beyond >= BATCH as u64) || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    fn is_old(&self, kept: &Kept, now: Instant) -> bool {
        now.saturating_duration_since(kept.since) >= self.options.keep_for
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
        // Since this one came there has been one too many.
        let beyond = self.kept.get(usize::try_from(self.options.keep_revisions).unwrap_or(usize::MAX))?;
        let old = self.kept.front()?.since.checked_add(self.options.keep_for)?;
        old.max(beyond.since).checked_add(slack)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::entry::{Entry, EventKind};

    fn event(revision: Revision) -> Arc<Event> {
        let entry = Entry {
            key: "/a".into(),
            value: Bytes::new(),
            stamp: None,
            created: revision,
            modified: revision,
        };
        Arc::new(Event { kind: EventKind::Put, revision, entry, previous: None })
    }

    /// A retention to which a revision is added each millisecond, and the revisions at which something was dropped.
    fn drops(options: Options, revisions: u64) -> (Retention, Vec<Revision>) {
        let (mut retention, start) = (Retention::new(options), Instant::now());
        let mut drops = Vec::new();
        for revision in 1..=revisions {
            let now = start + Duration::from_millis(revision);
            if let Some(to) = retention.expired(now) {
                retention.drop_to(to);
                drops.push(revision);
            }
            retention.add([event(revision)].iter(), now);
        }
        (retention, drops)
    }

    #[test]
    fn a_store_that_is_written_to_all_the_time_seldom_drops_history_and_keeps_its_limits() {
        let (retention, dropped) = drops(Options { max_revisions: 10_000, ..Options::default() }, 20_000);
        assert!((9_000..=10_001).contains(&retention.kept.len()), "{}", retention.kept.len());
        assert!((30..=50).contains(&dropped.len()), "{} commits dropped history", dropped.len());

        let options = Options { keep_for: Duration::from_secs(1), keep_revisions: 100, ..Options::default() };
        let (retention, dropped) = drops(options, 20_000);
        assert!((1_000..=1_300).contains(&retention.kept.len()), "{}", retention.kept.len());
        assert!((70..=200).contains(&dropped.len()), "{} commits dropped history", dropped.len());
    }

    #[test]
    fn a_store_that_is_seldom_written_to_drops_history_seldom_too() {
        let options =
            Options { keep_for: Duration::from_millis(500), keep_revisions: 1_000, ..Options::default() };
        let (retention, dropped) = drops(options, 10_000);
        // All beyond a thousand are old by then; they go after a tenth of the half second.
        assert!((1_000..=1_051).contains(&retention.kept.len()), "{}", retention.kept.len());
        assert!((150..=200).contains(&dropped.len()), "{} commits dropped history", dropped.len());
    }

    #[test]
    fn the_last_few_old_revisions_go_when_they_have_waited_long_enough() {
        let options = Options { keep_revisions: 2, ..Options::keeping(Duration::from_secs(10)) };
        let (mut retention, start) = (Retention::new(options), Instant::now());
        retention.add((1..=5).map(event).collect::<Vec<_>>().iter(), start);
        assert_eq!(retention.expired(start + Duration::from_secs(10)), None);
        assert_eq!(retention.deadline(), Some(start + Duration::from_secs(11)));
        assert_eq!(retention.expired(start + Duration::from_secs(11)), Some(3));
        retention.drop_to(3);
        assert_eq!(retention.deadline(), None);
    }
}
