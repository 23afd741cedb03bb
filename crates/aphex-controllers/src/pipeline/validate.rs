//! Whether a Pipeline can be carried out: what its namespace may ask for, then what the spec alone decides.
//!
//! The binding is held against the same rules again. They are applied here first, so that what the developer reads
//! names the fields that the developer wrote.

use aphex_api::foreign::tekton;
use aphex_api::labels;
use aphex_api::names::{Branch, DEVELOPER_PREFIXES, OrgName, Repository, TenantName};
use aphex_api::pipeline::{Pipeline, PipelineRepository};
use aphex_api::profile::PermissionProfile;
use aphex_api::repo_binding::BindingOptions;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::binding_name;
use super::observe::Observed;
use crate::context::Settings;
use crate::outcome::{Rejection, Stop};
use crate::repo_binding::{self, pipeline_spec};

/// Longest text of a Tekton Pipeline in a binding, in characters (`maxLength` of `spec.pipelineSpec`).
const TEXT_MAX: usize = 524_288;

/// A Pipeline that can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid {
    /// The name of its binding.
    pub binding: String,
    /// The organization, which the namespace is labelled with.
    pub organization: OrgName,
    /// The tenant: namespace and Tekton Pipeline.
    pub tenant: TenantName,
    /// The repository.
    pub repository: PipelineRepository,
    /// The branch whose pushes count.
    pub branch: Branch,
    /// The name of the dispatcher template.
    pub template: String,
    /// How much it may do.
    pub profile: PermissionProfile,
    /// The Tekton Pipeline as JSON, which is YAML too.
    pub pipeline: String,
    /// The options as the binding has them; what the Pipeline leaves out, the binding may have of its own.
    pub options: BindingOptions,
}

pub(super) fn validate(object: &Pipeline, observed: &Observed, settings: &Settings) -> Result<Valid, Stop> {
    let organization: OrgName =
        object.spec.organization.parse().map_err(|e| invalid("spec.organization", &e))?;
    allowed(object, observed, &organization, settings)?;
    let tenant: TenantName = object.name_any().parse().map_err(|e| invalid("metadata.name", &e))?;
    let repository = object.spec.repository.clone();
    Repository::new(&repository.org, &repository.name).map_err(|e| invalid("spec.repository", &e))?;
    let branch: Branch = object.spec.branch.parse().map_err(|e| invalid("spec.branch", &e))?;
    let options = object.spec.options.clone();
    repo_binding::options::options(&options, &branch)?;
    let template = settings.catalog.get(&object.spec.template).ok_or_else(|| {
        let known: Vec<&str> = settings.catalog.names().collect();
        let message = format!(
            "spec.template: template {} is not in the catalog, which has: {}",
            object.spec.template,
            known.join(", ")
        );
        Rejection::invalid(message)
    })?;
    let pipeline = text(&object.spec.pipeline, &tenant)?;
    pipeline_spec::parse(&pipeline, &tenant)
        .and_then(|pipeline: tekton::Pipeline| pipeline_spec::accepts(&pipeline, template))
        .map_err(|e| invalid("spec.pipeline", &e))?;
    let binding = binding_name(object);
    if observed.taken {
        let platform = &settings.platform_namespace;
        let message = format!(
            "RepoBinding {platform}/{binding} exists already and is not this Pipeline's: \
             a platform administrator can delete it, or this Pipeline can have another name"
        );
        return Err(Rejection::taken(message).into());
    }
    Ok(Valid {
        binding,
        organization,
        tenant,
        repository,
        branch,
        template: object.spec.template.clone(),
        profile: object.spec.permission_profile,
        pipeline,
        options,
    })
}

/// The namespace is a developer's, and given to the organization by somebody who may label namespaces.
fn allowed(
    object: &Pipeline,
    observed: &Observed,
    organization: &OrgName,
    settings: &Settings,
) -> Result<(), Rejection> {
    let name = object.namespace().unwrap_or_default();
    if !DEVELOPER_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        let wanted = DEVELOPER_PREFIXES.map(|prefix| format!("{prefix}*")).join(" or ");
        let message = format!("A Pipeline must be created in a namespace {wanted}, not in {name}");
        return Err(Rejection::invalid(message));
    }
    let label = labels::SECRET_STORE_ORGANIZATION;
    let given = observed.namespace.as_ref().and_then(|namespace| namespace.labels().get(label));
    if given.is_some_and(|given| given == organization.as_str()) {
        return Ok(());
    }
    let has = given.map_or_else(|| "does not have it".to_owned(), |given| format!("has {label}={given}"));
    let binding = binding_name(object);
    // What it has may serve people: the new label ends nothing.
    let goes_on = observed.binding(&binding).map_or_else(String::new, |_| {
        format!(
            "; RepoBinding {}/{binding} and its tenant go on as they are until this Pipeline is deleted",
            settings.platform_namespace
        )
    });
    let overwrite = given.map_or("", |_| "--overwrite ");
    Err(Rejection::not_allowed(format!(
        "A Pipeline of organization {organization} needs label {label}={organization} on its namespace, and {name} {has}: \
         a platform administrator can set it (kubectl label {overwrite}namespace {name} {label}={organization}){goes_on}"
    )))
}

/// The Tekton Pipeline as text, with what goes without saying.
fn text(pipeline: &Value, tenant: &TenantName) -> Result<String, Rejection> {
    let mut document = pipeline.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.entry("apiVersion").or_insert_with(|| json!("tekton.dev/v1"));
        fields.entry("kind").or_insert_with(|| json!("Pipeline"));
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            let found = metadata.entry("name").or_insert_with(|| json!(tenant.as_str()));
            if found != tenant.as_str() {
                return Err(Rejection::invalid(format!(
                    "spec.pipeline.metadata.name is {found}, but must be {tenant}, the name of this object; it can be left out"
                )));
            }
        }
    }
    let text = format!("{document:#}");
    if text.chars().count() > TEXT_MAX {
        return Err(Rejection::invalid(format!(
            "spec.pipeline must be at most {TEXT_MAX} characters as JSON"
        )));
    }
    Ok(text)
}

fn invalid(field: &str, error: &dyn std::fmt::Display) -> Rejection {
    Rejection::invalid(format!("{field}: {error}"))
}

#[cfg(test)]
mod tests;
