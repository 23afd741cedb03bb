//! What is to happen to the runs of one binding; pure.

use std::cmp::Reverse;

use aphex_api::delivery::RunConcurrency;
use aphex_api::repo_binding::{Concurrency, ConcurrencyPolicy, Retention};
use jiff::Timestamp;

/// Deletions of one pass; the next one follows at once, after those of other bindings.
const DELETIONS: usize = 50;

/// What a binding says about its runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) concurrency: Concurrency,
    pub(super) retention: Retention,
}

/// How old a run is: by the event that made it, then by its own creation, then by when it was seen.
///
/// An event may have to wait until the engine takes its run; it is no newer for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    pub(super) triggered: Timestamp,
    pub(super) created: Timestamp,
    pub(super) seen: u64,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Pending, until it is released here.
    Queued,
    /// Pending, by somebody else's wish.
    Held,
    /// Under way, or about to be.
    Active,
    /// Under way, and told to stop.
    Stopping,
    /// Ended well.
    Succeeded(Timestamp),
    /// Ended otherwise.
    Failed(Timestamp),
}

impl State {
    fn is_done(self) -> bool {
        matches!(self, Self::Succeeded(_) | Self::Failed(_))
    }
}

/// A run, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) name: String,
    pub(super) uid: String,
    /// What it was when it was last seen.
    pub(super) version: String,
    /// The ref that it is of; empty when it does not say.
    pub(super) git_ref: String,
    /// The id of the event that made it; empty when it repeats another run.
    pub(super) event: String,
    /// What was decided about it already.
    pub(super) concurrency: Option<RunConcurrency>,
    pub(super) age: Age,
    pub(super) state: State,
}

/// A volume that was made for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) uid: String,
    /// The run's uid.
    pub(super) run: String,
}

/// Something to do to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Let it begin.
    Release(Run),
    /// Stop it for the sake of a newer one.
    Cancel { run: Run, by: String },
    /// Take it away.
    Delete(Run),
    /// Take away a volume that it has no use for any more.
    Free { run: Run, volume: Volume },
}

impl Action {
    pub(super) fn run(&self) -> &Run {
        match self {
            Self::Release(run) | Self::Cancel { run, .. } | Self::Delete(run) | Self::Free { run, .. } => run,
        }
    }

    /// What it decides about the run by the binding's `concurrency`.
    pub(super) fn concurrency(&self) -> Option<RunConcurrency> {
        match self {
            Self::Release(_) => Some(RunConcurrency::RELEASED),
            Self::Cancel { by, .. } => Some(RunConcurrency::superseded(by)),
            Self::Delete(_) | Self::Free { .. } => None,
        }
    }

    /// What was done, in one word for metrics and logs.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Release(_) => "released",
            Self::Cancel { .. } => "cancelled",
            Self::Delete(_) => "deleted",
            Self::Free { .. } => "freed",
        }
    }
}

/// What is to be done, in order, and whether more of it follows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Todo {
    pub(super) actions: Vec<Action>,
    pub(super) more: bool,
}

pub(super) fn plan(policy: &Policy, runs: &[Run]) -> Todo {
    let mut actions = Vec::new();
    let mut cancelled = Vec::new();
    if policy.concurrency.policy == ConcurrencyPolicy::CancelSuperseded {
        for run in runs {
            if let Some(by) = superseded(run, runs) {
                cancelled.push(run.uid.as_str());
                actions.push(Action::Cancel { run: run.clone(), by: by.name.clone() });
            }
        }
    }
    let active = runs.iter().filter(|run| matches!(run.state, State::Active | State::Stopping)).count();
    let mut queued: Vec<&Run> = runs
        .iter()
        .filter(|run| run.state == State::Queued && !cancelled.contains(&run.uid.as_str()))
        .collect();
    queued.sort_by_key(|run| (run.age, &run.name));
    let room = limit(policy.concurrency).saturating_sub(active);
    actions.extend(queued.into_iter().take(room).cloned().map(Action::Release));
    let old = old(policy.retention, runs);
    let more = old.len() > DELETIONS;
    actions.extend(old.into_iter().take(DELETIONS).cloned().map(Action::Delete));
    Todo { actions, more }
}

/// The volumes of ended runs that stay.
///
/// Tekton deletes a volume with its run and not before (issue 5776 of tektoncd/pipeline), and the
/// quota of a tenant has room for fewer volumes than ended runs are kept.
pub(super) fn free(volumes: &[Volume], runs: &[Run]) -> Vec<Action> {
    let of = |volume: &Volume| runs.iter().find(|run| run.uid == volume.run && run.state.is_done());
    let unused = volumes.iter().filter_map(|volume| Some((volume.clone(), of(volume)?.clone())));
    unused.take(DELETIONS).map(|(volume, run)| Action::Free { run, volume }).collect()
}

/// How many runs may be under way.
fn limit(concurrency: Concurrency) -> usize {
    match concurrency.policy {
        ConcurrencyPolicy::Queue => usize::try_from(concurrency.max.unwrap_or(1)).unwrap_or(1).max(1),
        ConcurrencyPolicy::Allow | ConcurrencyPolicy::CancelSuperseded => usize::MAX,
    }
}

/// The newest run that makes this one pointless.
///
/// One that has ended counts if it was made later: its coming was the reason to stop. If it was made earlier, this run
/// is a replay of an older event, which somebody wants to see run.
fn superseded<'a>(run: &Run, runs: &'a [Run]) -> Option<&'a Run> {
    if run.git_ref.is_empty() || !matches!(run.state, State::Queued | State::Active) {
        return None;
    }
    let supersedes = |other: &&Run| {
        other.git_ref == run.git_ref
            && (other.age, &other.name) > (run.age, &run.name)
            && (!other.state.is_done() || other.age.created >= run.age.created)
    };
    runs.iter().filter(supersedes).max_by_key(|other| (other.age, &other.name))
}

/// The ended runs that are not kept, the oldest first.
fn old(retention: Retention, runs: &[Run]) -> Vec<&Run> {
    let (mut succeeded, mut failed) = (Vec::new(), Vec::new());
    for run in runs {
        match run.state {
            State::Succeeded(at) => succeeded.push((at, run)),
            State::Failed(at) => failed.push((at, run)),
            _ => {}
        }
    }
    let mut old = Vec::new();
    for (mut ended, keep) in [(succeeded, retention.keep_succeeded), (failed, retention.keep_failed)] {
        ended.sort_by_key(|(at, run)| Reverse((*at, run.age, &run.name)));
        old.extend(ended.into_iter().skip(usize::try_from(keep).unwrap_or_default()));
    }
    old.sort_by_key(|(at, run)| (*at, run.age, &run.name));
    old.into_iter().map(|(_, run)| run).collect()
}

#[cfg(test)]
mod tests;
