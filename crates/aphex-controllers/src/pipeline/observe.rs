//! What a Pipeline refers to and owns, read fresh.

use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};

use super::binding_name;
use super::desired::Desired;
use crate::apply::{DesiredSet as _, Inventory, Owner, Place};
use crate::context::Context;
use crate::outcome::StepError;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The namespace that the Pipeline is in.
    pub namespace: Option<Namespace>,
    /// Whether the binding's name belongs to a binding that is not this Pipeline's.
    pub taken: bool,
    /// The bindings that the Pipeline owns.
    pub inventory: Inventory,
}

impl Observed {
    /// The Pipeline's binding, of the name that it has for this Pipeline.
    #[must_use]
    pub fn binding(&self, name: &str) -> Option<RepoBinding> {
        let key = self.inventory.keys().find(|key| key.name == name)?;
        self.inventory.typed(key.namespace.as_deref(), name)
    }
}

pub(super) async fn observe(
    context: &Context,
    object: &Pipeline,
    owner: &Owner,
) -> Result<Observed, StepError> {
    let client = &context.client;
    let namespace = object.namespace().unwrap_or_default();
    let found = Api::<Namespace>::all(client.clone())
        .get_opt(&namespace)
        .await
        .map_err(|source| StepError::read(format!("namespace {namespace}"), source))?;
    let name = binding_name(object);
    let inventory = Inventory::read(context, owner, places(context)).await?;
    let mut observed = Observed { namespace: found, taken: false, inventory };
    if observed.binding(&name).is_none() {
        let bindings: Api<RepoBinding> =
            Api::namespaced(client.clone(), &context.settings.platform_namespace);
        let stranger = bindings
            .get_metadata_opt(&name)
            .await
            .map_err(|source| StepError::read(format!("RepoBinding {name}"), source))?;
        observed.taken = stranger.is_some_and(|binding| !owner.may_take(&binding));
    }
    Ok(observed)
}

/// Where a Pipeline's objects can be.
pub(super) fn places(context: &Context) -> Vec<Place> {
    let namespace = &context.settings.platform_namespace;
    let place = |kind| Place { kind, namespace: Some(namespace.clone()) };
    Desired::kinds().into_iter().map(place).collect()
}
