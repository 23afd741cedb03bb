//! Memory for the bodies under way: bounded all together, and shared by those who send.
//!
//! Nobody has more than three times what is free then, so that who comes next finds room, however much is sent; it is the
//! rule of the spool (`docs/adr/0058-shares-of-the-spool.md`). A body is its address's until its signature is verified, for
//! nobody may use up what is an organization's before; then it is the organization's, for GitHub's addresses are everybody's.
//! No body has more than what is free: of many senders' bodies the large ones are refused first, and events are small.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Memory is counted in units of this many bytes.
pub(super) const UNIT: usize = 64 * 1024;
/// All there is.
const UNITS: usize = 256 * 1024 * 1024 / UNIT;
/// How many times what is free anybody may have.
const TIMES_FREE: usize = 3;

#[derive(Debug)]
pub(super) struct Memory(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    /// What each has who has anything.
    held: HashMap<String, usize>,
}

/// What one body has, until this is dropped.
pub(super) struct Claim<'a> {
    memory: &'a Memory,
    /// Whose body it is.
    name: String,
    units: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(UNITS)
    }
}

impl Memory {
    pub(super) fn of(units: usize) -> Self {
        Self(Mutex::new(State { free: units, held: HashMap::new() }))
    }

    /// Nothing yet, for a body of this one.
    pub(super) fn claim(&self, name: String) -> Claim<'_> {
        Claim { memory: self, name, units: 0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.state().free
    }
}

impl State {
    /// Whether somebody may have so much more and leave enough to others, of whom so much is free then.
    fn may_have(&self, name: &str, more: usize, free: usize) -> bool {
        self.held.get(name).is_none_or(|held| held + more <= free.saturating_mul(TIMES_FREE))
    }

    fn give_back(&mut self, name: &str, units: usize) {
        let left = self.held.get(name).map_or(0, |held| held.saturating_sub(units));
        if left == 0 {
            self.held.remove(name);
        } else {
            self.held.insert(name.to_owned(), left);
        }
    }
}

impl Claim<'_> {
    /// Takes what a body of so many bytes needs; false where that is more than there is for it.
    pub(super) fn covers(&mut self, bytes: usize) -> bool {
        // An empty body has its head.
        let wanted = bytes.div_ceil(UNIT).max(1);
        let mut state = self.memory.state();
        while self.units < wanted {
            let Some(left) = state.free.checked_sub(1) else { return false };
            let small = self.units == 0 || self.units < left;
            if !small || !state.may_have(&self.name, 1, left) {
                return false;
            }
            state.free = left;
            self.units += 1;
            *state.held.entry(self.name.clone()).or_default() += 1;
        }
        true
    }

    /// Makes it somebody else's; false, and it stays, where that is more than this one may have.
    pub(super) fn hand_over(&mut self, name: String) -> bool {
        let mut state = self.memory.state();
        if !state.may_have(&name, self.units, state.free) {
            return false;
        }
        state.give_back(&self.name, self.units);
        *state.held.entry(name.clone()).or_default() += self.units;
        self.name = name;
        true
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.memory.state();
        state.free += self.units;
        state.give_back(&self.name, self.units);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims units one by one, each a body, until one is refused.
    fn greedy<'a>(memory: &'a Memory, name: &str) -> Vec<Claim<'a>> {
        let one = || {
            let mut claim = memory.claim(name.to_owned());
            claim.covers(1).then_some(claim)
        };
        std::iter::from_fn(one).collect()
    }

    #[test]
    fn whoever_takes_what_there_is_leaves_room_for_the_next() {
        let memory = Memory::of(100);
        let first = greedy(&memory, "a");
        assert_eq!((first.len(), memory.free()), (75, 25));
        let second = greedy(&memory, "b");
        assert_eq!((second.len(), memory.free()), (18, 7));
        assert_eq!(greedy(&memory, "c").len(), 5);
        drop((first, second));
        assert_eq!((memory.free(), memory.state().held.len()), (100, 0));
    }

    #[test]
    fn what_is_verified_is_its_organizations_and_no_more_its_addresss() {
        let memory = Memory::of(100);
        let mut verified = greedy(&memory, "github");
        assert_eq!(verified.len(), 75);
        assert!(verified.iter_mut().all(|claim| claim.hand_over("acme".to_owned())));
        let mut more = greedy(&memory, "github");
        assert_eq!(more.len(), 18, "the address has nothing, and may have three times what is free again");
        assert!(!more[0].hand_over("acme".to_owned()), "the organization has its share");
        assert!(more[0].hand_over("shop".to_owned()));
        drop((verified, more));
        assert_eq!((memory.free(), memory.state().held.len()), (100, 0));
    }

    #[test]
    fn of_many_bodies_the_large_are_refused_first() {
        let memory = Memory::of(100);
        let mut large = memory.claim("a".to_owned());
        assert!(!large.covers(60 * UNIT), "it would have more than it leaves");
        assert_eq!(memory.free(), 50);
        let mut second = memory.claim("b".to_owned());
        assert!(second.covers(20 * UNIT));
        let mut third = memory.claim("c".to_owned());
        assert!(!third.covers(20 * UNIT));
        assert!(memory.claim("d".to_owned()).covers(UNIT));
    }
}
