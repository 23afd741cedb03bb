//! Whether a RepoBinding can be carried out: what the spec alone decides, then names, then what must exist.

use aphex_api::labels;
use aphex_api::names::{Branch, OrgName, Repository, TenantName};
use aphex_api::profile::PermissionProfile;
use aphex_api::repo_binding::{RepoBinding, RepoBindingPhase};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;

use super::neighbours::Neighbour;
use super::observe::Observed;
use super::options::{Options, options};
use super::shape::{self, STANDALONE_PIPELINE, Shape};
use super::{overlap, owner, pipeline_spec, tenant as tenant_of};
use crate::catalog::Template;
use crate::context::Settings;
use crate::outcome::{Rejection, Stop};
use crate::webhook_secret::{Kept, Request, Turn};

/// A RepoBinding that can be carried out.
#[derive(Clone, Debug)]
pub struct Valid {
    /// The tenant: its namespace, and in an organization also its pipeline.
    pub tenant: TenantName,
    /// Of an organization, or alone.
    pub shape: Shape,
    /// The repository.
    pub repository: Repository,
    /// Which events count, and how runs begin.
    pub options: Options,
    /// How much the tenant may do.
    pub profile: PermissionProfile,
    /// The dispatcher template.
    pub template: Template,
    /// Where GitHub is to send webhooks.
    pub webhook_url: String,
    /// The webhook secret made earlier; `provision` makes one if there is none, and rotates it.
    pub webhook_secret: Option<Kept>,
    /// A request for a new one.
    pub rotation: Option<Request>,
    /// Whether `provision` carried it out.
    pub turn: Turn,
}

impl Valid {
    /// The organization, unless the tenant stands alone.
    #[must_use]
    pub fn organization(&self) -> Option<&OrgName> {
        match &self.shape {
            Shape::Organization { name, .. } => Some(name),
            Shape::Standalone { .. } => None,
        }
    }

    /// The namespace in which its events arrive.
    #[must_use]
    pub fn listener_namespace(&self) -> String {
        shape::listener_namespace(self.organization(), &self.tenant)
    }

    /// The Pipeline that pushes start.
    #[must_use]
    pub fn pipeline_name(&self) -> &str {
        match &self.shape {
            Shape::Organization { .. } => self.tenant.as_str(),
            Shape::Standalone { .. } => STANDALONE_PIPELINE,
        }
    }

    /// The TriggerTemplate that starts it.
    #[must_use]
    pub fn trigger_template(&self) -> String {
        match &self.shape {
            Shape::Organization { .. } => self.tenant.trigger_template(),
            Shape::Standalone { .. } => format!("{STANDALONE_PIPELINE}-trigger-template"),
        }
    }
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
    let written = shape::written(&object.spec)?;
    let tenant: TenantName =
        written.tenant.parse().map_err(|error| Rejection::invalid(format!("{error}")))?;
    let organization = written.organization.map(str::parse::<OrgName>).transpose();
    let organization = organization.map_err(|e| invalid("spec.aphexOrg", &e))?;
    let repository = Repository::new(&object.spec.repo_org, &object.spec.repo_name)
        .map_err(|e| invalid("spec.repoOrg, spec.repoName", &e))?;
    let branch: Branch = object.spec.branch.parse().map_err(|e| invalid("spec.branch", &e))?;
    let options = options(&object.spec.options, &branch)?;
    let rotation = Request::of(object, settings.rotation_grace)?;
    let template = template(written.template, settings)?;
    let pipeline = written.pipeline.map(|text| {
        let parsed = pipeline_spec::parse(text, &tenant);
        parsed.and_then(|pipeline| pipeline_spec::accepts(&pipeline, template).map(|()| pipeline))
    });
    let pipeline = pipeline.transpose().map_err(|e| invalid("spec.pipelineSpec", &e))?;
    own_name(object, observed, &tenant)?;
    own_reach(object, observed, &tenant)?;
    let (shape, webhook_url) = match organization.zip(pipeline) {
        Some((name, pipeline)) => {
            let url = reachable(observed, &name)?;
            let admins = observed.organization.iter().flat_map(|organization| &organization.spec.admin_users);
            // One that is not valid makes the organization fail, not its tenants.
            let admins = admins.filter_map(|admin| admin.parse().ok()).collect();
            (Shape::Organization { name, pipeline: Box::new(pipeline), admins }, url)
        }
        None => (
            Shape::Standalone {
                ingress_host: shape::ingress_host(&object.spec, settings),
                workspaces: observed.pipeline.iter().flat_map(pipeline_spec::workspaces).collect(),
            },
            shape::standalone_url(&object.spec, &tenant, settings),
        ),
    };
    Ok(Valid {
        tenant,
        shape,
        repository,
        options,
        profile: object.spec.permission_profile,
        template: template.clone(),
        webhook_url,
        webhook_secret: observed.webhook_secret.clone(),
        rotation,
        turn: Turn::Same,
    })
}

fn template<'a>(name: &str, settings: &'a Settings) -> Result<&'a Template, Rejection> {
    settings.catalog.get(name).ok_or_else(|| {
        let known: Vec<&str> = settings.catalog.names().collect();
        Rejection::invalid(format!(
            "spec.templateRef: template {name} is not in the catalog, which has: {}",
            known.join(", ")
        ))
    })
}

/// The tenant's name is free, or this binding's; and no tenant of another owner has a name that overlaps it.
fn own_name(object: &RepoBinding, observed: &Observed, name: &TenantName) -> Result<(), Stop> {
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
        let Some(theirs) = tenant_of(&other.spec).filter(|theirs| overlap(theirs, name.as_str())) else {
            continue;
        };
        let holder = other.name_any();
        if theirs == name.as_str() {
            return Err(Rejection::taken(format!("RepoBinding {holder} already has the name {name}")).into());
        }
        let (own, their) = (owner(object), owner(other));
        if own.is_none() || own != their {
            let message =
                format!("{name} overlaps {theirs}, the tenant of RepoBinding {holder} of another owner");
            let within = own.zip(their).filter(|((own, _), (their, _))| own == their).map(|((name, _), _)| {
                format!(
                    ", for in organization {name} each namespace of Pipelines is an owner, and so are the \
                     administrators who write RepoBindings: choose another name"
                )
            });
            return Err(Rejection::taken(message + &within.unwrap_or_default()).into());
        }
    }
    Ok(())
}

/// The wildcard of the tenant's AppProject reaches no namespace that was there before and is no tenant of this owner.
///
/// Whose tenants may be beside this one is decided by their bindings. A namespace that came after the tenant does not put
/// it out of order: whoever may create namespaces could do so to anybody.
fn own_reach(object: &RepoBinding, observed: &Observed, name: &TenantName) -> Result<(), Stop> {
    let tenant = observed.namespace.as_ref().filter(|_| observed.owns_namespace);
    let since = tenant.and_then(kube::ResourceExt::creation_timestamp).map(|time| time.0);
    let earlier = |found: &&Neighbour| since.is_none_or(|since| found.created.is_some_and(|at| at < since));
    let strange = |found: &&Neighbour| {
        let Some(binding) = &found.binding else { return true };
        // Its binding may be gone for a moment longer than it is.
        let relative = found.organization.is_some() && found.organization == object.spec.aphex_org;
        let known = |other: &RepoBinding| {
            other.name_any() == *binding && tenant_of(&other.spec) == Some(found.name.as_str())
        };
        !relative && !observed.others.iter().any(known)
    };
    let Some(stranger) = observed.neighbours.iter().filter(earlier).find(strange) else { return Ok(()) };
    Err(Rejection::taken(format!(
        "Namespace {} was there before and is no tenant of this owner, and {name}-* of the AppProject would reach it: \
         choose another name; if nobody needs the namespace, a platform administrator can delete it",
        stranger.name
    ))
    .into())
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
