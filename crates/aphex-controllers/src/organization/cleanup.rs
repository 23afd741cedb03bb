//! Taking back an Organization, by names and labels alone: the way in first, then rights, then the namespace.
//!
//! The connectors go between the public name and the tunnel: they would connect again as often as they are disconnected,
//! and Cloudflare deletes no tunnel that is connected.

use aphex_api::foreign::external_secrets::ClusterSecretStore;
use aphex_api::names::OrgName;
use aphex_api::organization::Organization;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::ResourceExt;

use super::observe;
use super::validate::Identity;
use crate::apply::{Kind, Owner, Place, remove};
use crate::context::Context;
use crate::outcome::{StepError, Waiting};
use crate::tunnels::Connectors;

pub(super) async fn cleanup(
    context: &Context,
    object: &Organization,
    owner: &Owner,
) -> Result<Option<Waiting>, StepError> {
    // An object without a valid name never got past validation, so it owns nothing.
    let Ok(name) = object.name_any().parse::<OrgName>() else { return Ok(None) };
    let bindings = observe::bindings(context, &name).await?;
    if !bindings.is_empty() {
        let mut names: Vec<String> = bindings.iter().map(ResourceExt::name_any).collect();
        names.sort();
        let message = format!("Waiting for these RepoBindings to be deleted: {}", names.join(", "));
        return Ok(Some(Waiting(message)));
    }
    if let Some(waiting) = way_in(context, object, owner, &name).await? {
        return Ok(Some(waiting));
    }
    let cluster = |kind| Place { kind, namespace: None };
    for place in [
        cluster(Kind::of::<ClusterRoleBinding>()),
        cluster(Kind::of::<ClusterRole>()),
        cluster(Kind::of::<ClusterSecretStore>()),
        cluster(Kind::of::<Namespace>()),
    ] {
        if let Some(waiting) = remove(&context.client, owner, place).await? {
            return Ok(Some(waiting));
        }
    }
    Ok(None)
}

/// Takes back what makes the organization reachable: public name, connectors, tunnel.
async fn way_in(
    context: &Context,
    object: &Organization,
    owner: &Owner,
    name: &OrgName,
) -> Result<Option<Waiting>, StepError> {
    let identity = Identity::of(object);
    let stored = observe::stored_credentials(context, owner, object, name).await?;
    let (credentials, host) = stored.unzip();
    let host = host.flatten();
    let claim = identity.claim(name, credentials.as_ref(), host.as_deref(), Connectors::None);
    if let Some(waiting) = context.tunnels.unpublish(claim).await.map_err(StepError::Tunnel)? {
        return Ok(Some(waiting));
    }
    let connector = Place { kind: Kind::of::<Deployment>(), namespace: Some(name.namespace()) };
    for place in [observe::ingresses(&context.settings), connector] {
        if let Some(waiting) = remove(&context.client, owner, place).await? {
            return Ok(Some(waiting));
        }
    }
    context.tunnels.withdraw(claim).await.map_err(StepError::Tunnel)
}
