//! Slows guessing down: after a few failures an account or a source waits, longer each time.
//!
//! Kept in memory only. Names that do not exist are counted like those that do, so that waiting tells nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aphex_runtime::proxies::network;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;

/// What is guessed at, or who guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// An account by the hash of the name typed; the name itself is not kept.
    Account([u8; 32]),
    /// A client's secret, guessed at from one source: from another the client still gets in.
    Client([u8; 32]),
    /// A source that guesses at clients' secrets; people's logins from there are counted apart.
    Clients(IpAddr),
    /// An address, or the network of 64 bits that an IPv6 host has to itself.
    Source(IpAddr),
}

/// How failures of a subject are answered.
struct Rule {
    /// Failures without a wait: people mistype.
    free: u32,
    /// The longest wait. For accounts it is short, so that others cannot keep somebody out for long.
    longest: Duration,
}

const ACCOUNT: Rule = Rule { free: 5, longest: Duration::from_mins(5) };
const SOURCE: Rule = Rule { free: 20, longest: Duration::from_mins(15) };
/// Secrets of clients are typed by nobody: a program that is set up wrong tries again by itself.
const CLIENT: Rule = Rule { free: 10, longest: Duration::from_mins(1) };
const CLIENTS: Rule = Rule { free: 50, longest: Duration::from_mins(5) };
/// Failures are forgotten after so long without another.
const MEMORY: Duration = Duration::from_hours(1);
/// Most subjects remembered; beyond, those whose last failure is longest ago go first.
const MOST: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    last: Timestamp,
    until: Timestamp,
}

/// Counts failures.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<Subject, Record>>);

impl Subject {
    /// The account that a name stands for, however it is written.
    pub(crate) fn account(name: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, name.trim().to_lowercase().as_bytes()).as_ref());
        Self::Account(hash)
    }

    /// A client that somebody claims to be, there or not, and whoever claims it.
    pub(crate) fn client(id: &str, address: IpAddr) -> [Self; 2] {
        let source = network(address);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, format!("{source} {id}").as_bytes()).as_ref());
        [Self::Client(hash), Self::Clients(source)]
    }

    /// The source that an address stands for.
    pub(crate) fn source(address: IpAddr) -> Self {
        Self::Source(network(address))
    }

    fn rule(self) -> Rule {
        match self {
            Self::Account(_) => ACCOUNT,
            Self::Client(_) => CLIENT,
            Self::Clients(_) => CLIENTS,
            Self::Source(_) => SOURCE,
        }
    }
}

impl Throttle {
    /// Counts an attempt of each, or says how long they have to wait.
    ///
    /// It counts before anything is known of the attempt: many at once must not all be the last free one.
    pub(crate) fn attempt(&self, subjects: &[Subject], now: Timestamp) -> Result<(), Duration> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        longest(&records, subjects, now)?;
        for subject in subjects {
            if records.len() >= MOST && !records.contains_key(subject) {
                make_room(&mut records, now);
            }
            let record = records.entry(*subject).or_insert(Record { failures: 0, last: now, until: now });
            if forgotten(record, now) {
                record.failures = 0;
            }
            record.failures = record.failures.saturating_add(1);
            record.last = now;
            record.until =
                now.saturating_add(subject.rule().pause(record.failures)).unwrap_or(Timestamp::MAX);
        }
        Ok(())
    }

    /// Says how long these have to wait, and counts nothing: for what is looked at in no time, and counted when it fails.
    pub(crate) fn look(&self, subjects: &[Subject], now: Timestamp) -> Result<(), Duration> {
        longest(&self.0.lock().unwrap_or_else(PoisonError::into_inner), subjects, now)
    }

    /// An attempt was right. An account starts anew; a source keeps its other failures, or one good account would free
    /// all guesses.
    pub(crate) fn succeeded(&self, subjects: &[Subject]) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for subject in subjects {
            match subject {
                Subject::Account(_) | Subject::Client(_) => {
                    records.remove(subject);
                }
                Subject::Source(_) | Subject::Clients(_) => take_back(&mut records, subject),
            }
        }
    }

    /// An attempt was not looked at. Failures before it stay, or whoever keeps us busy could guess for ever.
    pub(crate) fn not_tried(&self, subjects: &[Subject]) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for subject in subjects {
            take_back(&mut records, subject);
        }
    }
}

fn longest(records: &HashMap<Subject, Record>, subjects: &[Subject], now: Timestamp) -> Result<(), Duration> {
    let waits = subjects.iter().filter_map(|subject| records.get(subject)).map(|record| wait(record, now));
    match waits.max().filter(|wait| !wait.is_zero()) {
        Some(longest) => Err(longest),
        None => Ok(()),
    }
}

/// Takes one attempt back.
fn take_back(records: &mut HashMap<Subject, Record>, subject: &Subject) {
    match records.get_mut(subject) {
        Some(record) if record.failures > 1 => {
            record.failures -= 1;
            record.until = record.last;
        }
        _ => {
            records.remove(subject);
        }
    }
}

/// How long a subject still has to wait, in whole seconds.
fn wait(record: &Record, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(record.until)).unwrap_or_default()
}

impl Rule {
    /// One second after the first failure too many, then twice as long each time.
    fn pause(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free + 1) {
            None => Duration::ZERO,
            Some(doublings) => Duration::from_secs(1 << doublings.min(16)).min(self.longest),
        }
    }
}

fn forgotten(record: &Record, now: Timestamp) -> bool {
    let memory = record.last.saturating_add(MEMORY).unwrap_or(Timestamp::MAX);
    memory <= now && record.until <= now
}

/// Drops what is forgotten, else the eighth whose last failure is longest ago.
fn make_room(records: &mut HashMap<Subject, Record>, now: Timestamp) {
    records.retain(|_, record| !forgotten(record, now));
    if records.len() >= MOST {
        let mut times: Vec<Timestamp> = records.values().map(|record| record.last).collect();
        times.sort_unstable();
        let limit = times.get(MOST / 8).copied().unwrap_or(now);
        records.retain(|_, record| record.last > limit);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    /// Attempts that fail, each as soon as it may be made; gives the waits in between, in seconds.
    fn guess(throttle: &Throttle, subject: Subject, times: usize) -> Vec<u64> {
        let (mut now, mut waits) = (after(0), Vec::new());
        for _ in 0..times {
            if let Err(wait) = throttle.attempt(&[subject], now) {
                waits.push(wait.as_secs());
                now = now.saturating_add(wait).unwrap();
                throttle.attempt(&[subject], now).unwrap();
            }
        }
        waits
    }

    #[test]
    fn an_account_waits_longer_with_each_failure_and_is_free_again_after_a_success() {
        let (throttle, account) = (Throttle::default(), Subject::account("Ada@Example.com"));
        assert_eq!(guess(&throttle, account, 6), [0; 0], "people mistype");
        let same = Subject::account(" ada@example.com");
        assert_eq!(guess(&throttle, same, 11), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        throttle.succeeded(&[account]);
        assert_eq!(guess(&throttle, account, 6), [0; 0]);
    }

    #[test]
    fn a_success_of_one_account_does_not_free_its_source() {
        let throttle = Throttle::default();
        let source = Subject::source(IpAddr::from([192, 0, 2, 1]));
        for _ in 0..20 {
            throttle.attempt(&[source], after(0)).unwrap();
        }
        throttle.attempt(&[source], after(0)).unwrap();
        throttle.succeeded(&[source]);
        throttle.attempt(&[source], after(0)).unwrap();
        assert_eq!(throttle.attempt(&[source], after(0)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn an_attempt_that_was_not_looked_at_forgives_none_before_it() {
        let (throttle, account) = (Throttle::default(), Subject::account("ada"));
        assert_eq!(guess(&throttle, account, 8), [1, 2]);
        let later = after(1_000);
        throttle.attempt(&[account], later).unwrap();
        throttle.not_tried(&[account]);
        throttle.attempt(&[account], later).unwrap();
        assert_eq!(throttle.attempt(&[account], later), Err(Duration::from_secs(8)));
    }

    #[test]
    fn neighbours_in_an_ipv6_network_are_one_source() {
        let throttle = Throttle::default();
        for last in 0..21_u16 {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, last);
            throttle.attempt(&[Subject::source(address.into())], after(0)).unwrap();
        }
        let same = Subject::source(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 9, 9, 9, 9).into());
        let other = Subject::source(Ipv6Addr::new(0x2001, 0xdb8, 1, 3, 0, 0, 0, 1).into());
        assert!(throttle.attempt(&[same], after(0)).is_err());
        assert!(throttle.attempt(&[other], after(0)).is_ok());
    }

    #[test]
    fn strangers_cannot_make_it_grow_without_end() {
        let throttle = Throttle::default();
        for number in 0..30_000_i64 {
            let _ = throttle.attempt(&[Subject::account(&number.to_string())], after(number));
        }
        assert!(throttle.0.lock().unwrap().len() <= MOST);
    }
}
