//! What many have of one thing, so that whoever comes next finds room, however much is taken.
//!
//! Nobody has more than three times what is free then (`docs/adr/0058-shares-of-the-spool.md`): alone three quarters, and
//! several that take all they can leave room for one more. The first of anybody needs room alone.

use std::collections::HashMap;

/// How many times what is free anybody may have.
const TIMES_FREE: u64 = 3;

/// Who has how much; the unit is the owner's.
#[derive(Debug)]
pub(crate) struct Shares {
    total: u64,
    taken: u64,
    /// What each has who has anything.
    held: HashMap<String, u64>,
}

/// Why there is nothing for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is not so much left.
    Full,
    /// What is left is for others.
    Share,
}

impl Shares {
    pub(crate) fn of(total: u64) -> Self {
        Self { total, taken: 0, held: HashMap::new() }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    pub(crate) fn free(&self) -> u64 {
        self.total.saturating_sub(self.taken)
    }

    /// What somebody has.
    pub(crate) fn held(&self, name: &str) -> u64 {
        self.held.get(name).copied().unwrap_or_default()
    }

    /// Takes so much for somebody, if that leaves enough to others.
    pub(crate) fn take(&mut self, name: &str, amount: u64) -> Result<(), Refusal> {
        let left = self.free().checked_sub(amount).ok_or(Refusal::Full)?;
        if !self.leaves_enough(name, amount, left) {
            return Err(Refusal::Share);
        }
        self.find(name, amount);
        Ok(())
    }

    /// Notes what somebody has already, whatever it leaves.
    pub(crate) fn find(&mut self, name: &str, amount: u64) {
        self.taken += amount;
        self.add(name, amount);
    }

    /// Gives back so much of what somebody has.
    pub(crate) fn give_back(&mut self, name: &str, amount: u64) {
        self.taken = self.taken.saturating_sub(amount);
        self.subtract(name, amount);
    }

    /// Makes so much of what one has another's; false, and it stays, where that is more than the other may have.
    pub(crate) fn hand_over(&mut self, from: &str, to: &str, amount: u64) -> bool {
        if !self.leaves_enough(to, amount, self.free()) {
            return false;
        }
        self.subtract(from, amount);
        self.add(to, amount);
        true
    }

    fn leaves_enough(&self, name: &str, more: u64, free: u64) -> bool {
        let held = self.held(name);
        held == 0 || held.saturating_add(more) <= free.saturating_mul(TIMES_FREE)
    }

    fn add(&mut self, name: &str, amount: u64) {
        *self.held.entry(name.to_owned()).or_default() += amount;
    }

    fn subtract(&mut self, name: &str, amount: u64) {
        if let Some(held) = self.held.get_mut(name) {
            *held = held.saturating_sub(amount);
            if *held == 0 {
                self.held.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one after the other until one is refused; tells how many.
    fn greedy(shares: &mut Shares, name: &str) -> usize {
        std::iter::from_fn(|| shares.take(name, 1).ok()).count()
    }

    #[test]
    fn whoever_takes_what_there_is_leaves_room_for_the_next() {
        let mut shares = Shares::of(100);
        assert_eq!(greedy(&mut shares, "a"), 75);
        assert_eq!((greedy(&mut shares, "b"), shares.free()), (18, 7));
        assert_eq!(greedy(&mut shares, "c"), 5);
        assert_eq!(shares.take("a", 1), Err(Refusal::Share));
        assert_eq!(shares.take("d", 3), Err(Refusal::Full), "nobody has what there is not");
        for (name, held) in [("a", 75), ("b", 18), ("c", 5)] {
            shares.give_back(name, held);
        }
        assert_eq!((shares.free(), shares.held.len()), (100, 0));
    }

    #[test]
    fn what_is_handed_over_counts_for_the_other_alone() {
        let mut shares = Shares::of(100);
        greedy(&mut shares, "a");
        assert!(shares.hand_over("a", "b", 75));
        assert_eq!((shares.held("a"), shares.held("b"), shares.free()), (0, 75, 25));
        assert!(shares.take("a", 1).is_ok() && !shares.hand_over("a", "b", 1));
        assert!(shares.hand_over("a", "c", 1));
    }

    #[test]
    fn what_was_found_counts_even_beyond_the_whole() {
        let mut shares = Shares::of(10);
        shares.find("a", 15);
        assert_eq!((shares.free(), shares.take("b", 1)), (0, Err(Refusal::Full)));
        shares.give_back("a", 15);
        assert!(shares.take("b", 1).is_ok());
    }
}
