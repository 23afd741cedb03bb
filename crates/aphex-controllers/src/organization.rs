//! The Organization controller: a namespace, a webhook address, a secret store, and administrators.
//!
//! The organization's EventListener has one writer, this controller, although each RepoBinding adds its namespace to it:
//! the entries are derived here from the bindings and their namespaces.

mod cleanup;
mod desired;
mod observe;
mod status;
mod validate;

pub use desired::Desired;
pub use desired::WEBHOOK_SECRET;
pub(crate) use desired::{GATEWAY, LISTENER, PUSH_BINDING, gateway_binding, listener_rules, push_params};
pub use observe::{Observed, TenantBinding};
pub use validate::{Identity, Valid};

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
use crate::webhook_secret::{self, Turn};

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
        let named = |name: &str, namespace: Option<String>| {
            let reference = ObjectRef::new(name);
            namespace.map_or_else(|| reference.clone(), |namespace| reference.clone().within(&namespace))
        };
        watches
            .owned(Desired::kinds())
            // The listener names the tenants of the bindings, and deletion waits for the bindings.
            .related(None, move |binding: &RepoBinding, _| {
                binding.spec.aphex_org.as_deref().map(|name| named(name, binding.namespace()))
            })
            .related(Some(labels::TENANT), move |tenant: &PartialObjectMeta<Namespace>, store| {
                let name = tenant.labels().get(labels::ORGANIZATION)?;
                store.find(|o| o.name_any() == *name).map(|o| ObjectRef::from_obj(&*o))
            })
    }

    async fn observe(context: &Context, object: &Organization, owner: &Owner) -> Result<Observed, StepError> {
        observe::observe(context, object, owner).await
    }

    fn validate(object: &Organization, observed: &Observed, settings: &Settings) -> Result<Valid, Stop> {
        validate::validate(object, observed, settings)
    }

    async fn provision(context: &Context, valid: Valid) -> Result<Valid, StepError> {
        let claim = valid.identity.claim(&valid.name, valid.stored.as_ref());
        let exposure = context.tunnels.expose(claim).await.map_err(StepError::Tunnel)?;
        let (kept, request) = (valid.webhook_secret.clone(), valid.rotation.as_ref());
        let (kept, turn) =
            webhook_secret::turn(kept, request, context.clock.now()).map_err(StepError::Random)?;
        Ok(Valid { exposure: Some(exposure), webhook_secret: Some(kept), turn, ..valid })
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
