//! Which Delivery is worked on when; in memory, rebuilt from the watch after a restart.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aphex_api::delivery::Delivery;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Names a Delivery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
}

impl Key {
    pub(super) fn of(delivery: &Delivery) -> Self {
        Self {
            namespace: delivery.metadata.namespace.clone().unwrap_or_default(),
            name: delivery.metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// A Delivery whose time has come.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) key: Key,
    /// The object as it was just stored by this process; absent when it has to be read.
    pub(super) fresh: Option<Box<Delivery>>,
}

#[derive(Debug, Default)]
struct State {
    due: HashMap<Key, Instant>,
    order: BTreeSet<(Instant, Key)>,
    fresh: HashMap<Key, Box<Delivery>>,
    running: HashSet<Key>,
}

/// Deliveries and when they are due.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

impl Queue {
    /// Puts a Delivery that this process has just stored first.
    pub(super) fn submit(&self, delivery: Delivery) {
        let key = Key::of(&delivery);
        let mut state = self.state();
        state.put(&key, Instant::now());
        state.fresh.insert(key, Box::new(delivery));
        drop(state);
        self.changed.notify_one();
    }

    /// Sets when a Delivery is due; one that was submitted stays first.
    pub(super) fn schedule(&self, key: &Key, at: Timestamp, now: Timestamp) {
        let wait = at.duration_since(now).try_into().unwrap_or_default();
        let mut state = self.state();
        if !state.fresh.contains_key(key) {
            state.put(key, Instant::now() + wait);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Takes a Delivery out.
    pub(super) fn forget(&self, key: &Key) {
        self.state().remove(key);
    }

    /// Waits for the next Delivery that is due.
    pub(super) async fn next(&self) -> Work {
        loop {
            let wake = {
                let mut state = self.state();
                match state.pop(Instant::now()) {
                    Ok(work) => return work,
                    Err(wake) => wake,
                }
            };
            let changed = self.changed.notified();
            match wake {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, changed).await;
                }
                None => changed.await,
            }
        }
    }

    /// Ends the work on a Delivery and says when it is due again, if it is.
    ///
    /// What was scheduled meanwhile stays: somebody may have asked for a replay. For our own writes the watch takes it
    /// away again, since it sees the verdict last.
    pub(super) fn finished(&self, key: &Key, again: Option<Timestamp>, now: Timestamp) {
        let mut state = self.state();
        state.running.remove(key);
        if let Some(at) = again {
            let at = Instant::now() + at.duration_since(now).try_into().unwrap_or_default();
            if state.due.get(key).is_none_or(|due| *due > at) {
                state.put(key, at);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// How many wait or are worked on.
    pub(super) fn len(&self) -> usize {
        let state = self.state();
        state.due.len() + state.running.iter().filter(|key| !state.due.contains_key(*key)).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, key: &Key, at: Instant) {
        if let Some(before) = self.due.insert(key.clone(), at) {
            self.order.remove(&(before, key.clone()));
        }
        self.order.insert((at, key.clone()));
    }

    fn remove(&mut self, key: &Key) {
        if let Some(at) = self.due.remove(key) {
            self.order.remove(&(at, key.clone()));
        }
        self.fresh.remove(key);
    }

    /// The first that is due and not being worked on; else when to look again.
    fn pop(&mut self, now: Instant) -> Result<Work, Option<Instant>> {
        let next = self.order.iter().find(|(_, key)| !self.running.contains(key));
        let Some((at, key)) = next.cloned() else { return Err(None) };
        if at > now {
            return Err(Some(at));
        }
        let fresh = self.fresh.remove(&key);
        self.remove(&key);
        self.running.insert(key.clone());
        Ok(Work { key, fresh })
    }
}

#[cfg(test)]
mod tests {
    use aphex_api::delivery::DeliverySpec;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(name: &str) -> Key {
        Key { namespace: "org-acme".into(), name: name.into() }
    }

    /// What is given out this many seconds from now.
    fn popped(queue: &Queue, seconds: u64) -> Option<String> {
        let later = Instant::now() + std::time::Duration::from_secs(seconds);
        queue.state().pop(later).ok().map(|work| work.key.name)
    }

    #[test]
    fn the_earliest_is_next_and_waits_for_its_time() {
        let queue = Queue::default();
        queue.schedule(&key("later"), at(60), at(0));
        queue.schedule(&key("sooner"), at(30), at(0));
        assert_eq!(popped(&queue, 29), None);
        assert_eq!(popped(&queue, 61).as_deref(), Some("sooner"));
        assert_eq!(popped(&queue, 61).as_deref(), Some("later"));
    }

    #[tokio::test]
    async fn a_submitted_delivery_is_not_put_off_by_the_watch() {
        let queue = Queue::default();
        let mut delivery = Delivery::new("mine", DeliverySpec::default());
        delivery.metadata.namespace = Some("org-acme".into());
        queue.submit(delivery);
        queue.schedule(&key("mine"), at(5), at(0));
        assert!(queue.next().await.fresh.is_some());
    }

    #[test]
    fn what_is_being_worked_on_is_not_given_out_twice() {
        let queue = Queue::default();
        queue.schedule(&key("one"), at(0), at(0));
        assert_eq!(popped(&queue, 0).as_deref(), Some("one"));
        queue.schedule(&key("one"), at(0), at(0));
        queue.schedule(&key("two"), at(1), at(0));
        assert_eq!(popped(&queue, 2).as_deref(), Some("two"));
        assert_eq!((popped(&queue, 2), queue.len()), (None, 2));
        queue.finished(&key("one"), None, at(2));
        assert_eq!(popped(&queue, 2).as_deref(), Some("one"), "it was asked for while it was worked on");
        queue.finished(&key("one"), None, at(2));
        queue.finished(&key("two"), Some(at(12)), at(2));
        assert_eq!(popped(&queue, 9), None);
        assert_eq!(popped(&queue, 11).as_deref(), Some("two"));
    }
}
