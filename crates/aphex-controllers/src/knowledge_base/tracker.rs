//! Asks git servers for all KnowledgeBases: few at a time, each seldom, and ever more seldom where it fails.
//!
//! What a repository said is remembered for those who ask about it next, and so is that its host does not answer. Only in
//! memory: after a restart everything is asked once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aphex_git::{Client, ClientError, Commits, Credentials, Remote, RemoteError};
use aphex_runtime::errors;
use tokio::sync::Semaphore;

use crate::context::GitSettings;

/// Remotes that are asked at once, by all objects together.
const PARALLEL: usize = 16;
/// The first pause after a failure, and the longest, in parts and multiples of the interval.
const PAUSE_MIN_PART: u32 = 10;
const PAUSE_MAX_TIMES: u32 = 12;
/// What is remembered before what nobody asked about for long is forgotten.
const REMEMBERED_MAX: usize = 4096;
/// The longest that an error in a status is.
const ERROR_MAX: usize = 400;

/// Asks git servers for all KnowledgeBases.
pub struct Tracker {
    client: Result<Client, ClientError>,
    interval: Duration,
    turns: Semaphore,
    memory: Mutex<Memory>,
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracker").field("interval", &self.interval).finish_non_exhaustive()
    }
}

/// What is remembered of whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The repository.
    pub(super) remote: Remote,
    /// Namespace, name and version of the Secret by which it is read: what one may see another may not.
    pub(super) account: Option<[String; 3]>,
}

/// A question to one repository.
pub(super) struct Question<'a> {
    pub(super) key: Key,
    pub(super) credentials: Option<&'a Credentials>,
    pub(super) branches: Vec<String>,
}

/// What it said, and when it is to be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) commits: Result<Commits, String>,
    pub(super) again: Duration,
}

#[derive(Default)]
struct Memory {
    remotes: HashMap<Key, Remembered>,
    /// By host and port.
    hosts: HashMap<String, Trouble>,
}

struct Remembered {
    /// The commit of each branch that was asked about, and when.
    branches: BTreeMap<String, (Option<String>, Instant)>,
    trouble: Option<Trouble>,
    asked: Instant,
}

#[derive(Clone)]
struct Trouble {
    error: String,
    failures: u32,
    until: Instant,
}

impl Tracker {
    /// A tracker that has asked nobody yet.
    #[must_use]
    pub fn new(settings: &GitSettings) -> Self {
        Self {
            client: Client::new(settings.policy.clone()),
            interval: settings.interval,
            turns: Semaphore::new(PARALLEL),
            memory: Mutex::default(),
        }
    }

    /// Asks, unless the answer is known or nobody is to be asked for a while.
    pub(super) async fn ask(&self, question: &Question<'_>) -> Answer {
        if let Some(answer) = self.recall(question, Instant::now()) {
            return answer;
        }
        let turn = self.turns.acquire().await;
        // While this waited for its turn, another may have learned that the host does not answer.
        if let Some(answer) = self.recall(question, Instant::now()) {
            return answer;
        }
        let asked = match &self.client {
            Ok(client) => {
                client.branches(&question.key.remote, question.credentials, &question.branches).await
            }
            Err(error) => return Answer { commits: Err(errors::chain(error)), again: self.interval },
        };
        drop(turn);
        match asked {
            Ok(commits) => self.learn(question, commits, Instant::now()),
            Err(error) => self.fail(question, &error, Instant::now()),
        }
    }

    /// What is known and still holds.
    fn recall(&self, question: &Question<'_>, now: Instant) -> Option<Answer> {
        let memory = self.memory();
        let remembered = memory.remotes.get(&question.key);
        // An object that was woken early, for its own write or another repository, asks nothing; one whose time has come does.
        let fresh = |(commit, at): &(Option<String>, Instant)| {
            (now.duration_since(*at) < self.interval / 10 * 9).then(|| (commit.clone(), *at))
        };
        let known: Option<Vec<_>> = remembered.and_then(|remembered| {
            let of = |branch: &String| Some((branch.clone(), fresh(remembered.branches.get(branch)?)?));
            question.branches.iter().map(of).collect()
        });
        if let Some(known) = known {
            let oldest = known.iter().map(|(_, (_, at))| *at).min().unwrap_or(now);
            let commits = known.into_iter().filter_map(|(branch, (commit, _))| Some((branch, commit?)));
            let again = (oldest + self.interval).duration_since(now);
            return Some(Answer { commits: Ok(commits.collect()), again });
        }
        let troubles = [
            remembered.and_then(|remembered| remembered.trouble.as_ref()),
            memory.hosts.get(&question.key.remote.authority()),
        ];
        let trouble = troubles.into_iter().flatten().filter(|trouble| trouble.until > now);
        let trouble = trouble.max_by_key(|trouble| trouble.until)?;
        Some(Answer { commits: Err(trouble.error.clone()), again: trouble.until.duration_since(now) })
    }

    fn learn(&self, question: &Question<'_>, commits: Commits, now: Instant) -> Answer {
        let mut memory = self.memory();
        memory.hosts.remove(&question.key.remote.authority());
        let remembered = memory.of(&question.key, now, self.interval);
        remembered.trouble = None;
        for branch in &question.branches {
            remembered.branches.insert(branch.clone(), (commits.get(branch).cloned(), now));
        }
        Answer { commits: Ok(commits), again: self.interval }
    }

    fn fail(&self, question: &Question<'_>, error: &RemoteError, now: Instant) -> Answer {
        let text: String = errors::chain(error).chars().take(ERROR_MAX).collect();
        let mut memory = self.memory();
        let host = question.key.remote.authority();
        let remembered = memory.of(&question.key, now, self.interval);
        let failures = remembered.trouble.as_ref().map_or(0, |trouble| trouble.failures);
        let until =
            now + self.pause(failures).max(error.retry_after().unwrap_or_default().min(self.longest()));
        let trouble = Trouble { error: text.clone(), failures: failures.saturating_add(1), until };
        remembered.trouble = Some(trouble);
        if error.is_of_host() {
            let failures = memory.hosts.get(&host).map_or(0, |trouble| trouble.failures);
            let until = until.max(now + self.pause(failures));
            let error = text.clone();
            memory.hosts.insert(host, Trouble { error, failures: failures.saturating_add(1), until });
        }
        Answer { commits: Err(text), again: until.duration_since(now) }
    }

    /// Exponential, up to a fifth longer so that what failed together is not asked together.
    fn pause(&self, failures: u32) -> Duration {
        let pause = (self.interval / PAUSE_MIN_PART).saturating_mul(2_u32.saturating_pow(failures.min(16)));
        pause.min(self.longest()).mul_f64(1.0 + rand::random::<f64>() / 5.0)
    }

    fn longest(&self) -> Duration {
        self.interval * PAUSE_MAX_TIMES
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// What is remembered of a repository, from now on.
    fn of(&mut self, key: &Key, now: Instant, interval: Duration) -> &mut Remembered {
        if self.remotes.len() > REMEMBERED_MAX {
            let old = interval * PAUSE_MAX_TIMES * 2;
            self.remotes.retain(|_, remembered| now.duration_since(remembered.asked) < old);
            self.hosts.retain(|_, trouble| trouble.until > now);
        }
        let new = || Remembered { branches: BTreeMap::new(), trouble: None, asked: now };
        let remembered = self.remotes.entry(key.clone()).or_insert_with(new);
        remembered.asked = now;
        remembered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_mins(5);

    fn tracker() -> Tracker {
        let settings = GitSettings { interval: INTERVAL, ..GitSettings::default() };
        Tracker::new(&settings)
    }

    fn question(url: &str, branch: &str) -> Question<'static> {
        let key = Key { remote: url.parse().unwrap(), account: None };
        Question { key, credentials: None, branches: vec![branch.to_owned()] }
    }

    fn dead() -> RemoteError {
        RemoteError::Timeout { host: "github.com".to_owned(), seconds: 20 }
    }

    #[test]
    fn an_answer_holds_until_its_time_is_almost_over_and_for_its_branch_alone() {
        let (tracker, begin) = (tracker(), Instant::now());
        let main = question("https://github.com/a/a", "main");
        assert_eq!(tracker.recall(&main, begin), None);
        tracker.learn(&main, [("main".to_owned(), "1".repeat(40))].into(), begin);
        let answer = tracker.recall(&main, begin + Duration::from_mins(2)).unwrap();
        assert_eq!(answer.commits.unwrap()["main"], "1".repeat(40));
        assert_eq!(answer.again, Duration::from_mins(3));
        assert_eq!(tracker.recall(&question("https://github.com/a/a", "dev"), begin), None);
        assert_eq!(tracker.recall(&main, begin + INTERVAL / 10 * 9), None);
    }

    #[test]
    fn what_fails_is_asked_ever_more_seldom_and_a_dead_host_not_for_each_repository() {
        let (tracker, begin) = (tracker(), Instant::now());
        let (one, other) = (question("https://github.com/a/a", "x"), question("https://github.com/a/b", "x"));
        let first = tracker.fail(&one, &RemoteError::NotFound, begin).again;
        assert!((Duration::from_secs(30)..=Duration::from_secs(36)).contains(&first), "{first:?}");
        assert!(tracker.recall(&one, begin).unwrap().commits.is_err());
        assert_eq!(tracker.recall(&other, begin), None, "one repository says nothing of another");
        let later = begin + first;
        assert_eq!(tracker.recall(&one, later), None);
        assert!(tracker.fail(&one, &RemoteError::NotFound, later).again >= Duration::from_mins(1));
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            longest = tracker.fail(&one, &RemoteError::NotFound, later).again;
        }
        assert!((Duration::from_hours(1)..=Duration::from_mins(72)).contains(&longest), "{longest:?}");

        tracker.fail(&one, &dead(), later);
        let told = tracker.recall(&other, later).unwrap().commits.unwrap_err();
        assert_eq!(told, "github.com did not answer within 20 s");
        tracker.learn(&one, Commits::new(), later);
        assert_eq!(tracker.recall(&other, later), None, "the host answers again");
    }

    #[test]
    fn what_a_secret_opens_is_not_told_to_those_without_it() {
        let (tracker, begin) = (tracker(), Instant::now());
        let mut private = question("https://github.com/a/a", "main");
        private.key.account = Some(["ns", "secret", "1"].map(str::to_owned));
        tracker.learn(&private, [("main".to_owned(), "1".repeat(40))].into(), begin);
        assert!(tracker.recall(&private, begin).is_some());
        assert_eq!(tracker.recall(&question("https://github.com/a/a", "main"), begin), None);
    }

    #[test]
    fn a_server_that_asks_for_rest_gets_it() {
        let (tracker, begin) = (tracker(), Instant::now());
        let again = |retry_after| {
            let busy = RemoteError::Busy { retry_after: Some(retry_after) };
            tracker.fail(&question("https://github.com/a/a", "x"), &busy, begin).again
        };
        assert!(again(Duration::from_mins(7)) >= Duration::from_mins(7));
        assert!(again(Duration::from_secs(u64::MAX)) <= Duration::from_mins(72));
    }
}
