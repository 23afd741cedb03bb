//! Taking back a RepoBinding, by names and labels alone: what starts runs, what deploys, rights, then the namespace.

use aphex_api::foreign::argocd::{AppProject, Application};
use aphex_api::foreign::triggers::{EventListener, Trigger, TriggerTemplate};
use aphex_api::labels;
use aphex_api::names::{OrgName, TenantName};
use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};

use kube::Api;

use super::tenant;
use crate::apply::{Kind, Owner, Place, remove, remove_selected};
use crate::context::Context;
use crate::organization::LISTENER;
use crate::outcome::{StepError, Waiting};

pub(super) async fn cleanup(
    context: &Context,
    object: &RepoBinding,
    owner: &Owner,
) -> Result<Option<Waiting>, StepError> {
    // An object without a valid name never got past validation, so it owns nothing.
    let Some(tenant) = tenant(&object.spec).and_then(|name| name.parse::<TenantName>().ok()) else {
        return Ok(None);
    };
    let organization = object.spec.aphex_org.as_deref().and_then(|name| name.parse::<OrgName>().ok());
    let unhooked = match &organization {
        Some(organization) => unhook(context, owner, organization, &tenant).await?,
        None => close(context, owner, &tenant).await?,
    };
    if let Some(waiting) = unhooked {
        return Ok(Some(waiting));
    }
    if let Some(waiting) = undeploy(context, owner, &tenant).await? {
        return Ok(Some(waiting));
    }
    let cluster = |kind| Place { kind, namespace: None };
    for place in [
        cluster(Kind::of::<ClusterRoleBinding>()),
        cluster(Kind::of::<ClusterRole>()),
        // Only if this binding made it: the label that selects it carries this binding's uid.
        cluster(Kind::of::<Namespace>()),
    ] {
        if let Some(waiting) = remove(&context.client, owner, place).await? {
            return Ok(Some(waiting));
        }
    }
    Ok(None)
}

/// Takes a standalone tenant's way in and its listener, so that pushes start nothing while the rest goes.
async fn close(context: &Context, owner: &Owner, tenant: &TenantName) -> Result<Option<Waiting>, StepError> {
    for kind in [Kind::of::<Ingress>(), Kind::of::<EventListener>(), Kind::of::<TriggerTemplate>()] {
        let place = Place { kind, namespace: Some(tenant.namespace()) };
        if let Some(waiting) = remove(&context.client, owner, place).await? {
            return Ok(Some(waiting));
        }
    }
    Ok(None)
}

/// Takes the binding's objects out of the organization's namespace, and waits for the listener to forget the tenant.
async fn unhook(
    context: &Context,
    owner: &Owner,
    organization: &OrgName,
    tenant: &TenantName,
) -> Result<Option<Waiting>, StepError> {
    let namespace = organization.namespace();
    let kinds = [
        Kind::of::<Trigger>(),
        Kind::of::<TriggerTemplate>(),
        Kind::of::<Secret>(),
        Kind::of::<ServiceAccount>(),
    ];
    for kind in kinds {
        let place = Place { kind, namespace: Some(namespace.clone()) };
        if let Some(waiting) = remove(&context.client, owner, place).await? {
            return Ok(Some(waiting));
        }
    }
    let organization =
        Api::<Organization>::namespaced(context.client.clone(), &context.settings.platform_namespace)
            .get_opt(organization.as_str())
            .await
            .map_err(|source| StepError::read(format!("Organization {organization}"), source))?;
    // The listener of an organization on its way out is not changed any more: it goes as a whole.
    if organization.is_none_or(|organization| organization.metadata.deletion_timestamp.is_some()) {
        return Ok(None);
    }
    let listener = Kind::of::<EventListener>()
        .api(context.client.clone(), Some(&namespace))
        .get_opt(LISTENER)
        .await
        .map_err(|source| StepError::read(format!("EventListener {namespace}/{LISTENER}"), source))?;
    // The Organization controller takes the entry out once it sees the binding go.
    let listens = listener.is_some_and(|listener| {
        let names =
            listener.data.pointer("/spec/namespaceSelector/matchNames").and_then(|names| names.as_array());
        listener.metadata.deletion_timestamp.is_none()
            && names.into_iter().flatten().any(|name| name.as_str() == Some(&tenant.namespace()))
    });
    let message = || format!("Waiting for EventListener {namespace}/{LISTENER} to forget {tenant}");
    Ok(listens.then(|| Waiting(message())))
}

/// Deletes the Applications and then the AppProject, without which Argo CD could not finish deleting them.
///
/// Anybody could have made a project of this name; without our label its Applications are not ours to delete.
async fn undeploy(
    context: &Context,
    owner: &Owner,
    tenant: &TenantName,
) -> Result<Option<Waiting>, StepError> {
    let argocd = &context.settings.argocd_namespace;
    let project = Kind::of::<AppProject>()
        .api(context.client.clone(), Some(argocd))
        .get_opt(&tenant.app_project())
        .await
        .map_err(|source| StepError::read(format!("AppProject {argocd}/{tenant}"), source))?;
    if !project.is_some_and(|project| owner.owns(&project)) {
        return Ok(None);
    }
    let selector = format!("{}={tenant}", labels::PIPELINE);
    for namespace in [argocd.clone(), tenant.namespace()] {
        let place = Place { kind: Kind::of::<Application>(), namespace: Some(namespace) };
        if let Some(waiting) = remove_selected(&context.client, &selector, place).await? {
            return Ok(Some(waiting));
        }
    }
    remove(&context.client, owner, Place { kind: Kind::of::<AppProject>(), namespace: Some(argocd.clone()) })
        .await
}
