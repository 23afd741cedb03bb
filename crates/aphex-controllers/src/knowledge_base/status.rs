//! The status of a KnowledgeBase: what was found in each repository, and that as conditions, phase and message.

use aphex_api::conditions::{self, Finding, Reason, State};
use aphex_api::knowledge_base::{
    KnowledgeBasePhase, KnowledgeBaseStatus, ObservedRepository, TrackedRepository, condition,
};
use aphex_runtime::errors;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::KnowledgeBases;
use crate::driver::Pass;
use crate::outcome::Outcome;

/// Nothing is written when nothing changed, but for this: so long the time in the status may stand still.
const STANDSTILL: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn status(pass: &Pass<'_, KnowledgeBases>) -> KnowledgeBaseStatus {
    let old = pass.object.status.clone().unwrap_or_default();
    let now = conditions::to_second(pass.now);
    let found = pass.observed.filter(|_| pass.valid.is_some());
    let repositories = match (found, pass.outcome) {
        (Some(observed), _) => {
            let spec = pass.object.spec.repositories.iter();
            spec.zip(&observed.repositories)
                .enumerate()
                .map(|(index, (repository, found))| {
                    let before = before(repository, index, &old.repositories);
                    observed_repository(repository, found, before, now)
                })
                .collect()
        }
        // What was found for another spec says nothing about this one.
        (None, Outcome::Rejected(_)) => Vec::new(),
        (None, _) => old.repositories.clone(),
    };
    let (phase, state, reason, message) = verdict(pass.outcome, &repositories);
    let findings = findings(state, reason, &message, &repositories);
    let generation = pass.object.metadata.generation;
    let mut status = KnowledgeBaseStatus {
        phase,
        message,
        observed_generation: generation,
        conditions: conditions::merge(&old.conditions, findings, generation, pass.now),
        repositories,
        last_reconcile_time: old.last_reconcile_time.clone(),
    };
    let still = old.last_reconcile_time.as_ref().is_some_and(|last| now.duration_since(last.0) < STANDSTILL);
    if status != old || !still {
        status.last_reconcile_time = Some(Time(now));
    }
    status
}

/// A repository as it was found; what is not known any more is told as it was last seen.
fn observed_repository(
    repository: &TrackedRepository,
    found: &Result<String, String>,
    before: Option<&ObservedRepository>,
    now: Timestamp,
) -> ObservedRepository {
    let (url, branch) = (repository.url.clone(), repository.branch.clone());
    let last = before.and_then(|old| old.commit.clone());
    let since = before.and_then(|old| old.observed_time.clone());
    match found {
        Ok(commit) if last.as_ref() == Some(commit) && since.is_some() => {
            ObservedRepository { url, branch, commit: last, observed_time: since, error: None }
        }
        Ok(commit) => ObservedRepository {
            url,
            branch,
            commit: Some(commit.clone()),
            observed_time: Some(Time(now)),
            error: None,
        },
        Err(error) => {
            ObservedRepository { url, branch, commit: last, observed_time: since, error: Some(error.clone()) }
        }
    }
}

/// What was last said about a repository: at its place, or at another if it was the only one of its kind.
///
/// One may be listed twice, with a Secret and without; what the one sees the other does not.
fn before<'a>(
    repository: &TrackedRepository,
    index: usize,
    old: &'a [ObservedRepository],
) -> Option<&'a ObservedRepository> {
    let same = |old: &&ObservedRepository| old.url == repository.url && old.branch == repository.branch;
    let only = || {
        let mut alike = old.iter().filter(same);
        alike.next().filter(|_| alike.next().is_none())
    };
    old.get(index).filter(same).or_else(only)
}

fn verdict(
    outcome: &Outcome,
    repositories: &[ObservedRepository],
) -> (KnowledgeBasePhase, State, Reason, String) {
    use KnowledgeBasePhase::{Failed, Pending, Ready};
    match outcome {
        // Nothing is tracked then, whatever is remembered. A part that answers is tracked, and the others fail alone.
        Outcome::Applied if none_answers(repositories) => {
            (Failed, State::False, Reason::Unreachable, summary(repositories))
        }
        Outcome::Applied => (Ready, State::True, Reason::Tracking, summary(repositories)),
        Outcome::Unsettled(waiting) | Outcome::Waiting(waiting) => {
            (Pending, State::Unknown, Reason::WaitingFor, waiting.to_string())
        }
        Outcome::Deleting(waiting) => (Pending, State::Unknown, Reason::Deleting, waiting.to_string()),
        Outcome::Rejected(rejection) => (Failed, State::False, rejection.reason, rejection.message.clone()),
        Outcome::Failed(error) => (Failed, State::False, Reason::ProvisioningFailed, errors::chain(error)),
    }
}

fn none_answers(repositories: &[ObservedRepository]) -> bool {
    !repositories.is_empty() && repositories.iter().all(|found| found.error.is_some())
}

/// How many repositories are tracked, and the first one that is not.
fn summary(repositories: &[ObservedRepository]) -> String {
    let all = repositories.len();
    let noun = if all == 1 { "repository" } else { "repositories" };
    let mut broken = repositories.iter().filter_map(|found| Some((found, found.error.as_deref()?)));
    let Some((first, error)) = broken.next() else { return format!("Tracking {all} {noun}") };
    let more = broken.count();
    let rest = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    format!("Tracking {} of {all} {noun}; {}: {error}{rest}", all - more - 1, first.url)
}

fn findings(
    state: State,
    reason: Reason,
    message: &str,
    repositories: &[ObservedRepository],
) -> Vec<Finding> {
    let reachable = match reason {
        Reason::Unreachable => (State::False, reason, message),
        Reason::Tracking if repositories.iter().any(|found| found.error.is_some()) => {
            (State::False, Reason::Unreachable, message)
        }
        Reason::Tracking => (State::True, reason, ""),
        _ => (State::Unknown, reason, message),
    };
    let finding = |condition, (state, reason, message): (State, Reason, &str)| Finding {
        condition,
        state,
        reason,
        message: message.to_owned(),
    };
    vec![finding(condition::REACHABLE, reachable), finding(condition::READY, (state, reason, message))]
}

#[cfg(test)]
mod tests {
    use aphex_api::knowledge_base::{KnowledgeBase, KnowledgeBaseSpec};

    use super::*;
    use crate::context::Settings;
    use crate::driver::Reconciler as _;
    use crate::knowledge_base::Observed;

    fn object() -> KnowledgeBase {
        let repository = |name: &str| TrackedRepository {
            url: format!("https://github.com/acme/{name}"),
            branch: "main".to_owned(),
            ..TrackedRepository::default()
        };
        let spec = KnowledgeBaseSpec {
            display_name: "Docs".to_owned(),
            repositories: vec![repository("one"), repository("two")],
            ..KnowledgeBaseSpec::default()
        };
        KnowledgeBase::new("docs", spec)
    }

    fn at(object: &KnowledgeBase, minute: i64, found: [Result<&str, &str>; 2]) -> KnowledgeBaseStatus {
        let settings = Settings::new("http://gateway").unwrap();
        let owned = found.map(|found| found.map(str::to_owned).map_err(str::to_owned));
        let observed = Observed { repositories: owned.into(), ..Observed::default() };
        let valid = KnowledgeBases::validate(object, &observed, &settings).unwrap();
        status(&Pass {
            object,
            observed: Some(&observed),
            valid: Some(&valid),
            outcome: &Outcome::Applied,
            settings: &settings,
            now: Timestamp::from_second(60 * minute).unwrap(),
        })
    }

    fn minute(time: Option<&Time>) -> i64 {
        time.unwrap().0.as_second() / 60
    }

    #[test]
    fn a_repository_that_cannot_be_read_keeps_its_last_commit_and_fails_no_other() {
        let mut object = object();
        object.status = Some(at(&object, 1, [Ok("aaa"), Ok("bbb")]));
        let status = at(&object, 2, [Ok("ccc"), Err("gone")]);
        assert_eq!(status.phase, KnowledgeBasePhase::Ready);
        assert_eq!(status.message, "Tracking 1 of 2 repositories; https://github.com/acme/two: gone");
        let [one, two] = status.repositories.as_slice() else { panic!("{status:?}") };
        assert_eq!((one.commit.as_deref(), minute(one.observed_time.as_ref())), (Some("ccc"), 2));
        assert_eq!((two.commit.as_deref(), minute(two.observed_time.as_ref())), (Some("bbb"), 1));
        assert_eq!((one.error.as_deref(), two.error.as_deref()), (None, Some("gone")));
        let reachable = conditions::find(&status.conditions, condition::REACHABLE).unwrap();
        assert_eq!((reachable.status.as_str(), reachable.reason.as_str()), ("False", "Unreachable"));
        assert_eq!(conditions::find(&status.conditions, condition::READY).unwrap().status, "True");
    }

    #[test]
    fn where_no_repository_answers_nothing_is_ready_until_one_does() {
        let mut object = object();
        object.status = Some(at(&object, 1, [Ok("aaa"), Ok("bbb")]));
        let dark = at(&object, 2, [Err("refused"), Err("gone")]);
        assert_eq!(dark.phase, KnowledgeBasePhase::Failed);
        assert_eq!(
            dark.message,
            "Tracking 0 of 2 repositories; https://github.com/acme/one: refused (and 1 more)"
        );
        for name in [condition::READY, condition::REACHABLE] {
            let found = conditions::find(&dark.conditions, name).unwrap();
            assert_eq!((found.status.as_str(), found.reason.as_str()), ("False", "Unreachable"), "{name}");
            assert_eq!(found.message, dark.message);
        }
        assert_eq!(dark.repositories[0].commit.as_deref(), Some("aaa"), "what was last seen is still told");
        object.status = Some(dark);
        let lit = at(&object, 3, [Err("refused"), Ok("bbb")]);
        assert_eq!(lit.phase, KnowledgeBasePhase::Ready);
        assert_eq!(conditions::find(&lit.conditions, condition::READY).unwrap().status, "True");
    }

    #[test]
    fn a_repository_listed_twice_is_two_and_one_that_moved_in_the_list_is_the_same() {
        let mut object = object();
        object.spec.repositories[1] = object.spec.repositories[0].clone();
        object.status = Some(at(&object, 1, [Ok("aaa"), Err("who are you?")]));
        let twice = at(&object, 2, [Ok("aaa"), Err("who are you?")]);
        assert_eq!(twice.repositories[1].commit, None);
        object.spec.repositories[1].url.push_str("-other");
        object.status = Some(at(&object, 1, [Ok("aaa"), Ok("bbb")]));
        object.spec.repositories.reverse();
        let moved = at(&object, 2, [Err("gone"), Ok("aaa")]);
        assert_eq!(moved.repositories[0].commit.as_deref(), Some("bbb"));
        assert_eq!(minute(moved.repositories[1].observed_time.as_ref()), 1);
    }

    #[test]
    fn nothing_new_is_said_once_an_hour() {
        let mut object = object();
        let found = [Ok("aaa"), Ok("bbb")];
        object.status = Some(at(&object, 1, found));
        assert_eq!(Some(at(&object, 60, found)), object.status, "nothing is written");
        let later = at(&object, 61, found);
        assert_eq!(minute(later.last_reconcile_time.as_ref()), 61);
        assert_eq!(minute(later.repositories[0].observed_time.as_ref()), 1);
        let moved = at(&object, 5, [Ok("aaa"), Ok("ccc")]);
        assert_eq!(minute(moved.last_reconcile_time.as_ref()), 5);
        assert_eq!(moved.message, "Tracking 2 repositories");
    }

    #[test]
    fn a_spec_that_cannot_be_carried_out_says_nothing_about_repositories() {
        let mut object = object();
        object.status = Some(at(&object, 1, [Ok("aaa"), Ok("bbb")]));
        let settings = Settings::new("http://gateway").unwrap();
        let rejected = Outcome::Rejected(crate::outcome::Rejection::invalid("no"));
        let status = status(&Pass {
            object: &object,
            observed: Some(&Observed::default()),
            valid: None,
            outcome: &rejected,
            settings: &settings,
            now: Timestamp::from_second(120).unwrap(),
        });
        assert_eq!((status.phase, status.message.as_str()), (KnowledgeBasePhase::Failed, "no"));
        assert!(status.repositories.is_empty());
    }
}
