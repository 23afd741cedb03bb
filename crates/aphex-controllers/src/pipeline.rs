//! The Pipeline controller (`platform.dev`): makes the RepoBinding that a developer asks for, and tells how it fares.
//!
//! The developer has no rights where bindings are. What a Pipeline may ask for follows from its namespace: the
//! organization that the namespace is labelled with. Everything else, names above all, is decided where it is for every
//! binding: by the RepoBinding controller, whose verdict the status repeats.

mod cleanup;
mod desired;
mod observe;
mod status;
mod validate;

pub use desired::Desired;
pub use observe::Observed;
pub use validate::Valid;

use aphex_api::labels;
use aphex_api::pipeline::{Pipeline, PipelineStatus};
use aphex_api::repo_binding::{RepoBinding, RepoBindingPhase, RepoBindingStatus};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;

use crate::apply::{DesiredSet as _, Inventory, Owner};
use crate::context::{Context, Settings};
use crate::driver::{Pass, Reconciler, Summary, Watches};
use crate::outcome::{StepError, Stop, Waiting};

/// The controller of Pipelines.
#[derive(Clone, Copy, Debug)]
pub struct Pipelines;

impl Reconciler for Pipelines {
    type Object = Pipeline;
    type Status = PipelineStatus;
    type Observed = Observed;
    type Valid = Valid;
    type Desired = Desired;

    const NAME: &'static str = "pipeline";
    const FINALIZER: Option<&'static str> = Some(labels::PIPELINE_FINALIZER);

    fn watches(watches: Watches<Pipeline>) -> Watches<Pipeline> {
        watches
            .owned(Desired::kinds())
            // A namespace may have been given to the organization.
            .related(None, |namespace: &PartialObjectMeta<Namespace>, known| {
                let within = known.tagged(&namespace.name_any());
                within.iter().map(|pipeline| ObjectRef::from_obj(&**pipeline)).collect::<Vec<_>>()
            })
    }

    fn tags(object: &Pipeline) -> Vec<String> {
        object.namespace().into_iter().collect()
    }

    async fn observe(context: &Context, object: &Pipeline, owner: &Owner) -> Result<Observed, StepError> {
        observe::observe(context, object, owner).await
    }

    fn validate(object: &Pipeline, observed: &Observed, settings: &Settings) -> Result<Valid, Stop> {
        validate::validate(object, observed, settings)
    }

    async fn provision(_: &Context, valid: Valid) -> Result<Valid, StepError> {
        Ok(valid)
    }

    fn desired(valid: &Valid, settings: &Settings) -> Desired {
        desired::desired(valid, settings)
    }

    fn inventory(observed: &mut Observed) -> &mut Inventory {
        &mut observed.inventory
    }

    fn unsettled(valid: &Valid, observed: &Observed) -> Option<Waiting> {
        let decided = |status: &RepoBindingStatus| {
            matches!(status.phase, RepoBindingPhase::Ready | RepoBindingPhase::Failed)
        };
        let binding = observed.binding(&valid.binding);
        let settled = binding.as_ref().and_then(current).is_some_and(decided);
        (!settled).then(|| Waiting(format!("Waiting for RepoBinding {} to be provisioned", valid.binding)))
    }

    fn status(pass: &Pass<'_, Self>) -> PipelineStatus {
        status::status(pass)
    }

    async fn cleanup(
        context: &Context,
        object: &Pipeline,
        owner: &Owner,
    ) -> Result<Option<Waiting>, StepError> {
        cleanup::cleanup(context, object, owner).await
    }

    fn summary(status: &PipelineStatus) -> Summary<'_> {
        let phase = match status.phase {
            RepoBindingPhase::Pending => "Pending",
            RepoBindingPhase::Provisioning => "Provisioning",
            RepoBindingPhase::Ready => "Ready",
            RepoBindingPhase::Failed => "Failed",
        };
        Summary { phase, message: &status.message, conditions: &status.conditions }
    }
}

/// The name of a Pipeline's binding.
fn binding_name(object: &Pipeline) -> String {
    aphex_api::names::pipeline_binding(&object.namespace().unwrap_or_default(), &object.name_any())
}

/// A binding's status, if it speaks of the spec that the binding has now.
fn current(binding: &RepoBinding) -> Option<&RepoBindingStatus> {
    let status = binding.status.as_ref()?;
    (status.observed_generation.is_some() && status.observed_generation == binding.metadata.generation)
        .then_some(status)
}
