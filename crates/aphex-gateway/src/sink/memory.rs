//! Memory for the bodies under way, and memory for the values that are read of them: each bounded all together, and shared by those who send.
//!
//! Shares are as in [`crate::shares`]. A body is its address's until its signature is verified, for nobody may use up what is
//! an organization's before; then it is the organization's, for GitHub's addresses are everybody's.
//! No body has more than what is free: of many senders' bodies the large ones are refused first, and events are small.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::shares::Shares;

/// Memory is counted in units of this many bytes.
pub(super) const UNIT: usize = 64 * 1024;
/// All there is.
const UNITS: u64 = 256 * 1024 * 1024 / UNIT as u64;

#[derive(Debug)]
pub(super) struct Memory(Mutex<Shares>);

/// What one body has, until this is dropped.
pub(super) struct Claim<'a> {
    memory: &'a Memory,
    /// Whose body it is.
    name: String,
    units: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(UNITS)
    }
}

impl Memory {
    pub(super) fn of(units: u64) -> Self {
        Self(Mutex::new(Shares::of(units)))
    }

    /// Nothing yet, for a body of this one.
    pub(super) fn claim(&self, name: String) -> Claim<'_> {
        Claim { memory: self, name, units: 0 }
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> u64 {
        self.shares().free()
    }
}

impl Claim<'_> {
    /// Takes what a head and a body of so many bytes need; false where that is more than there is for them.
    pub(super) fn covers(&mut self, bytes: usize) -> bool {
        // The smallest head is one.
        let wanted = u64::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u64::MAX);
        let mut shares = self.memory.shares();
        while self.units < wanted {
            let small = self.units == 0 || self.units < shares.free().saturating_sub(1);
            if !small || shares.take(&self.name, 1).is_err() {
                return false;
            }
            self.units += 1;
        }
        true
    }

    /// Takes so many units more; false, and it has what it had, where that is more than there is for it.
    pub(super) fn takes(&mut self, units: u64) -> bool {
        let taken = self.memory.shares().take(&self.name, units).is_ok();
        if taken {
            self.units += units;
        }
        taken
    }

    /// Makes it somebody else's; false, and it stays, where that is more than this one may have.
    pub(super) fn hand_over(&mut self, name: String) -> bool {
        let handed = self.memory.shares().hand_over(&self.name, &name, self.units);
        if handed {
            self.name = name;
        }
        handed
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.memory.shares().give_back(&self.name, self.units);
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
        assert_eq!(memory.free(), 100);
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
