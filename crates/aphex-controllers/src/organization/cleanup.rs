//! Taking back an Organization, by names and labels alone: the way in first, then rights, then the namespace.

use aphex_api::foreign::external_secrets::ClusterSecretStore;
use aphex_api::names::OrgName;
use aphex_api::organization::Organization;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::ResourceExt;

use super::observe;
use crate::apply::{Kind, Owner, Place, remove};
use crate::context::Context;
use crate::outcome::{StepError, Waiting};

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
    context.tunnels.withdraw(&name).await.map_err(StepError::Tunnel)?;
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
