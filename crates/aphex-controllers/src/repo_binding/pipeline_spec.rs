//! The Tekton Pipeline inside a binding: read, brought to `tekton.dev/v1`, and held against the template.
//!
//! Tekton ignores a parameter that a pipeline does not declare, but fails a run that lacks a required one or gives one
//! of another type, and a run that leaves a required workspace unbound (validatePipelineParams and
//! ValidateWorkspaceBindings, pkg/reconciler/pipelinerun in v1.6). Such a pipeline would never run, so it is refused.

mod v1beta1;

use aphex_api::foreign::tekton::{ParamType, Pipeline};
use aphex_api::names::TenantName;
use serde_json::Value;

use crate::catalog::Template;

/// Why a pipeline cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// It is not YAML.
    #[error("not valid YAML: {0}")]
    Yaml(String),
    /// It is not one Pipeline.
    #[error(
        "must be one Tekton Pipeline (kind: Pipeline, apiVersion: tekton.dev/v1 or tekton.dev/v1beta1), not {0}"
    )]
    NotAPipeline(String),
    /// Its name is another.
    #[error("metadata.name is \"{found}\", but must be the pipelineName \"{wanted}\"")]
    Name {
        /// The name it has.
        found: String,
        /// The name it must have.
        wanted: String,
    },
    /// A field is not what Tekton has there.
    #[error("{0}")]
    Field(String),
    /// A parameter has another type than the template sends.
    #[error("parameter \"{name}\" is declared as {declared}, but template {template} sends {sent}")]
    ParamType {
        /// The parameter.
        name: String,
        /// Its declared type.
        declared: &'static str,
        /// The type the template sends.
        sent: &'static str,
        /// The template.
        template: String,
    },
    /// A parameter is required and never sent.
    #[error("parameter \"{name}\" has no default, and template {template} does not send it")]
    ParamMissing {
        /// The parameter.
        name: String,
        /// The template.
        template: String,
    },
    /// A workspace is required and never bound.
    #[error("workspace \"{name}\" is required, and template {template} does not bind it")]
    Workspace {
        /// The workspace.
        name: String,
        /// The template.
        template: String,
    },
}

/// Reads one Pipeline of the tenant's name.
pub fn parse(text: &str, tenant: &TenantName) -> Result<Pipeline, PipelineError> {
    // Go's YAML reads 0755 as octal, and so does every kubectl (libraries read it as decimal text otherwise).
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let mut documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| PipelineError::Yaml(first_line(&error.to_string())))?;
    documents.retain(|document| !document.is_null());
    let count = documents.len();
    let (Some(mut document), 1) = (documents.pop(), count) else {
        return Err(PipelineError::NotAPipeline(format!("{count} documents")));
    };
    let version = text_at(&document, "apiVersion");
    let kind = text_at(&document, "kind");
    if kind != "Pipeline" || !matches!(version.as_str(), "tekton.dev/v1" | "tekton.dev/v1beta1") {
        return Err(PipelineError::NotAPipeline(format!("kind: {kind}, apiVersion: {version}")));
    }
    if version == "tekton.dev/v1beta1" {
        v1beta1::convert(&mut document)?;
    }
    if document["spec"]["tasks"].as_array().is_none_or(Vec::is_empty) {
        return Err(PipelineError::Field("spec.tasks must list at least one task".to_owned()));
    }
    let pipeline: Pipeline =
        serde_json::from_value(document).map_err(|error| PipelineError::Field(error.to_string()))?;
    let found = pipeline.metadata.name.clone().unwrap_or_default();
    if found != tenant.as_str() {
        return Err(PipelineError::Name { found, wanted: tenant.to_string() });
    }
    Ok(pipeline)
}

/// Whether runs that a template makes of a pipeline can begin.
pub fn accepts(pipeline: &Pipeline, template: &Template) -> Result<(), PipelineError> {
    let sends = template.sends();
    for param in &pipeline.spec.params {
        let (name, template) = (param.name.clone(), template.name.clone());
        let declared = param.effective_type();
        match sends.get(&name) {
            Some(sent) if *sent == declared => {}
            Some(sent) => {
                let (declared, sent) = (type_name(declared), type_name(*sent));
                return Err(PipelineError::ParamType { name, declared, sent, template });
            }
            None if param.default.is_some() => {}
            None => return Err(PipelineError::ParamMissing { name, template }),
        }
    }
    let bound = template.workspaces();
    let unbound = pipeline.spec.workspaces.iter().find(|w| !w.optional && !bound.contains(&w.name));
    match unbound {
        Some(w) => Err(PipelineError::Workspace { name: w.name.clone(), template: template.name.clone() }),
        None => Ok(()),
    }
}

/// The workspaces that a pipeline declares.
pub fn workspaces(pipeline: &Pipeline) -> Vec<String> {
    pipeline.spec.workspaces.iter().map(|workspace| workspace.name.clone()).collect()
}

fn type_name(kind: ParamType) -> &'static str {
    match kind {
        ParamType::String => "string",
        ParamType::Array => "array",
        ParamType::Object => "object",
    }
}

fn text_at(document: &Value, field: &str) -> String {
    document.get(field).and_then(Value::as_str).unwrap_or("(none)").to_owned()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
