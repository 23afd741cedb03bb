//! Which of the events that wait leaves next.
//!
//! Organizations take turns, as they do where events come in ([`crate::admission`]); within one, those that never failed
//! come first, in order of arrival. What has to be in order with others waits until those received before it are gone, and
//! keeps nobody else waiting; an event that the engine was asked to take first comes to the disk after later ones. What
//! cannot be stored rests for a while. A listener that is refused time after time is asked for by few of its events, until
//! one of them is taken.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Entry;

/// Events that leave at once.
pub(crate) const PLACES: usize = 32;
/// How many of one organization, so that whoever comes next finds a place.
const MOST_OF_ONE: usize = PLACES / 4 * 3;
/// Refused so many times in a row, a listener has one event under way at a time, and so many that rest.
const MOST_REFUSED: usize = 8;
/// The first rest, and the longest.
const REST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Turns {
    organizations: HashMap<String, Organization>,
    /// Organizations of which something waits for a place; the first is next.
    order: VecDeque<String>,
    sequences: HashMap<String, Sequence>,
    under_way: HashSet<u64>,
    /// Until when each rests.
    resting: BTreeSet<(Instant, u64)>,
    /// What could not be stored.
    failed: HashMap<u64, Failed>,
}

#[derive(Debug, Default)]
struct Organization {
    listeners: BTreeMap<String, Listener>,
    under_way: usize,
    /// Whether it is in the order.
    in_order: bool,
}

#[derive(Debug, Default)]
struct Listener {
    /// How often each failed, and its number.
    ready: BTreeSet<(u32, u64)>,
    under_way: usize,
    resting: usize,
    /// How often it was refused since one was taken.
    refused: usize,
}

/// When an event was received, and its number.
type Place = (i64, u64);

/// Events in order: one of them may be begun, is under way, or rests; the others wait for it.
#[derive(Debug, Default)]
struct Sequence {
    first: Option<Place>,
    behind: BTreeSet<Place>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Failed {
    times: u32,
    /// When it rests.
    until: Option<Instant>,
}

impl Listener {
    fn may_begin(&self) -> bool {
        self.refused < MOST_REFUSED || (self.under_way == 0 && self.resting < MOST_REFUSED)
    }

    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.under_way == 0 && self.resting == 0
    }
}

impl Organization {
    /// Takes the first that may be begun.
    fn begin(&mut self) -> Option<u64> {
        if self.under_way >= MOST_OF_ONE {
            return None;
        }
        let listeners = self.listeners.values_mut();
        let listeners = listeners.filter(|listener| !listener.ready.is_empty() && listener.may_begin());
        let listener = listeners.min_by_key(|listener| listener.ready.first().copied())?;
        let (_, number) = listener.ready.pop_first()?;
        listener.under_way += 1;
        self.under_way += 1;
        Some(number)
    }

    fn has_ready(&self) -> bool {
        self.listeners.values().any(|listener| !listener.ready.is_empty())
    }
}

impl Turns {
    /// Puts an event in.
    pub(super) fn add(&mut self, number: u64, entry: &Entry) {
        if let Some(name) = entry.sequence() {
            let sequence = self.sequences.entry(name.to_owned()).or_default();
            let own = (entry.received, number);
            match sequence.first {
                // One that is under way, or was refused, is not called back.
                Some(first)
                    if first < own
                        || self.failed.contains_key(&first.1)
                        || self.under_way.contains(&first.1) =>
                {
                    sequence.behind.insert(own);
                    return;
                }
                Some(first) => {
                    sequence.behind.insert(first);
                    sequence.first = Some(own);
                    // All of a sequence are of one listener.
                    self.listener(entry).ready.remove(&(0, first.1));
                }
                None => sequence.first = Some(own),
            }
        }
        self.make_ready(number, entry);
    }

    /// Whether events of a sequence wait.
    pub(super) fn holds(&self, sequence: &str) -> bool {
        self.sequences.contains_key(sequence)
    }

    /// Whether events of a listener wait for a place, which others have.
    pub(super) fn crowds(&self, entry: &Entry) -> bool {
        let organization = self.organizations.get(entry.organization());
        let listener = organization.and_then(|organization| organization.listeners.get(entry.listener()));
        listener.is_some_and(|listener| !listener.ready.is_empty())
    }

    /// Takes the next that may be begun.
    pub(super) fn begin(&mut self, now: Instant, entries: &BTreeMap<u64, Entry>) -> Option<u64> {
        self.wake(now, entries);
        for _ in 0..self.order.len() {
            let name = self.order.pop_front()?;
            let Some(organization) = self.organizations.get_mut(&name) else { continue };
            let begun = organization.begin();
            organization.in_order = organization.has_ready();
            if organization.in_order {
                self.order.push_back(name);
            } else {
                self.tidy(&name);
            }
            if let Some(number) = begun {
                self.under_way.insert(number);
                return Some(number);
            }
        }
        None
    }

    /// When the first rest ends.
    pub(super) fn wakes(&self) -> Option<Instant> {
        self.resting.first().map(|(until, _)| *until)
    }

    /// Puts an event back that was begun.
    pub(super) fn put_back(&mut self, number: u64, entry: &Entry) {
        self.leave(number, entry);
        self.make_ready(number, entry);
    }

    /// Lets an event rest that cannot be stored now.
    pub(super) fn rest(&mut self, number: u64, entry: &Entry, now: Instant) {
        self.leave(number, entry);
        let failed = self.failed.entry(number).or_default();
        let until = now + REST.saturating_mul(1 << failed.times).min(LONGEST);
        *failed = Failed { times: (failed.times + 1).min(8), until: Some(until) };
        self.resting.insert((until, number));
        let listener = self.listener(entry);
        listener.resting += 1;
        listener.refused += 1;
    }

    /// Takes an event out for good: the next of its sequence may be begun.
    pub(super) fn remove(&mut self, number: u64, entry: &Entry) {
        self.leave(number, entry);
        self.failed.remove(&number);
        self.listener(entry).refused = 0;
        if let Some(next) = self.next_of(number, entry) {
            // All of a sequence are of one listener.
            self.make_ready(next, entry);
        }
        self.tidy(entry.organization());
    }

    /// What comes behind an event that is gone.
    fn next_of(&mut self, number: u64, entry: &Entry) -> Option<u64> {
        let name = entry.sequence()?;
        let sequence = self.sequences.get_mut(name)?;
        let own = (entry.received, number);
        if sequence.first != Some(own) {
            sequence.behind.remove(&own);
            return None;
        }
        sequence.first = sequence.behind.pop_first();
        let next = sequence.first.map(|(_, number)| number);
        if next.is_none() {
            self.sequences.remove(name);
        }
        next
    }

    fn wake(&mut self, now: Instant, entries: &BTreeMap<u64, Entry>) {
        while let Some((until, number)) = self.resting.first().copied() {
            if until > now {
                return;
            }
            let entry = entries.get(&number);
            match entry {
                Some(entry) => self.put_back(number, entry),
                None => drop(self.resting.pop_first()),
            }
        }
    }

    fn make_ready(&mut self, number: u64, entry: &Entry) {
        let times = self.failed.get(&number).map_or(0, |failed| failed.times);
        self.listener(entry).ready.insert((times, number));
        let Some(organization) = self.organizations.get_mut(entry.organization()) else { return };
        if !organization.in_order {
            organization.in_order = true;
            self.order.push_back(entry.organization().to_owned());
        }
    }

    /// Takes an event from wherever it is.
    fn leave(&mut self, number: u64, entry: &Entry) {
        let failed = self.failed.get_mut(&number);
        let (times, until) = failed.map_or((0, None), |failed| (failed.times, failed.until.take()));
        let rested = until.is_some_and(|until| self.resting.remove(&(until, number)));
        let was_under_way = self.under_way.remove(&number);
        let listener = self.listener(entry);
        listener.ready.remove(&(times, number));
        listener.resting -= usize::from(rested);
        listener.under_way -= usize::from(was_under_way);
        if let Some(organization) = self.organizations.get_mut(entry.organization()) {
            organization.under_way -= usize::from(was_under_way);
        }
    }

    /// Forgets what an organization has nothing of.
    fn tidy(&mut self, name: &str) {
        let Some(organization) = self.organizations.get_mut(name) else { return };
        organization.listeners.retain(|_, listener| !listener.is_empty());
        // One that is in the order goes when it is its turn.
        if organization.listeners.is_empty() && !organization.in_order {
            self.organizations.remove(name);
        }
    }

    fn listener(&mut self, entry: &Entry) -> &mut Listener {
        let organization = self.organizations.entry(entry.organization().to_owned()).or_default();
        organization.listeners.entry(entry.listener().to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests;
