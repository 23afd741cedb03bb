//! The KnowledgeBase controller: which commits the tracked branches point at.
//!
//! It makes no objects. `observe` asks the git servers, through the [`Tracker`] that all objects share; a repository that
//! cannot be read is a fact about it, not a failure of the pass.

mod observe;
mod status;
mod tracker;
mod validate;

pub use observe::Observed;
pub use tracker::Tracker;
pub use validate::{Planned, Valid};

use std::time::Duration;

use aphex_api::knowledge_base::{KnowledgeBase, KnowledgeBasePhase, KnowledgeBaseStatus};

use crate::apply::{DesiredSet, Inventory, Kind, Manifest, ManifestError, Owner};
use crate::context::{Context, Settings};
use crate::driver::{Pass, Reconciler, Summary, Watches};
use crate::outcome::{StepError, Stop, Waiting};

/// The controller of KnowledgeBases.
#[derive(Clone, Copy, Debug)]
pub struct KnowledgeBases;

/// A KnowledgeBase wants no objects.
#[derive(Clone, Copy, Debug)]
pub struct Desired;

impl DesiredSet for Desired {
    fn kinds() -> Vec<Kind> {
        Vec::new()
    }

    fn into_manifests(self, _: &Owner) -> Result<Vec<Manifest>, ManifestError> {
        Ok(Vec::new())
    }
}

impl Reconciler for KnowledgeBases {
    type Object = KnowledgeBase;
    type Status = KnowledgeBaseStatus;
    type Observed = Observed;
    type Valid = Valid;
    type Desired = Desired;

    const NAME: &'static str = "knowledgebase";
    const FINALIZER: Option<&'static str> = None;

    fn watches(watches: Watches<KnowledgeBase>) -> Watches<KnowledgeBase> {
        watches
    }

    async fn observe(context: &Context, object: &KnowledgeBase, _: &Owner) -> Result<Observed, StepError> {
        observe::observe(context, object).await
    }

    fn validate(object: &KnowledgeBase, _: &Observed, settings: &Settings) -> Result<Valid, Stop> {
        Ok(validate::validate(object, &settings.git.policy)?)
    }

    async fn provision(_: &Context, valid: Valid) -> Result<Valid, StepError> {
        Ok(valid)
    }

    fn desired(_: &Valid, _: &Settings) -> Desired {
        Desired
    }

    fn inventory(observed: &mut Observed) -> &mut Inventory {
        &mut observed.inventory
    }

    fn unsettled(_: &Valid, _: &Observed) -> Option<Waiting> {
        None
    }

    fn again(observed: Option<&Observed>, _: Option<&Valid>) -> Option<Duration> {
        Some(observed.map_or(Duration::from_mins(1), |observed| observed.again))
    }

    fn status(pass: &Pass<'_, Self>) -> KnowledgeBaseStatus {
        status::status(pass)
    }

    async fn cleanup(_: &Context, _: &KnowledgeBase, _: &Owner) -> Result<Option<Waiting>, StepError> {
        Ok(None)
    }

    fn summary(status: &KnowledgeBaseStatus) -> Summary<'_> {
        let phase = match status.phase {
            KnowledgeBasePhase::Pending => "Pending",
            KnowledgeBasePhase::Ready => "Ready",
            KnowledgeBasePhase::Failed => "Failed",
        };
        Summary { phase, message: &status.message, conditions: &status.conditions }
    }
}
