//! The definitions of our kinds, to install on an engine and to write to `platform/crds/`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use crate::delivery::Delivery;
use crate::knowledge_base::KnowledgeBase;
use crate::organization::Organization;
use crate::pipeline::Pipeline;
use crate::repo_binding::RepoBinding;

/// Every definition, in the order in which they are installed.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    [Organization::crd(), RepoBinding::crd(), KnowledgeBase::crd(), Pipeline::crd(), Delivery::crd()]
        .into_iter()
        .map(without_null)
        .collect()
}

/// A file of `platform/crds/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name inside the folder.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The files of `platform/crds/`: one for each definition, and the kustomization that names them.
pub fn files() -> Result<Vec<File>, serde_saphyr::ser::Error> {
    let mut files = Vec::new();
    for definition in all() {
        let name = format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural);
        files.push(file(name, &serde_json::to_value(&definition).unwrap_or_default())?);
    }
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let kustomization = json!({ "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names });
    files.push(file("kustomization.yaml".to_owned(), &kustomization)?);
    Ok(files)
}

fn file(name: String, value: &Value) -> Result<File, serde_saphyr::ser::Error> {
    let yaml = serde_saphyr::to_string(value)?;
    Ok(File { name, text: format!("# Generated from aphex-api by `cargo xtask crds`; do not edit.\n{yaml}") })
}

/// The definition with no field that may be null.
///
/// The derive marks every optional field so. With it a rule's `has(self.field)` would be true for `field: null`; without
/// it the API server drops the null (structural schemas: null values of fields that are not nullable are pruned).
fn without_null(definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let Ok(mut value) = serde_json::to_value(&definition) else { return definition };
    strip_null(&mut value);
    serde_json::from_value(value).unwrap_or(definition)
}

fn strip_null(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| !(name == "nullable" && field.is_boolean()));
            if let Some(Value::Array(values)) = fields.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            fields.values_mut().for_each(strip_null);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_null),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
