//! Fan-out: who is told of an event. Costs nothing for watchers on other prefixes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::Watch;
use crate::entry::{Event, Revision};

/// All watchers of a store.
#[derive(Debug)]
pub(crate) struct Hub {
    watchers: Mutex<Watchers>,
    delivered: AtomicU64,
    queue: usize,
}

#[derive(Debug, Default)]
struct Watchers {
    by_prefix: BTreeMap<Box<str>, Vec<Watcher>>,
    next_id: u64,
    closed: bool,
}

#[derive(Debug)]
struct Watcher {
    id: u64,
    /// Events up to here came from history.
    from: Revision,
    queue: mpsc::Sender<Arc<Event>>,
    lost: Arc<AtomicBool>,
}

impl Watcher {
    /// Queues the event; `false` if the watcher is gone or must go.
    fn offer(&self, event: &Arc<Event>) -> bool {
        if event.revision <= self.from {
            return true;
        }
        match self.queue.try_send(Arc::clone(event)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.lost.store(true, Ordering::Release);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

impl Hub {
    pub(crate) fn new(queue: usize, revision: Revision) -> Self {
        Self { watchers: Mutex::default(), delivered: AtomicU64::new(revision), queue: queue.max(1) }
    }

    /// Adds a watcher. The caller holds the state's read lock, so that `from` is the newest
    /// revision and `backlog` has all the events up to it that the watcher wants.
    pub(crate) fn add(
        self: &Arc<Self>,
        prefix: &str,
        after: Revision,
        from: Revision,
        backlog: VecDeque<Arc<Event>>,
    ) -> Watch {
        let (sender, queue) = mpsc::channel(self.queue);
        let lost = Arc::new(AtomicBool::new(false));
        let mut watchers = self.lock();
        let id = watchers.next_id;
        watchers.next_id += 1;
        if !watchers.closed {
            let watcher = Watcher { id, from, queue: sender, lost: Arc::clone(&lost) };
            watchers.by_prefix.entry(prefix.into()).or_default().push(watcher);
        }
        drop(watchers);
        let hub = Arc::clone(self);
        Watch { hub, prefix: prefix.into(), id, backlog, queue, lost, reported: false, complete: after }
    }

    pub(crate) fn remove(&self, prefix: &str, id: u64) {
        let mut watchers = self.lock();
        let Some(same) = watchers.by_prefix.get_mut(prefix) else { return };
        same.retain(|watcher| watcher.id != id);
        if same.is_empty() {
            watchers.by_prefix.remove(prefix);
        }
    }

    /// Hands durable events, already applied to the state, to whom they concern.
    pub(crate) fn deliver(&self, events: &[Arc<Event>], revision: Revision) {
        let mut watchers = self.lock();
        for event in events {
            watchers.deliver(event);
        }
        self.delivered.store(revision, Ordering::Release);
    }

    /// Everything up to this revision has been put into the queues.
    pub(crate) fn delivered(&self) -> Revision {
        self.delivered.load(Ordering::Acquire)
    }

    /// Ends every watch once it has taken what waits for it.
    pub(crate) fn close(&self) {
        let mut watchers = self.lock();
        watchers.closed = true;
        watchers.by_prefix.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchers {
    /// Visits every registered prefix of the key, longest first, without looking at others: the
    /// greatest one not above the key is a prefix of it, or shows how much shorter the next can be.
    fn deliver(&mut self, event: &Arc<Event>) {
        let key: &str = &event.entry.key;
        let mut emptied = Vec::new();
        let mut upper = Bound::Included(key);
        while let Some((prefix, watchers)) =
            self.by_prefix.range_mut::<str, _>((Bound::Unbounded, upper)).next_back()
        {
            if key.starts_with(&**prefix) {
                let prefix = &key[..prefix.len()];
                watchers.retain(|watcher| watcher.offer(event));
                if watchers.is_empty() {
                    emptied.push(prefix);
                }
                upper = Bound::Excluded(prefix);
            } else {
                upper = Bound::Included(common_prefix(key, prefix));
            }
        }
        for prefix in emptied {
            self.by_prefix.remove(prefix);
        }
    }
}

fn common_prefix<'a>(key: &'a str, other: &str) -> &'a str {
    let same = key.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    &key[..key.floor_char_boundary(same)]
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::entry::{Entry, EventKind};

    fn event(key: &str, revision: Revision) -> Arc<Event> {
        let entry = Entry {
            key: key.into(),
            value: Bytes::new(),
            stamp: None,
            created: revision,
            modified: revision,
        };
        Arc::new(Event { kind: EventKind::Put, revision, entry, previous: None })
    }

    #[test]
    fn an_event_reaches_exactly_the_watchers_whose_prefix_it_has() {
        let prefixes = ["", "/", "/a", "/a/", "/a/b", "/a/bc", "/a/ä", "/a/c", "/ab", "/b", "0", "ä"];
        let keys = ["/a/b", "/a/bc/d", "/a/bb", "/a", "/ab/c", "/a/äx", "/a/ö", "ö", "0", "1", "", "/a/é"];
        let hub = Arc::new(Hub::new(64, 1));
        let watches: Vec<Watch> =
            prefixes.iter().map(|prefix| hub.add(prefix, 1, 1, VecDeque::new())).collect();
        for key in keys {
            hub.deliver(&[event(key, 2)], 2);
        }
        for (prefix, watch) in prefixes.iter().zip(&watches) {
            let expected = keys.iter().filter(|key| key.starts_with(prefix)).count();
            assert_eq!(watch.waiting(), expected, "watch on {prefix:?}");
        }
    }

    #[test]
    fn dropped_and_lost_watches_leave_nothing_behind() {
        let hub = Arc::new(Hub::new(1, 1));
        let lost = hub.add("/a", 1, 1, VecDeque::new());
        let dropped = hub.add("/b", 1, 1, VecDeque::new());
        hub.deliver(&[event("/a/1", 2), event("/a/2", 3)], 3);
        drop(dropped);
        assert!(hub.lock().by_prefix.is_empty());
        assert_eq!(lost.progress(), 1);
    }
}
