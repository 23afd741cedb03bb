//! What a RepoBinding refers to and owns, read fresh.

use aphex_api::foreign::argocd::AppProject;
use aphex_api::foreign::tekton::Pipeline;
use aphex_api::foreign::triggers::{EventListener, Trigger, TriggerBinding, TriggerTemplate};
use aphex_api::labels;
use aphex_api::names::{OrgName, TenantName};
use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::neighbours::{self, Neighbour};
use super::shape::{STANDALONE_PIPELINE, listener_namespace};
use super::{desired::Desired, overlapping, tenant};
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
    /// Other bindings, all of them or those whose names could be in the way.
    pub others: Vec<RepoBinding>,
    /// The namespaces that the wildcard of the tenant's AppProject reaches.
    pub neighbours: Vec<Neighbour>,
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
    let organization = object.spec.aphex_org.as_deref().and_then(|name| name.parse::<OrgName>().ok());
    let tenant = tenant(&object.spec).and_then(|name| name.parse::<TenantName>().ok());
    let mut observed = Observed::default();
    let Some(tenant) = tenant else {
        (observed.organization, observed.organization_namespace) =
            read_organization(context, organization.as_ref()).await?;
        return Ok(observed);
    };
    let places = places(&tenant, organization.as_ref(), settings);
    let namespace = tenant.namespace();
    let (of_organization, namespace, others, neighbours, inventory, (listens, pipeline)) = tokio::try_join!(
        read_organization(context, organization.as_ref()),
        get::<Namespace>(client, None, &namespace),
        rivals(context, &tenant),
        neighbours::read(context, &tenant),
        Inventory::read(context, owner, places),
        read_ends(client, organization.as_ref(), &tenant),
    )?;
    (observed.organization, observed.organization_namespace) = of_organization;
    let held = object.finalizers().iter().any(|finalizer| finalizer == labels::REPO_BINDING_FINALIZER);
    observed.owns_namespace = namespace.as_ref().is_some_and(|found| owner.keeps(found, held));
    observed.namespace = namespace;
    observed.others = others.into_iter().filter(|other| other.uid() != object.uid()).collect();
    observed.neighbours = neighbours;
    (observed.listens, observed.pipeline) = (listens, pipeline);
    observed.inventory = inventory;
    let namespace = listener_namespace(organization.as_ref(), &tenant);
    let secret = observed.inventory.typed::<Secret>(Some(&namespace), &tenant.webhook_secret());
    observed.webhook_secret = secret.as_ref().and_then(Kept::read);
    Ok(observed)
}

/// The organization that a binding names, and whether its namespace exists and stays.
async fn read_organization(
    context: &Context,
    name: Option<&OrgName>,
) -> Result<(Option<Organization>, bool), StepError> {
    let Some(name) = name else { return Ok((None, false)) };
    let (client, platform) = (&context.client, context.settings.platform_namespace.as_str());
    let namespace = name.namespace();
    let (organization, namespace) = tokio::try_join!(
        get::<Organization>(client, Some(platform), name.as_str()),
        get::<Namespace>(client, None, &namespace),
    )?;
    Ok((organization, namespace.is_some_and(|found| stays(&found))))
}

/// What there is at both ends: whether the organization's listener listens; or the Pipeline of a tenant that stands alone.
async fn read_ends(
    client: &Client,
    organization: Option<&OrgName>,
    tenant: &TenantName,
) -> Result<(bool, Option<Pipeline>), StepError> {
    match organization {
        Some(organization) => Ok((listens(client, organization, tenant).await?, None)),
        None => Ok((false, own_pipeline(client, tenant).await?)),
    }
}

/// Whether an organization's listener listens for a tenant.
pub(super) async fn listens(
    client: &Client,
    organization: &OrgName,
    tenant: &TenantName,
) -> Result<bool, StepError> {
    let listener = get::<EventListener>(client, Some(&organization.namespace()), LISTENER).await?;
    Ok(listener.is_some_and(|listener| {
        stays(&listener) && listener.spec.namespace_selector.match_names.contains(&tenant.namespace())
    }))
}

/// The bindings whose tenants could not exist beside this one.
///
/// The watch tells of bindings in the order in which they came to be. So it told of every older one before it told of the
/// binding that a pass is for; of two that claim a name at once the younger knows the older.
async fn rivals(context: &Context, tenant: &TenantName) -> Result<Vec<RepoBinding>, StepError> {
    match context.bindings.get().filter(|known| known.is_complete()) {
        Some(known) => {
            let platform = Some(context.settings.platform_namespace.as_str());
            let rivals = overlapping(known, tenant.as_str()).into_iter();
            let ours = rivals.filter(|rival| rival.metadata.namespace.as_deref() == platform);
            Ok(ours.map(|rival| (*rival).clone()).collect())
        }
        None => claims::all(context).await,
    }
}

/// Where the binding's objects can be.
pub(crate) fn places(tenant: &TenantName, organization: Option<&OrgName>, settings: &Settings) -> Vec<Place> {
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
