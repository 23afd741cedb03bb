//! Whether a RepoBinding can be carried out: what the spec alone decides, then names, then what must exist.

use aphex_api::foreign::tekton::Pipeline;
use aphex_api::labels;
use aphex_api::names::{Branch, OrgName, Repository, TenantName};
use aphex_api::profile::PermissionProfile;
use aphex_api::repo_binding::{RepoBinding, RepoBindingPhase, RepoBindingSpec};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;

use super::observe::Observed;
use super::options::{Options, options};
use super::{overlap, pipeline_spec, tenant};
use crate::catalog::Template;
use crate::context::Settings;
use crate::outcome::{Rejection, Stop};
use crate::webhook_secret::{Kept, Request, Turn};

/// A RepoBinding that can be carried out.
#[derive(Clone, Debug)]
pub struct Valid {
    /// The organization.
    pub organization: OrgName,
    /// The tenant: namespace and pipeline.
    pub tenant: TenantName,
    /// The repository.
    pub repository: Repository,
    /// Which events count, and how runs begin.
    pub options: Options,
    /// How much the tenant may do.
    pub profile: PermissionProfile,
    /// The Tekton Pipeline, as `tekton.dev/v1`.
    pub pipeline: Pipeline,
    /// The dispatcher template.
    pub template: Template,
    /// Where webhooks reach the organization.
    pub webhook_url: String,
    /// The webhook secret made earlier; `provision` makes one if there is none, and rotates it.
    pub webhook_secret: Option<Kept>,
    /// A request for a new one.
    pub rotation: Option<Request>,
    /// Whether `provision` carried it out.
    pub turn: Turn,
}

pub(super) fn validate(
    object: &RepoBinding,
    observed: &Observed,
    settings: &Settings,
) -> Result<Valid, Stop> {
    if object.namespace().as_deref() != Some(&settings.platform_namespace) {
        let message = format!("A RepoBinding must be created in namespace {}", settings.platform_namespace);
        return Err(Rejection::invalid(message).into());
    }
    let shape = shape(&object.spec)?;
    let tenant: TenantName = shape.tenant.parse().map_err(|error| Rejection::invalid(format!("{error}")))?;
    let organization: OrgName = shape.organization.parse().map_err(|e| invalid("spec.aphexOrg", &e))?;
    let repository = Repository::new(&object.spec.repo_org, &object.spec.repo_name)
        .map_err(|e| invalid("spec.repoOrg, spec.repoName", &e))?;
    let branch: Branch = object.spec.branch.parse().map_err(|e| invalid("spec.branch", &e))?;
    let options = options(&object.spec, &branch)?;
    let rotation = Request::of(object, settings.rotation_grace)?;
    let template = settings.catalog.get(shape.template).ok_or_else(|| {
        let known: Vec<&str> = settings.catalog.names().collect();
        Rejection::invalid(format!(
            "spec.templateRef: template {} is not in the catalog, which has: {}",
            shape.template,
            known.join(", ")
        ))
    })?;
    let pipeline = pipeline_spec::parse(shape.pipeline, &tenant)
        .and_then(|pipeline| pipeline_spec::accepts(&pipeline, template).map(|()| pipeline))
        .map_err(|e| invalid("spec.pipelineSpec", &e))?;
    own_name(object, observed, &tenant, &organization)?;
    let webhook_url = reachable(observed, &organization)?;
    Ok(Valid {
        organization,
        tenant,
        repository,
        options,
        profile: object.spec.permission_profile,
        pipeline,
        template: template.clone(),
        webhook_url,
        webhook_secret: observed.webhook_secret.clone(),
        rotation,
        turn: Turn::Same,
    })
}

/// The fields of an organization binding.
struct Shape<'a> {
    organization: &'a str,
    tenant: &'a str,
    template: &'a str,
    pipeline: &'a str,
}

fn shape(spec: &RepoBindingSpec) -> Result<Shape<'_>, Rejection> {
    if spec.aphex_org.is_some() == spec.tenant_name.is_some() {
        return Err(Rejection::invalid(
            "spec: set either aphexOrg (with pipelineName, templateRef and pipelineSpec) or tenantName",
        ));
    }
    let Some(organization) = spec.aphex_org.as_deref() else {
        return Err(Rejection::invalid(
            "spec.tenantName: standalone tenants are not provisioned by this version",
        ));
    };
    let required = |field: &str, value: &Option<String>| {
        if value.is_some() {
            return Ok(());
        }
        Err(Rejection::invalid(format!("spec.{field} is required with aphexOrg")))
    };
    required("pipelineName", &spec.pipeline_name)?;
    required("templateRef", &spec.template_ref)?;
    required("pipelineSpec", &spec.pipeline_spec)?;
    Ok(Shape {
        organization,
        tenant: spec.pipeline_name.as_deref().unwrap_or_default(),
        template: spec.template_ref.as_deref().unwrap_or_default(),
        pipeline: spec.pipeline_spec.as_deref().unwrap_or_default(),
    })
}

/// The tenant's name is free, or this binding's; and its wildcard reaches nobody else's namespaces.
fn own_name(
    object: &RepoBinding,
    observed: &Observed,
    name: &TenantName,
    organization: &OrgName,
) -> Result<(), Stop> {
    if let Some(namespace) = &observed.namespace {
        if !observed.owns_namespace {
            let message = match holder(namespace).filter(|holder| *holder != object.name_any()) {
                Some(holder) => format!("RepoBinding {holder} already has the name {name}"),
                None => format!("Namespace {name} exists already and is not this RepoBinding's"),
            };
            return Err(Rejection::taken(message).into());
        }
        if namespace.metadata.deletion_timestamp.is_some() {
            return Err(Stop::waiting(format!("Waiting for namespace {name} to be deleted")));
        }
    }
    for other in observed.others.iter().filter(|other| claims(other, object, observed.owns_namespace)) {
        let Some(theirs) = tenant(&other.spec).filter(|theirs| overlap(theirs, name.as_str())) else {
            continue;
        };
        let holder = other.name_any();
        if theirs == name.as_str() {
            return Err(Rejection::taken(format!("RepoBinding {holder} already has the name {name}")).into());
        }
        if other.spec.aphex_org.as_deref() != Some(organization.as_str()) {
            let message =
                format!("{name} overlaps {theirs}, the tenant of RepoBinding {holder} of another owner");
            return Err(Rejection::taken(message).into());
        }
    }
    Ok(())
}

/// The binding whose tenant namespace it is, by its labels.
fn holder(namespace: &Namespace) -> Option<&str> {
    let label = |key| namespace.labels().get(key).map(String::as_str);
    label(labels::OWNER_NAME).filter(|_| label(labels::OWNER_KIND) == Some("RepoBinding"))
}

/// Whether another binding's claim to its name goes before this one's.
///
/// A tenant that exists keeps its name; of two that do not exist yet the older binding has it, unless it was refused.
fn claims(other: &RepoBinding, object: &RepoBinding, exists: bool) -> bool {
    let status = other.status.clone().unwrap_or_default();
    let refused = status.phase == RepoBindingPhase::Failed;
    let age = |binding: &RepoBinding| (binding.creation_timestamp().map(|time| time.0), binding.name_any());
    match (status.namespace_created, exists) {
        (true, false) => true,
        (false, true) => false,
        (true, true) => age(other) < age(object),
        (false, false) => !refused && age(other) < age(object),
    }
}

/// The organization exists and webhooks reach it; tells where.
fn reachable(observed: &Observed, name: &OrgName) -> Result<String, Stop> {
    let Some(organization) = &observed.organization else {
        return Err(Stop::waiting(format!("Waiting for Organization {name} to be created")));
    };
    if organization.metadata.deletion_timestamp.is_some() {
        return Err(Stop::waiting(format!("Waiting: Organization {name} is being deleted")));
    }
    let url = organization.status.as_ref().and_then(|status| status.webhook_url.clone());
    match url {
        Some(url) if observed.organization_namespace => Ok(url),
        _ => Err(Stop::waiting(format!("Waiting for Organization {name} to be provisioned"))),
    }
}

pub(super) fn invalid(field: &str, error: &dyn std::fmt::Display) -> Rejection {
    Rejection::invalid(format!("{field}: {error}"))
}

#[cfg(test)]
mod tests;
