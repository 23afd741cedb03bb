//! Which Delivery is worked on when; in memory, rebuilt from the watch after a restart.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aphex_api::delivery::{Delivery, listener_namespace};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::PARALLEL;

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

/// How many of one organization are worked on at once while there are that many: the rest of the places is for others.
const MOST_OF_ONE: usize = PARALLEL / 4 * 3;
/// Bytes of payloads, as they are stored, that wait in memory; others are read when their turn comes.
const MOST_HELD: usize = 32 << 20;

#[derive(Debug)]
struct Due {
    at: Instant,
    organization: String,
}

/// What of one organization is to be begun, and how much is being worked on.
#[derive(Debug, Default)]
struct Line {
    ready: BTreeSet<(Instant, Key)>,
    running: usize,
}

#[derive(Debug, Default)]
struct State {
    due: HashMap<Key, Due>,
    /// Those whose time has not come.
    later: BTreeSet<(Instant, Key)>,
    /// Those whose time has come, by organization.
    lines: HashMap<String, Line>,
    /// Organizations with something to begin; the first is next.
    turns: VecDeque<String>,
    /// What was submitted; without the object where that would have been too much memory.
    fresh: HashMap<Key, Option<Box<Delivery>>>,
    /// Bytes of the payloads in it.
    held: usize,
    /// What is being worked on, and whose it is.
    running: HashMap<Key, String>,
}

/// Deliveries and when they are due; organizations take turns.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

impl Queue {
    /// Puts a Delivery that this process has just stored into its organization's line.
    pub(super) fn submit(&self, delivery: Delivery) {
        let key = Key::of(&delivery);
        let mut state = self.state();
        state.put(&key, Instant::now(), listener_namespace(&delivery));
        state.keep(key, delivery);
        drop(state);
        self.changed.notify_one();
    }

    /// Sets when a Delivery is due; one that was submitted stays where it is.
    pub(super) fn schedule(&self, delivery: &Delivery, at: Timestamp, now: Timestamp) {
        let key = Key::of(delivery);
        let wait = at.duration_since(now).try_into().unwrap_or_default();
        let mut state = self.state();
        if !state.fresh.contains_key(&key) {
            state.put(&key, Instant::now() + wait, listener_namespace(delivery));
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
        if let Some(organization) = state.running.remove(key) {
            if let Some(line) = state.lines.get_mut(&organization) {
                line.running = line.running.saturating_sub(1);
            }
            if let Some(at) = again {
                let at = Instant::now() + at.duration_since(now).try_into().unwrap_or_default();
                if state.due.get(key).is_none_or(|due| due.at > at) {
                    state.put(key, at, &organization);
                }
            }
            state.tidy(&organization);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// How many wait or are worked on.
    pub(super) fn len(&self) -> usize {
        let state = self.state();
        state.due.len() + state.running.keys().filter(|key| !state.due.contains_key(*key)).count()
    }

    /// How many of an organization are due and not begun.
    pub(super) fn ready(&self, organization: &str) -> usize {
        self.state().lines.get(organization).map_or(0, |line| line.ready.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, key: &Key, at: Instant, organization: &str) {
        self.take_out(key);
        if at <= Instant::now() {
            self.line_up(key.clone(), at, organization);
        } else {
            self.later.insert((at, key.clone()));
        }
        self.due.insert(key.clone(), Due { at, organization: organization.to_owned() });
    }

    fn line_up(&mut self, key: Key, at: Instant, organization: &str) {
        let line = self.lines.entry(organization.to_owned()).or_default();
        if line.ready.is_empty() {
            self.turns.push_back(organization.to_owned());
        }
        line.ready.insert((at, key));
    }

    /// Keeps what was submitted, so that it need not be read again; of too many large ones only that they were.
    fn keep(&mut self, key: Key, delivery: Delivery) {
        self.drop_fresh(&key);
        let bytes = delivery.spec.payload.len();
        let kept = self.held + bytes <= MOST_HELD;
        self.held += if kept { bytes } else { 0 };
        self.fresh.insert(key, kept.then(|| Box::new(delivery)));
    }

    fn drop_fresh(&mut self, key: &Key) -> Option<Box<Delivery>> {
        let fresh = self.fresh.remove(key).flatten()?;
        self.held = self.held.saturating_sub(fresh.spec.payload.len());
        Some(fresh)
    }

    fn remove(&mut self, key: &Key) -> Option<Box<Delivery>> {
        self.take_out(key);
        self.drop_fresh(key)
    }

    fn take_out(&mut self, key: &Key) {
        let Some(due) = self.due.remove(key) else { return };
        let entry = (due.at, key.clone());
        if self.later.remove(&entry) {
            return;
        }
        if let Some(line) = self.lines.get_mut(&due.organization)
            && line.ready.remove(&entry)
            && line.ready.is_empty()
        {
            self.turns.retain(|name| *name != due.organization);
        }
        self.tidy(&due.organization);
    }

    /// Forgets an organization that has nothing.
    fn tidy(&mut self, organization: &str) {
        if self.lines.get(organization).is_some_and(|line| line.running == 0 && line.ready.is_empty()) {
            self.lines.remove(organization);
        }
    }

    /// The first of the next organization that may begin; else when to look again.
    fn pop(&mut self, now: Instant) -> Result<Work, Option<Instant>> {
        while let Some((at, key)) = self.later.pop_first() {
            if at > now {
                self.later.insert((at, key));
                break;
            }
            if let Some(organization) = self.due.get(&key).map(|due| due.organization.clone()) {
                self.line_up(key, at, &organization);
            }
        }
        for _ in 0..self.turns.len() {
            let Some(organization) = self.turns.pop_front() else { break };
            self.turns.push_back(organization.clone());
            let Some(line) = self.lines.get_mut(&organization) else { continue };
            if line.running >= MOST_OF_ONE {
                continue;
            }
            let Some((_, key)) = line.ready.iter().find(|(_, key)| !self.running.contains_key(key)).cloned()
            else {
                continue;
            };
            line.running += 1;
            let fresh = self.remove(&key);
            self.running.insert(key.clone(), organization);
            return Ok(Work { key, fresh });
        }
        Err(self.later.first().map(|(at, _)| *at))
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
        Key::of(&delivery("org-acme", name))
    }

    fn delivery(namespace: &str, name: &str) -> Delivery {
        let mut delivery = Delivery::new(name, DeliverySpec::default());
        delivery.metadata.namespace = Some(namespace.to_owned());
        delivery
    }

    fn named(name: &str) -> Delivery {
        delivery("org-acme", name)
    }

    /// What is given out this many seconds from now.
    fn popped(queue: &Queue, seconds: u64) -> Option<String> {
        let later = Instant::now() + std::time::Duration::from_secs(seconds);
        queue.state().pop(later).ok().map(|work| work.key.name)
    }

    #[test]
    fn the_earliest_is_next_and_waits_for_its_time() {
        let queue = Queue::default();
        queue.schedule(&named("later"), at(60), at(0));
        queue.schedule(&named("sooner"), at(30), at(0));
        assert_eq!(popped(&queue, 29), None);
        assert_eq!(popped(&queue, 61).as_deref(), Some("sooner"));
        assert_eq!(popped(&queue, 61).as_deref(), Some("later"));
    }

    #[tokio::test]
    async fn a_submitted_delivery_is_not_put_off_by_the_watch() {
        let queue = Queue::default();
        queue.submit(named("mine"));
        queue.schedule(&named("mine"), at(5), at(0));
        assert!(queue.next().await.fresh.is_some());
    }

    #[tokio::test]
    async fn too_many_large_ones_are_not_kept_in_memory_and_keep_their_turn() {
        let queue = Queue::default();
        for number in 0..5 {
            let mut large = named(&format!("l{number}"));
            large.spec.payload = "x".repeat(MOST_HELD / 3);
            queue.submit(large.clone());
            queue.submit(large.clone());
            queue.schedule(&large, at(5), at(0));
        }
        assert!(queue.state().held <= MOST_HELD);
        let mut kept = Vec::new();
        for _ in 0..5 {
            kept.push(queue.next().await.fresh.is_some());
        }
        assert_eq!(kept, [true, true, true, false, false]);
        queue.submit(named("small"));
        assert!(queue.next().await.fresh.is_some());
        assert_eq!(queue.state().held, 0);
    }

    #[test]
    fn what_is_being_worked_on_is_not_given_out_twice() {
        let queue = Queue::default();
        queue.schedule(&named("one"), at(0), at(0));
        assert_eq!(popped(&queue, 0).as_deref(), Some("one"));
        queue.schedule(&named("one"), at(0), at(0));
        queue.schedule(&named("two"), at(1), at(0));
        assert_eq!(popped(&queue, 2).as_deref(), Some("two"));
        assert_eq!((popped(&queue, 2), queue.len()), (None, 2));
        queue.finished(&key("one"), None, at(2));
        assert_eq!(popped(&queue, 2).as_deref(), Some("one"), "it was asked for while it was worked on");
        queue.finished(&key("one"), None, at(2));
        queue.finished(&key("two"), Some(at(12)), at(2));
        assert_eq!(popped(&queue, 9), None);
        assert_eq!(popped(&queue, 11).as_deref(), Some("two"));
    }

    #[test]
    fn organizations_take_turns_however_much_one_has() {
        let queue = Queue::default();
        for number in 0..100 {
            queue.schedule(&delivery("org-busy", &format!("b{number:02}")), at(0), at(0));
        }
        queue.schedule(&delivery("org-calm", "c0"), at(0), at(0));
        queue.schedule(&delivery("org-calm", "c1"), at(0), at(0));
        assert_eq!((queue.ready("org-busy"), queue.ready("org-calm"), queue.ready("org-none")), (100, 2, 0));
        let order: Vec<String> = (0..5).filter_map(|_| popped(&queue, 1)).collect();
        assert_eq!(order, ["b00", "c0", "b01", "c1", "b02"]);
        assert_eq!((queue.ready("org-busy"), queue.len()), (97, 102));
    }

    #[test]
    fn one_organization_never_has_all_places() {
        let queue = Queue::default();
        for number in 0..100 {
            queue.schedule(&delivery("org-slow", &format!("s{number:02}")), at(0), at(0));
        }
        assert_eq!(std::iter::from_fn(|| popped(&queue, 1)).count(), MOST_OF_ONE);
        queue.schedule(&delivery("org-other", "o"), at(0), at(0));
        assert_eq!(popped(&queue, 1).as_deref(), Some("o"));
        assert_eq!(popped(&queue, 1), None);
        let first = Key::of(&delivery("org-slow", "s00"));
        queue.finished(&first, None, at(1));
        assert_eq!(popped(&queue, 1).as_deref(), Some("s48"));
    }

    #[test]
    fn nothing_is_left_of_what_is_done() {
        let queue = Queue::default();
        queue.schedule(&named("one"), at(0), at(0));
        queue.schedule(&named("two"), at(60), at(0));
        assert_eq!(popped(&queue, 1).as_deref(), Some("one"));
        queue.finished(&key("one"), None, at(1));
        queue.forget(&key("two"));
        let state = queue.state();
        assert!(state.lines.is_empty() && state.turns.is_empty() && state.later.is_empty());
        assert!(state.due.is_empty() && state.running.is_empty());
    }
}
