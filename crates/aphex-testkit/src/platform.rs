//! The platform's own manifests, as they are committed, and the rights they give.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aphex_auth::User;
use aphex_auth::attributes::Attributes;
use aphex_auth::rbac::PolicyRule;
use kube::Client;
use serde_json::Value;

use crate::requests::Asked;

/// The kinds that say who may do what.
const RIGHTS: [&str; 5] = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/// The kinds that say which writes are refused whatever the rights are.
const POLICIES: [&str; 2] = ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];

/// The objects of a folder of `platform/`, in the order of its kustomization.
pub fn manifests(folder: &str) -> anyhow::Result<Vec<Value>> {
    read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../platform").join(folder))
}

fn read(folder: &Path) -> anyhow::Result<Vec<Value>> {
    let text = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let kustomization: Value = serde_saphyr::from_str(&text(&folder.join("kustomization.yaml"))?)?;
    let mut objects = Vec::new();
    for resource in kustomization["resources"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let path = folder.join(resource);
        if path.is_dir() {
            objects.extend(read(&path)?);
        } else {
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text(&path)?)?;
            objects.extend(documents);
        }
    }
    Ok(objects)
}

/// Applies accounts, roles and bindings of a folder of `platform/`.
pub async fn apply_rights(client: &Client, folder: &str) -> anyhow::Result<()> {
    apply_some(client, folder, &RIGHTS).await
}

/// Applies the admission policies of `platform/`; a real API server begins to enforce them a moment later.
pub async fn apply_policies(client: &Client) -> anyhow::Result<()> {
    apply_some(client, "policies", &POLICIES).await
}

/// Applies those objects of a folder that are of one of the kinds.
async fn apply_some(client: &Client, folder: &str, kinds: &[&str]) -> anyhow::Result<()> {
    for object in manifests(folder)? {
        if kinds.iter().any(|kind| object["kind"] == *kind) {
            crate::apply(client, &object).await?;
        }
    }
    Ok(())
}

/// The rules of a role among manifests or objects read from an engine.
pub fn rules(object: &Value) -> anyhow::Result<Vec<PolicyRule>> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let rules = object.get("rules").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
    serde_json::from_value(rules).with_context(|| format!("rules of {name}"))
}

/// Rules taken apart: one resource and one verb each, with the names they are limited to.
pub fn single(rules: &[PolicyRule]) -> std::collections::BTreeSet<(String, String)> {
    let mut single = std::collections::BTreeSet::new();
    for rule in rules {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let group = if group.is_empty() { String::new() } else { format!(".{group}") };
                let names = if rule.resource_names.is_empty() {
                    String::new()
                } else {
                    format!(" {}", rule.resource_names.join(","))
                };
                single.extend(
                    rule.verbs.iter().map(|verb| (format!("{resource}{group}{names}"), verb.clone())),
                );
            }
        }
    }
    single
}

/// Whether rules allow a request.
pub fn allow(rules: &[PolicyRule], asked: &Asked) -> bool {
    let user = User::default();
    let attributes = Attributes {
        subresource: &asked.subresource,
        namespace: &asked.namespace,
        name: if asked.verb == "create" { "" } else { &asked.name },
        ..Attributes::resource(&user, &asked.verb, &asked.group, &asked.resource)
    };
    rules.iter().any(|rule| rule.allows(&attributes))
}
