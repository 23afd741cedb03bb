//! What the controllers would make of objects, without making it.
//!
//! The controllers' own steps run against a [`Shadow`] of the engine: it reads through to the engine and keeps every
//! write to itself, tried by the engine's dry run where that is possible. Passes over the objects concerned are repeated
//! until nothing differs any more, as the watches would have it. So a plan has no rules of its own.
//!
//! ```text
//! objects -> apply -> Shadow <- observe, validate, desired, apply, status -> what differs
//!                       |  reads, dry runs
//!                     engine
//! ```

mod address;
mod change;
mod examine;
mod exposure;
mod glimpse;
mod outside;
mod shadow;
mod state;
mod subject;

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_runtime::{Clock, Metrics};
use serde::Serialize;

pub use change::{Action, Change};
pub use examine::{Examination, Health, Named, Owned, Ready, examine};
pub use glimpse::{Glimpse, glimpse};
pub use outside::{Outside, OutsideKind};
pub use shadow::Shadow;
pub use subject::{Subject, SubjectKind};

use crate::context::{Context, Settings};
use crate::outcome::{Outcome, StepError};

/// How often the objects are gone over at most; a chain of all kinds takes half as many.
const ROUNDS: usize = 12;

/// Everything that would not stay as it is.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The objects: those asked for in their order, then what each of them would own.
    pub changes: Vec<Change>,
    /// What the controllers would make, change or delete beside the engine.
    pub outside: Vec<Outside>,
    /// How the controllers' passes would end.
    pub verdicts: BTreeMap<Subject, Verdict>,
}

impl Plan {
    /// What was written to a shadow so far, without what controllers would make of it: for whoever may not see that.
    #[must_use]
    pub fn of_writes(shadow: &Shadow) -> Self {
        let mut changes: Vec<Change> =
            shadow.written().iter().filter_map(|(_, entry)| Change::of(entry)).collect();
        change::sort(&mut changes);
        Self { changes, ..Self::default() }
    }
}

/// How a pass over one object would end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// In one word.
    pub outcome: &'static str,
    /// The reason of the condition Ready.
    pub reason: &'static str,
    /// What is missing or wrong, or what the object would say of itself; nothing when there is nothing to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Verdict {
    fn of(outcome: &Outcome) -> Self {
        Self { outcome: outcome.as_str(), reason: outcome.reason().as_str(), message: outcome.message() }
    }

    /// Whether somebody must do something before the object can be carried out.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        matches!(self.outcome, "rejected" | "failed")
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Something could not be read.
    #[error("cannot look at the engine")]
    Read(#[source] StepError),
    /// The passes did not come to an end.
    #[error("the controllers would not come to rest: after {ROUNDS} rounds something still changes")]
    Restless,
}

/// Runs the controllers over everything that was written to the shadow and what depends on it.
pub async fn plan(shadow: &Shadow, settings: Settings) -> Result<Plan, PlanError> {
    let noted = outside::Noted::default();
    let context = context(shadow, settings, noted.clone()).await?;
    let mut verdicts = BTreeMap::new();
    for _ in 0..ROUNDS {
        let revision = shadow.revision();
        for subject in subject::concerned(shadow, &context).await.map_err(PlanError::Read)? {
            if let Some(outcome) = subject.pass(&context).await {
                let said = subject.said(&context).await.map_err(PlanError::Read)?;
                let verdict = Verdict::of(&outcome);
                let message = verdict.message.or(said);
                verdicts.insert(subject, Verdict { message, ..verdict });
            }
        }
        if shadow.revision() == revision {
            return Ok(Plan { outside: noted.all(), verdicts, ..Plan::of_writes(shadow) });
        }
    }
    Err(PlanError::Restless)
}

/// A context in which nothing has an effect: neither on the engine nor outside.
async fn context(shadow: &Shadow, settings: Settings, noted: outside::Noted) -> Result<Context, PlanError> {
    let client = shadow.client();
    let exposure = exposure::Planned::read(&client, &settings, noted).await.map_err(PlanError::Read)?;
    Ok(Context::new(client, settings, Clock::system(), Arc::new(exposure), &Metrics::default()))
}
