//! What an Organization refers to and owns, read fresh.

use aphex_api::labels;
use aphex_api::names::OrgName;
use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ListParams;
use kube::{Api, Resource as _, ResourceExt};

use super::desired::{Desired, WEBHOOK_SECRET};
use crate::apply::{DesiredSet as _, Inventory, Kind, Owner, Place, Scope};
use crate::claims;
use crate::context::{Context, Settings};
use crate::outcome::StepError;
use crate::tunnels::{self, Credentials};
use crate::webhook_secret::Kept;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The namespace of the organization's name, whoever's it is.
    pub namespace: Option<Namespace>,
    /// Whether that namespace is this organization's.
    pub owns_namespace: bool,
    /// The webhook secret made earlier.
    pub webhook_secret: Option<Kept>,
    /// The tunnel's credentials kept earlier.
    pub tunnel: Option<Credentials>,
    /// Bindings that name the organization and have a namespace.
    pub tenants: Vec<TenantBinding>,
    /// Everything the organization owns.
    pub inventory: Inventory,
}

/// A binding of the organization whose namespace exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantBinding {
    /// The namespace.
    pub namespace: String,
}

pub(super) async fn observe(
    context: &Context,
    object: &Organization,
    owner: &Owner,
) -> Result<Observed, StepError> {
    let client = context.client.clone();
    let Ok(name) = object.name_any().parse::<OrgName>() else { return Ok(Observed::default()) };
    let namespace = Api::<Namespace>::all(client.clone())
        .get_opt(&name.namespace())
        .await
        .map_err(|source| StepError::read(format!("namespace {}", name.namespace()), source))?;
    let inventory = Inventory::read(&client, owner, places(&name, &context.settings)).await?;
    let held = object.finalizers().iter().any(|finalizer| finalizer == labels::ORGANIZATION_FINALIZER);
    let secret = inventory.typed::<Secret>(Some(&name.namespace()), WEBHOOK_SECRET);
    Ok(Observed {
        owns_namespace: namespace.as_ref().is_some_and(|found| owner.keeps(found, held)),
        namespace,
        webhook_secret: secret.as_ref().and_then(Kept::read),
        tunnel: tunnels::stored(&inventory, &name),
        tenants: tenants(context, &name).await?,
        inventory,
    })
}

/// Where the organization's objects can be.
fn places(name: &OrgName, settings: &Settings) -> Vec<Place> {
    let place = |kind: Kind| match kind.scope {
        Scope::Cluster => Place { kind, namespace: None },
        Scope::Namespaced if kind == Kind::of::<Ingress>() => ingresses(settings),
        Scope::Namespaced => Place { kind, namespace: Some(name.namespace()) },
    };
    Desired::kinds().into_iter().map(place).collect()
}

/// Where Ingress objects are: an Ingress leads to Services of its own namespace alone, and the gateway's is the platform's.
pub(super) fn ingresses(settings: &Settings) -> Place {
    Place { kind: Kind::of::<Ingress>(), namespace: Some(settings.platform_namespace.clone()) }
}

/// The tunnel's credentials that the engine holds for an organization.
pub(super) async fn stored_credentials(
    context: &Context,
    owner: &Owner,
    name: &OrgName,
) -> Result<Option<Credentials>, StepError> {
    let secret = name.tunnel_credentials();
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &name.namespace());
    let found =
        api.get_opt(&secret).await.map_err(|source| StepError::read(format!("secret {secret}"), source))?;
    Ok(found.filter(|secret| owner.owns(secret)).as_ref().and_then(Credentials::from_secret))
}

/// The bindings that name an organization.
pub(super) async fn bindings(context: &Context, name: &OrgName) -> Result<Vec<RepoBinding>, StepError> {
    let all = claims::all(context).await?;
    Ok(all.into_iter().filter(|b| b.spec.aphex_org.as_deref() == Some(name.as_str())).collect())
}

async fn tenants(context: &Context, name: &OrgName) -> Result<Vec<TenantBinding>, StepError> {
    let staying: Vec<String> = bindings(context, name)
        .await?
        .iter()
        .filter(|binding| binding.meta().deletion_timestamp.is_none())
        .filter_map(ResourceExt::uid)
        .collect();
    let selector = format!("{},{}={name}", labels::TENANT, labels::ORGANIZATION);
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let list = namespaces
        .list_metadata(&ListParams::default().labels(&selector))
        .await
        .map_err(|source| StepError::read("tenant namespaces", source))?;
    let mut tenants: Vec<TenantBinding> = list
        .items
        .iter()
        .filter(|namespace| namespace.meta().deletion_timestamp.is_none())
        .filter(|namespace| {
            namespace.labels().get(labels::OWNER_UID).is_some_and(|uid| staying.contains(uid))
        })
        .map(|namespace| TenantBinding { namespace: namespace.name_any() })
        .collect();
    tenants.sort();
    Ok(tenants)
}
