//! The RepoBinding controller: a tenant namespace with its rights and limits, and the trigger that starts its pipeline.
//!
//! A binding has one of two shapes, an organization's or a tenant's that stands alone: see [`Shape`].

mod cleanup;
mod desired;
mod neighbours;
mod observe;
pub mod options;
pub mod pipeline_spec;
mod shape;
mod status;
mod validate;

pub use desired::Desired;
pub use neighbours::{Neighbour, Neighbours};
pub use observe::Observed;
pub(crate) use observe::places;
pub use shape::{STANDALONE_PIPELINE, Shape};
pub use validate::Valid;

use std::collections::BTreeSet;
use std::sync::Arc;

use aphex_api::foreign::tekton::Pipeline;
use aphex_api::foreign::triggers::EventListener;
use aphex_api::labels;
use aphex_api::organization::Organization;
use aphex_api::repo_binding::{RepoBinding, RepoBindingPhase, RepoBindingSpec, RepoBindingStatus};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;

use crate::apply::{DesiredSet as _, Inventory, Owner};
use crate::context::{Context, Settings};
use crate::driver::{Known, News, Pass, Reconciler, Summary, Watches};
use crate::outcome::{StepError, Stop, Waiting};
use crate::webhook_secret::{self, Turn};

/// The controller of RepoBindings.
#[derive(Clone, Copy, Debug)]
pub struct RepoBindings;

impl Reconciler for RepoBindings {
    type Object = RepoBinding;
    type Status = RepoBindingStatus;
    type Observed = Observed;
    type Valid = Valid;
    type Desired = Desired;

    const NAME: &'static str = "repobinding";
    const FINALIZER: Option<&'static str> = Some(labels::REPO_BINDING_FINALIZER);

    fn watches(watches: Watches<RepoBinding>) -> Watches<RepoBinding> {
        let context = watches.context();
        watches
            .owned(Desired::kinds())
            // A binding that waits for its organization resumes when it appears.
            .related(None, |organization: &Organization, known| {
                references(&known.tagged(&of_organization(&organization.name_any())))
            })
            // It is ready once the listener names its namespace.
            .related(Some(labels::ORGANIZATION), |listener: &EventListener, known| {
                let Some(organization) = listener.labels().get(labels::ORGANIZATION) else {
                    return Vec::new();
                };
                news(known, organization, &listener.spec.namespace_selector.match_names)
            })
            // The runs of a tenant that stands alone are fitted to its own Pipeline.
            .related_named(STANDALONE_PIPELINE, |pipeline: &PartialObjectMeta<Pipeline>, known| {
                let named = known.tagged(&of_tenant(&pipeline.namespace().unwrap_or_default()));
                let alone = named.into_iter().filter(|binding| binding.spec.tenant_name.is_some());
                references(&alone.collect::<Vec<_>>())
            })
            // A name that was taken may have become free, or its wildcard reaches what it did not.
            .seen(
                None,
                move |event| context.neighbours.see(event),
                |namespace: &PartialObjectMeta<Namespace>, known| references(&reaching(known, namespace)),
            )
            .related(None, |other: &RepoBinding, known| {
                let Some(name) = tenant(&other.spec) else { return Vec::new() };
                let mut rivals = overlapping(known, name);
                rivals.retain(|binding| binding.uid() != other.uid());
                references(&rivals)
            })
    }

    fn tags(object: &RepoBinding) -> Vec<String> {
        let organization = object.spec.aphex_org.as_deref().map(of_organization);
        tenant(&object.spec).map(of_tenant).into_iter().chain(organization).collect()
    }

    fn keep(context: &Context, known: Known<RepoBinding>) {
        // A context serves one run of the controllers.
        let _ = context.bindings.set(known);
    }

    async fn observe(context: &Context, object: &RepoBinding, owner: &Owner) -> Result<Observed, StepError> {
        observe::observe(context, object, owner).await
    }

    fn validate(object: &RepoBinding, observed: &Observed, settings: &Settings) -> Result<Valid, Stop> {
        validate::validate(object, observed, settings)
    }

    async fn provision(context: &Context, mut valid: Valid) -> Result<Valid, StepError> {
        let (kept, request) = (valid.webhook_secret.take(), valid.rotation.as_ref());
        let (kept, turn) =
            webhook_secret::turn(kept, request, context.clock.now()).map_err(StepError::Random)?;
        Ok(Valid { webhook_secret: Some(kept), turn, ..valid })
    }

    fn desired(valid: &Valid, settings: &Settings) -> Desired {
        desired::desired(valid, settings)
    }

    fn inventory(observed: &mut Observed) -> &mut Inventory {
        &mut observed.inventory
    }

    async fn look_again(context: &Context, valid: &Valid, observed: &mut Observed) -> Result<(), StepError> {
        if let Some(organization) = valid.organization().filter(|_| !observed.listens) {
            observed.listens = observe::listens(&context.client, organization, &valid.tenant).await?;
        }
        Ok(())
    }

    fn unsettled(valid: &Valid, observed: &Observed) -> Option<Waiting> {
        // A tenant that stands alone has just been given its own.
        let organization = valid.organization()?;
        let message = || {
            let (listener, namespace) = (crate::organization::LISTENER, organization.namespace());
            Waiting(format!(
                "Waiting for EventListener {namespace}/{listener} to listen for {}",
                valid.tenant
            ))
        };
        (!observed.listens).then(message)
    }

    fn news(valid: &Valid) -> Option<News> {
        let kept = valid.webhook_secret.as_ref().filter(|_| valid.turn == Turn::Rotated)?;
        Some(News::rotated(kept, "status.webhookSecret has it"))
    }

    fn status(pass: &Pass<'_, Self>) -> RepoBindingStatus {
        status::status(pass)
    }

    async fn cleanup(
        context: &Context,
        object: &RepoBinding,
        owner: &Owner,
    ) -> Result<Option<Waiting>, StepError> {
        cleanup::cleanup(context, object, owner).await
    }

    fn summary(status: &RepoBindingStatus) -> Summary<'_> {
        let phase = match status.phase {
            RepoBindingPhase::Pending => "Pending",
            RepoBindingPhase::Provisioning => "Provisioning",
            RepoBindingPhase::Ready => "Ready",
            RepoBindingPhase::Failed => "Failed",
        };
        Summary { phase, message: &status.message, conditions: &status.conditions }
    }
}

/// The name of a binding's tenant, as written.
pub(crate) fn tenant(spec: &RepoBindingSpec) -> Option<&str> {
    spec.pipeline_name.as_deref().or(spec.tenant_name.as_deref())
}

/// Whether two tenants cannot both exist with different owners.
fn overlap(one: &str, other: &str) -> bool {
    let within =
        |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    within(one, other) || within(other, one)
}

/// The tag of what names an organization.
fn of_organization(name: &str) -> String {
    format!("organization/{name}")
}

/// The tag of what has a tenant's name.
fn of_tenant(name: &str) -> String {
    format!("tenant/{name}")
}

/// The bindings whose tenants could not exist beside one of this name, if their owners are others.
fn overlapping(known: &Known<RepoBinding>, name: &str) -> Vec<Arc<RepoBinding>> {
    let shorter = name.match_indices('-').filter_map(|(end, _)| name.get(..end));
    let named = shorter.chain([name]).flat_map(|name| known.tagged(&of_tenant(name)));
    named.chain(known.tagged_below(&format!("{}-", of_tenant(name)))).collect()
}

/// The bindings to which a namespace matters: its own, and those whose wildcard reaches it.
///
/// Among tenants their bindings decide, whose news wakes the others; a tenant's namespace wakes those that were refused.
fn reaching(known: &Known<RepoBinding>, namespace: &PartialObjectMeta<Namespace>) -> Vec<Arc<RepoBinding>> {
    let (name, tenant) = (namespace.name_any(), neighbours::is_tenant(namespace));
    let refused = |binding: &RepoBinding| {
        binding.status.as_ref().is_some_and(|status| status.phase == RepoBindingPhase::Failed)
    };
    let shorter = name.match_indices('-').filter_map(|(end, _)| name.get(..end));
    let reaching = shorter.flat_map(|name| known.tagged(&of_tenant(name)));
    let reaching = reaching.filter(|binding| !tenant || refused(binding));
    known.tagged(&of_tenant(&name)).into_iter().chain(reaching).collect()
}

/// Who answers for a tenant, where somebody does for several: an organization's team, by the namespace of its Pipelines, or
/// the administrators who write bindings for the organization.
///
/// Tenants of one owner may reach each other's namespaces. Those that stand alone have nobody in common.
fn owner(binding: &RepoBinding) -> Option<(&str, Option<&str>)> {
    let label = |key| binding.labels().get(key).map(String::as_str);
    let team = label(labels::OWNER_NAMESPACE).filter(|_| label(labels::OWNER_KIND) == Some("Pipeline"));
    Some((binding.spec.aphex_org.as_deref()?, team))
}

/// The bindings of an organization to which its listener tells something that their status does not say.
///
/// Each new binding changes the listener, and would wake all others otherwise.
fn news(known: &Known<RepoBinding>, organization: &str, listened: &[String]) -> Vec<ObjectRef<RepoBinding>> {
    let listened: BTreeSet<&str> = listened.iter().map(String::as_str).collect();
    let told = |binding: &RepoBinding| {
        binding.status.as_ref().is_some_and(|status| status.provisioned_resources.event_listener)
    };
    let mut bindings = known.tagged(&of_organization(organization));
    bindings.retain(|binding| {
        let listens = tenant(&binding.spec).is_some_and(|tenant| listened.contains(tenant));
        let going = binding.metadata.deletion_timestamp.is_some();
        going || listens != told(binding)
    });
    references(&bindings)
}

fn references(bindings: &[Arc<RepoBinding>]) -> Vec<ObjectRef<RepoBinding>> {
    bindings.iter().map(|binding| ObjectRef::from_obj(&**binding)).collect()
}
