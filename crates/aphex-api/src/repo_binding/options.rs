//! What a binding may say besides the repository: which events count, how many runs at once, which runs are kept.

#![expect(unreachable_pub, reason = "KubeSchema repeats the deriving struct inside a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::glob::{
    BRANCHES_RULE, BRANCHES_RULE_MESSAGE, FILES_RULE, FILES_RULE_MESSAGE, GLOB_PATTERN, GLOBS_RULE,
    GLOBS_RULE_MESSAGE,
};

/// An event that GitHub sends.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum BindingEvent {
    /// Commits were pushed to a branch.
    #[default]
    Push,
    /// A pull request was opened, reopened, or given new commits.
    PullRequest,
}

impl BindingEvent {
    /// GitHub's name of the event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::PullRequest => "pull_request",
        }
    }
}

/// The options of a binding, which a developer's Pipeline has as well.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BindingOptions {
    /// The events that start the pipeline; pushes alone when absent.
    #[serde(default = "push_alone", skip_serializing_if = "is_push_alone")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, a == b))").message("events must not name one twice"))]
    pub events: Vec<BindingEvent>,
    /// Globs over the branch pushed to, or the base of a pull request; when empty, branch alone counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 255), regex(pattern = GLOB_PATTERN)))]
    #[x_kube(
        validation = Rule::new(GLOBS_RULE).message(GLOBS_RULE_MESSAGE),
        validation = Rule::new(BRANCHES_RULE).message(BRANCHES_RULE_MESSAGE)
    )]
    pub branches: Vec<String>,
    /// Globs over file paths: a push counts when a file it changed matches one. Pull requests list no files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 255), regex(pattern = GLOB_PATTERN)))]
    #[x_kube(
        validation = Rule::new(GLOBS_RULE).message(GLOBS_RULE_MESSAGE),
        validation = Rule::new(FILES_RULE).message(FILES_RULE_MESSAGE)
    )]
    pub paths: Vec<String>,
    /// Globs over file paths: files that match one do not make a push count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 255), regex(pattern = GLOB_PATTERN)))]
    #[x_kube(
        validation = Rule::new(GLOBS_RULE).message(GLOBS_RULE_MESSAGE),
        validation = Rule::new(FILES_RULE).message(FILES_RULE_MESSAGE)
    )]
    pub paths_ignore: Vec<String>,
    /// What happens to a run while others are under way; every run starts at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// How many ended runs are kept; 10 that succeeded and 10 that failed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Whether pull requests from forks start runs, which then have the tenant's rights; not when absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_forks: bool,
}

fn push_alone() -> Vec<BindingEvent> {
    vec![BindingEvent::Push]
}

/// An empty list, which the schema refuses, means the same in a bare value.
fn is_push_alone(events: &[BindingEvent]) -> bool {
    events.is_empty() || *events == [BindingEvent::Push]
}

/// What happens to a run while others of the binding are under way.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("!has(self.max) || self.policy == 'Queue'").message("max goes with policy Queue")
)]
pub struct Concurrency {
    /// Allow starts every run at once; Queue holds back what exceeds max; CancelSuperseded cancels older runs of the ref.
    #[serde(default)]
    pub policy: ConcurrencyPolicy,
    /// How many runs of the binding may be under way with policy Queue; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max: Option<i32>,
}

/// What happens to a run while others of the binding are under way.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConcurrencyPolicy {
    /// Every run starts at once.
    #[default]
    Allow,
    /// Runs wait, as pending PipelineRuns, and are released oldest first.
    Queue,
    /// A newer run for the same branch or pull request cancels older ones.
    CancelSuperseded,
}

impl ConcurrencyPolicy {
    /// Its name in a binding's spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Queue => "Queue",
            Self::CancelSuperseded => "CancelSuperseded",
        }
    }
}

/// How many ended runs of a binding are kept.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// The newest so many runs that succeeded stay.
    #[serde(default = "ten")]
    #[schemars(range(min = 0, max = 1000))]
    pub keep_succeeded: i32,
    /// The newest so many runs that failed or were cancelled stay.
    #[serde(default = "ten")]
    #[schemars(range(min = 0, max = 1000))]
    pub keep_failed: i32,
}

fn ten() -> i32 {
    10
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep_succeeded: ten(), keep_failed: ten() }
    }
}
