//! What an Organization refers to and owns, read fresh.

use aphex_api::labels;
use aphex_api::names::OrgName;
use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ListParams;
use kube::{Api, Resource as _, ResourceExt};

use super::desired::{Desired, WEBHOOK_SECRET};
use crate::apply::{DesiredSet as _, Inventory, Kind, Owner, Place, Scope};
use crate::claims;
use crate::context::{Context, Settings};
use crate::outcome::StepError;
use crate::tunnels::{self, Connectors, Credentials};
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
    /// The host name that led to that tunnel.
    pub host: Option<String>,
    /// The connectors of the tunnel.
    pub connector: Option<Deployment>,
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
    let Ok(name) = object.name_any().parse::<OrgName>() else { return Ok(Observed::default()) };
    let (namespace, inventory, tenants) = tokio::try_join!(
        read_namespace(context, &name),
        Inventory::read(context, owner, places(&name, &context.settings)),
        tenants(context, &name),
    )?;
    let held = object.finalizers().iter().any(|finalizer| finalizer == labels::ORGANIZATION_FINALIZER);
    let secret = inventory.typed::<Secret>(Some(&name.namespace()), WEBHOOK_SECRET);
    Ok(Observed {
        owns_namespace: namespace.as_ref().is_some_and(|found| owner.keeps(found, held)),
        namespace,
        webhook_secret: secret.as_ref().and_then(Kept::read),
        tunnel: tunnels::stored(&inventory, &name),
        host: inventory
            .typed::<Secret>(Some(&name.namespace()), &name.tunnel_credentials())
            .and_then(|secret| host(&secret, object, &name)),
        connector: inventory.typed(Some(&name.namespace()), &name.tunnel_connector()),
        tenants,
        inventory,
    })
}

async fn read_namespace(context: &Context, name: &OrgName) -> Result<Option<Namespace>, StepError> {
    let (api, namespace) = (Api::<Namespace>::all(context.client.clone()), name.namespace());
    let found = api.get_opt(&namespace).await;
    found.map_err(|source| StepError::read(format!("namespace {namespace}"), source))
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

impl Observed {
    /// Whether the tunnel's connectors work.
    pub(super) fn connectors(&self) -> Connectors {
        let Some(connector) = &self.connector else { return Connectors::None };
        let conditions = connector.status.as_ref().and_then(|status| status.conditions.as_deref());
        let available = |c: &DeploymentCondition| c.type_ == "Available" && c.status == "True";
        let works = conditions.unwrap_or_default().iter().any(available);
        if works { Connectors::Available } else { Connectors::Unavailable }
    }
}

/// The host name that is noted beside a tunnel's credentials; where none is, the one that the status tells.
fn host(secret: &Secret, object: &Organization, name: &OrgName) -> Option<String> {
    let noted = secret.annotations().get(labels::TUNNEL_HOST).cloned();
    let told = || {
        let host = object.status.as_ref()?.webhook_url.as_deref()?.strip_prefix("https://")?;
        host.starts_with(&format!("{name}.")).then(|| host.to_owned())
    };
    noted.or_else(told)
}

/// The tunnel's credentials that the engine holds for an organization, and the host name that led to it.
pub(super) async fn stored_credentials(
    context: &Context,
    owner: &Owner,
    object: &Organization,
    name: &OrgName,
) -> Result<Option<(Credentials, Option<String>)>, StepError> {
    let secret = name.tunnel_credentials();
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &name.namespace());
    let found =
        api.get_opt(&secret).await.map_err(|source| StepError::read(format!("secret {secret}"), source))?;
    let found = found.filter(|secret| owner.owns(secret));
    Ok(found.and_then(|secret| Some((Credentials::from_secret(&secret)?, host(&secret, object, name)))))
}

/// The bindings that name an organization.
pub(super) async fn bindings(context: &Context, name: &OrgName) -> Result<Vec<RepoBinding>, StepError> {
    let all = claims::all(context).await?;
    Ok(all.into_iter().filter(|b| b.spec.aphex_org.as_deref() == Some(name.as_str())).collect())
}

async fn tenants(context: &Context, name: &OrgName) -> Result<Vec<TenantBinding>, StepError> {
    if let Some(namespaces) = context.tenants.of(name.as_str()) {
        return Ok(namespaces.into_iter().map(|namespace| TenantBinding { namespace }).collect());
    }
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
