//! How many signatures each source may have fail: a budget that comes back with time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aphex_runtime::Clock;
use aphex_runtime::proxies::network;
use jiff::Timestamp;

/// How many may fail at once.
const BURST: f64 = 20.0;
/// How many a second come back.
const REFILL: f64 = 1.0;
/// Sources that are remembered; all others have one budget together.
const MOST: usize = 4096;

#[derive(Debug)]
pub(super) struct Sources {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    known: HashMap<IpAddr, Bucket>,
    others: Bucket,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl Bucket {
    fn full(now: Timestamp) -> Self {
        Self { left: BURST, at: now }
    }

    /// What is left now; a clock that went back gives nothing and takes nothing.
    fn refilled(self, now: Timestamp) -> Self {
        let seconds = now.duration_since(self.at).as_secs_f64().max(0.0);
        Self { left: (self.left + seconds * REFILL).min(BURST), at: now }
    }
}

impl Sources {
    pub(super) fn new(clock: Clock) -> Self {
        let others = Bucket::full(clock.now());
        Self { clock, state: Mutex::new(State { known: HashMap::new(), others }) }
    }

    /// Whether a source may fail once more.
    pub(super) fn has_budget(&self, source: IpAddr) -> bool {
        let now = self.clock.now();
        let state = self.state();
        let bucket = match state.known.get(&network(source)) {
            Some(bucket) => *bucket,
            None if state.known.len() < MOST => return true,
            None => state.others,
        };
        bucket.refilled(now).left >= 1.0
    }

    /// Takes one from a source's budget; tells whether there was one.
    pub(super) fn spend(&self, source: IpAddr) -> bool {
        let now = self.clock.now();
        let mut state = self.state();
        let source = network(source);
        if state.known.len() >= MOST && !state.known.contains_key(&source) {
            // Those who have their whole budget again are as good as unknown.
            state.known.retain(|_, bucket| bucket.refilled(now).left < BURST);
        }
        let room = state.known.len() < MOST;
        let bucket = match state.known.get_mut(&source) {
            Some(bucket) => bucket,
            None if room => state.known.entry(source).or_insert(Bucket::full(now)),
            None => &mut state.others,
        };
        *bucket = bucket.refilled(now);
        let had = bucket.left >= 1.0;
        bucket.left = (bucket.left - 1.0).max(0.0);
        had
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a source is called in the queue of those over their budget.
pub(crate) fn name(source: IpAddr) -> String {
    network(source).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_budget_is_spent_by_failures_alone_and_comes_back() {
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let sources = Sources::new(clock);
        let bad = ip("192.0.2.1");
        let allowed = (0..100).filter(|_| sources.spend(bad)).count();
        assert_eq!(allowed, 20);
        assert!(!sources.has_budget(bad) && sources.has_budget(ip("192.0.2.2")));
        hand.advance(Duration::from_secs(1));
        assert!(sources.has_budget(bad));
        assert_eq!([sources.spend(bad), sources.spend(bad)], [true, false]);
        hand.advance(Duration::from_hours(1));
        assert_eq!((0..100).filter(|_| sources.spend(bad)).count(), 20, "no more than the burst comes back");
    }

    #[test]
    fn one_network_of_the_new_kind_is_one_source() {
        let sources = Sources::new(Clock::manual(Timestamp::UNIX_EPOCH).0);
        for number in 0..20 {
            assert!(sources.spend(ip(&format!("2001:db8::{number:x}"))));
        }
        assert!(!sources.has_budget(ip("2001:db8::ffff")) && sources.has_budget(ip("2001:db8:0:1::1")));
        assert!(sources.has_budget(ip("::ffff:192.0.2.1")));
    }

    #[test]
    fn however_many_sources_there_are_memory_is_bounded() {
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let sources = Sources::new(clock);
        for number in 0..10_000_u32 {
            sources.spend(IpAddr::V4((0x0a00_0000 + number).into()));
        }
        assert_eq!(sources.state().known.len(), MOST);
        assert!(!sources.has_budget(ip("192.0.2.1")), "the unknown have one budget together");
        hand.advance(Duration::from_mins(1));
        assert!(sources.has_budget(ip("192.0.2.1")));
        sources.spend(ip("192.0.2.1"));
        assert_eq!(sources.state().known.len(), 1);
    }
}
