//! What a RepoBinding refers to and owns, read fresh.

use aphex_api::foreign::argocd::AppProject;
use aphex_api::foreign::tekton::Pipeline;
use aphex_api::foreign::triggers::{EventListener, Trigger, TriggerBinding, TriggerTemplate};
use aphex_api::labels;
use aphex_api::names::{OrgName, TenantName};
use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::runtime::reflector::Store;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::shape::{STANDALONE_PIPELINE, listener_namespace};
use super::{desired::Desired, overlap, tenant};
use crate::apply::{DesiredSet as _, Inventory, Kind, Owner, Place, Scope};
use crate::claims;
use crate::context::{Context, Settings};
use crate::organization::LISTENER;
use crate::outcome::StepError;
use crate::webhook_secret::Kept;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The organization the binding names.
    pub organization: Option<Organization>,
    /// Whether the organization's namespace exists and stays.
    pub organization_namespace: bool,
    /// The namespace of the tenant's name, whoever's it is.
    pub namespace: Option<Namespace>,
    /// Whether that namespace is this binding's.
    pub owns_namespace: bool,
    /// Every other binding.
    pub others: Vec<RepoBinding>,
    /// Whether the organization's listener listens for the tenant's namespace.
    pub listens: bool,
    /// The Pipeline that a standalone tenant keeps for its pushes.
    pub pipeline: Option<Pipeline>,
    /// The webhook secret made earlier.
    pub webhook_secret: Option<Kept>,
    /// Everything the binding owns.
    pub inventory: Inventory,
}

pub(super) async fn observe(
    context: &Context,
    object: &RepoBinding,
    owner: &Owner,
) -> Result<Observed, StepError> {
    let (client, settings) = (&context.client, &context.settings);
    let mut observed = Observed::default();
    let organization = object.spec.aphex_org.as_deref().and_then(|name| name.parse::<OrgName>().ok());
    let tenant = tenant(&object.spec).and_then(|name| name.parse::<TenantName>().ok());
    if let Some(name) = &organization {
        let platform = Some(settings.platform_namespace.as_str());
        observed.organization = get::<Organization>(client, platform, name.as_str()).await?;
        observed.organization_namespace =
            get::<Namespace>(client, None, &name.namespace()).await?.is_some_and(|found| stays(&found));
    }
    let Some(tenant) = tenant else { return Ok(observed) };
    observed.namespace = get(client, None, &tenant.namespace()).await?;
    let held = object.finalizers().iter().any(|finalizer| finalizer == labels::REPO_BINDING_FINALIZER);
    observed.owns_namespace = observed.namespace.as_ref().is_some_and(|found| owner.keeps(found, held));
    // Before a name is taken everybody who claims it is asked for; afterwards it is the binding's, and what the watch
    // told will do to notice that somebody else has an older right to it.
    let others = match context.bindings.get().filter(|_| observed.owns_namespace) {
        Some(store) => overlapping(store, &tenant),
        None => claims::all(context).await?,
    };
    observed.others = others.into_iter().filter(|other| other.uid() != object.uid()).collect();
    observed.inventory =
        Inventory::read(client, owner, places(&tenant, organization.as_ref(), settings)).await?;
    if let Some(name) = &organization {
        let namespace = name.namespace();
        let listener = get::<EventListener>(client, Some(&namespace), LISTENER).await?;
        observed.listens = listener.is_some_and(|listener| {
            stays(&listener) && listener.spec.namespace_selector.match_names.contains(&tenant.namespace())
        });
    } else {
        observed.pipeline = own_pipeline(client, &tenant).await?;
    }
    let namespace = listener_namespace(organization.as_ref(), &tenant);
    let secret = observed.inventory.typed::<Secret>(Some(&namespace), &tenant.webhook_secret());
    observed.webhook_secret = secret.as_ref().and_then(Kept::read);
    Ok(observed)
}

/// The bindings of a store whose tenants could not exist beside this one.
fn overlapping(store: &Store<RepoBinding>, name: &TenantName) -> Vec<RepoBinding> {
    let claims =
        |other: &RepoBinding| tenant(&other.spec).is_some_and(|theirs| overlap(theirs, name.as_str()));
    store.state().into_iter().filter(|other| claims(other)).map(|other| (*other).clone()).collect()
}

/// Where the binding's objects can be.
pub(super) fn places(tenant: &TenantName, organization: Option<&OrgName>, settings: &Settings) -> Vec<Place> {
    let shared = listener_namespace(organization, tenant);
    // Secrets and accounts are in both: the tenant's own, and those by which its trigger works.
    let in_both = [Kind::of::<Secret>(), Kind::of::<ServiceAccount>()];
    let triggers = [
        Kind::of::<EventListener>(),
        Kind::of::<Trigger>(),
        Kind::of::<TriggerBinding>(),
        Kind::of::<TriggerTemplate>(),
    ];
    let mut places = Vec::new();
    for kind in Desired::kinds() {
        let namespaces = match kind.scope {
            Scope::Cluster => vec![None],
            Scope::Namespaced if kind == Kind::of::<AppProject>() => {
                vec![Some(settings.argocd_namespace.clone())]
            }
            Scope::Namespaced if triggers.contains(&kind) => vec![Some(shared.clone())],
            Scope::Namespaced if in_both.contains(&kind) && organization.is_some() => {
                vec![Some(shared.clone()), Some(tenant.namespace())]
            }
            Scope::Namespaced => vec![Some(tenant.namespace())],
        };
        places.extend(namespaces.into_iter().map(|namespace| Place { kind: kind.clone(), namespace }));
    }
    places
}

/// The Pipeline of a standalone tenant. One that cannot be read is none: it is the tenant's, and must not keep the platform
/// from its work.
async fn own_pipeline(client: &Client, tenant: &TenantName) -> Result<Option<Pipeline>, StepError> {
    let api = Kind::of::<Pipeline>().api(client.clone(), Some(&tenant.namespace()));
    let found = api.get_opt(STANDALONE_PIPELINE).await;
    let what = || format!("Pipeline {tenant}/{STANDALONE_PIPELINE}");
    Ok(found.map_err(|source| StepError::read(what(), source))?.and_then(|object| object.try_parse().ok()))
}

fn stays(object: &impl ResourceExt) -> bool {
    object.meta().deletion_timestamp.is_none()
}

/// Reads an object; a kind that is not served has none.
async fn get<K>(client: &Client, namespace: Option<&str>, name: &str) -> Result<Option<K>, StepError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    K::Scope: 'static,
{
    let kind = Kind::of::<K>();
    let read = |source| StepError::read(format!("{kind} {name}"), source);
    let Some(object) = kind.api(client.clone(), namespace).get_opt(name).await.map_err(read)? else {
        return Ok(None);
    };
    let invalid = |error: kube::core::dynamic::ParseDynamicObjectError| {
        StepError::read(format!("{kind} {name}"), kube::Error::Service(Box::new(error)))
    };
    object.try_parse().map(Some).map_err(invalid)
}
