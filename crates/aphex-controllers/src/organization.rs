//! The Organization controller: a namespace, a webhook address, a secret store, and administrators.
//!
//! The organization's EventListener has one writer, this controller, although each RepoBinding adds its namespace to it:
//! the entries are derived here from the bindings and their namespaces.

mod cleanup;
mod desired;
mod observe;
mod provision;
mod status;
mod tenants;
mod validate;

pub use desired::Desired;
pub use desired::WEBHOOK_SECRET;
pub(crate) use desired::{
    GATEWAY, GATEWAY_AT_LISTENER, GATEWAY_AT_TENANT, LISTENER, PUSH_BINDING, gateway_binding, listener_rules,
    push_params, user_subject,
};
pub use observe::{Observed, TenantBinding};
pub use tenants::Tenants;
pub use validate::{Identity, Valid};

use std::time::Duration;

use aphex_api::labels;
use aphex_api::organization::{Organization, OrganizationPhase, OrganizationStatus};
use aphex_api::repo_binding::RepoBinding;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;

use crate::apply::{DesiredSet as _, Inventory, Owner};
use crate::context::{Context, Settings};
use crate::driver::{News, Pass, Reconciler, Summary, Watches};
use crate::outcome::{StepError, Stop, Waiting};
use crate::webhook_secret::Turn;

/// When to look again at what is left of a tunnel that another way in has taken the place of.
const FORMER: Duration = Duration::from_secs(30);

/// The controller of Organizations.
#[derive(Clone, Copy, Debug)]
pub struct Organizations;

impl Reconciler for Organizations {
    type Object = Organization;
    type Status = OrganizationStatus;
    type Observed = Observed;
    type Valid = Valid;
    type Desired = Desired;

    const NAME: &'static str = "organization";
    const FINALIZER: Option<&'static str> = Some(labels::ORGANIZATION_FINALIZER);

    fn watches(watches: Watches<Organization>) -> Watches<Organization> {
        let (told, news, told_too) = (watches.context(), watches.context(), watches.context());
        let platform = watches.context().settings.platform_namespace.clone();
        let bindings_place = platform.clone();
        watches
            .owned(Desired::kinds())
            // The listener names the tenants of the bindings, and deletion waits for the bindings.
            .seen(
                None,
                move |event| told.tenants.see_binding(&bindings_place, event),
                move |binding: &RepoBinding, known| {
                    let is_news = news.tenants.is_news(&binding.name_any());
                    let namespace = binding.namespace().unwrap_or_default();
                    let organization =
                        binding.spec.aphex_org.as_deref().and_then(|name| known.get(&namespace, name));
                    let going = |object: &Organization| object.metadata.deletion_timestamp.is_some();
                    organization
                        .filter(|found| is_news || going(found))
                        .map(|found| ObjectRef::from_obj(&*found))
                },
            )
            .seen(
                Some(labels::TENANT),
                move |event| told_too.tenants.see_namespace(event),
                move |tenant: &PartialObjectMeta<Namespace>, known| {
                    let name = tenant.labels().get(labels::ORGANIZATION)?;
                    known.get(&platform, name).map(|found| ObjectRef::from_obj(&*found))
                },
            )
    }

    async fn observe(context: &Context, object: &Organization, owner: &Owner) -> Result<Observed, StepError> {
        observe::observe(context, object, owner).await
    }

    fn validate(object: &Organization, observed: &Observed, settings: &Settings) -> Result<Valid, Stop> {
        validate::validate(object, observed, settings)
    }

    async fn provision(context: &Context, valid: Valid) -> Result<Valid, StepError> {
        provision::provision(context, valid).await
    }

    fn desired(valid: &Valid, settings: &Settings) -> Desired {
        desired::desired(valid, settings)
    }

    fn inventory(observed: &mut Observed) -> &mut Inventory {
        &mut observed.inventory
    }

    fn unsettled(valid: &Valid, observed: &Observed) -> Option<Waiting> {
        status::unreachable(valid, observed).map(Waiting)
    }

    fn news(valid: &Valid) -> Option<News> {
        let kept = valid.webhook_secret.as_ref().filter(|_| valid.turn == Turn::Rotated)?;
        Some(News::rotated(kept, "the organization's Secret has it"))
    }

    fn again(_: Option<&Observed>, valid: Option<&Valid>) -> Option<Duration> {
        valid.filter(|valid| valid.former.is_some()).map(|_| FORMER)
    }

    fn status(pass: &Pass<'_, Self>) -> OrganizationStatus {
        status::status(pass)
    }

    async fn cleanup(
        context: &Context,
        object: &Organization,
        owner: &Owner,
    ) -> Result<Option<Waiting>, StepError> {
        cleanup::cleanup(context, object, owner).await
    }

    fn summary(status: &OrganizationStatus) -> Summary<'_> {
        let phase = match status.phase {
            OrganizationPhase::Pending => "Pending",
            OrganizationPhase::Active => "Active",
            OrganizationPhase::Failed => "Failed",
        };
        Summary { phase, message: &status.message, conditions: &status.conditions }
    }
}
