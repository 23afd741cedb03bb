//! The rbac.authorization.k8s.io/v1 objects, with the matching of rules and subjects.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::attributes::Attributes;
use crate::quote::quoted;
use crate::user::{User, service_account_name};

/// A permission: verbs on resources, or verbs on paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicyRule {
    /// The verbs, `*` for all.
    #[serde(deserialize_with = "nullable")]
    pub verbs: Vec<String>,
    /// The API groups, `*` for all.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// The resources: `pods`, `pods/log`, `*/scale` or `*`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The only object names the rule is about; empty for all.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// The paths, `*` for all; a trailing `*` matches what begins so.
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

/// Go writes an empty list it never allocated as null.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl PolicyRule {
    /// Whether the rule allows a request, as the rbac authorizer's `RuleAllows`.
    pub fn allows(&self, request: &Attributes<'_>) -> bool {
        if !has(&self.verbs, request.verb) {
            return false;
        }
        match request.path {
            Some(path) => self.non_resource_urls.iter().any(|url| url == "*" || url_covers(url, path)),
            None => {
                has(&self.api_groups, request.group)
                    && self
                        .resources
                        .iter()
                        .any(|held| resource_matches(held, request.resource, request.subresource))
                    && (self.resource_names.is_empty()
                        || self.resource_names.iter().any(|name| name == request.name))
            }
        }
    }
}

fn has(set: &[String], wanted: &str) -> bool {
    set.iter().any(|held| held == "*" || held == wanted)
}

/// Whether a rule's resource is the wanted one: `*`, the same, or `*/` and the same subresource.
fn resource_matches(held: &str, resource: &str, subresource: &str) -> bool {
    if held == "*" {
        return true;
    }
    if subresource.is_empty() {
        return held == resource;
    }
    [resource, "*"]
        .iter()
        .any(|object| held.strip_prefix(object).and_then(|rest| rest.strip_prefix('/')) == Some(subresource))
}

/// Whether one path pattern covers another path or pattern.
pub(super) fn url_covers(held: &str, wanted: &str) -> bool {
    held == wanted || (held.ends_with('*') && wanted.starts_with(held.trim_end_matches('*')))
}

/// The role a binding grants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RoleRef {
    /// The API group, `rbac.authorization.k8s.io`.
    pub api_group: String,
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// The role's name.
    pub name: String,
}

/// Whom a binding grants a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// The API group, empty for a service account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// The subject's name.
    pub name: String,
    /// A service account's namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

impl Subject {
    /// Whether the subject is this user, in a binding of that namespace (empty: cluster scope).
    pub fn is(&self, user: &User, binding_namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => user.name == self.name,
            "Group" => user.in_group(&self.name),
            "ServiceAccount" => self.user_name(binding_namespace).is_some_and(|name| name == user.name),
            _ => false,
        }
    }

    /// The user name the subject stands for, when it stands for a single user.
    pub(super) fn user_name(&self, binding_namespace: &str) -> Option<String> {
        match self.kind.as_str() {
            "User" => Some(self.name.clone()),
            "ServiceAccount" => {
                let namespace = self.namespace_in(binding_namespace);
                (!namespace.is_empty()).then(|| service_account_name(namespace, &self.name))
            }
            _ => None,
        }
    }

    fn namespace_in<'a>(&'a self, binding_namespace: &'a str) -> &'a str {
        if self.namespace.is_empty() { binding_namespace } else { &self.namespace }
    }

    fn describe(&self, binding_namespace: &str) -> String {
        if self.kind == "ServiceAccount" {
            let namespace = self.namespace_in(binding_namespace);
            return format!("{} {}", self.kind, quoted(&format!("{}/{namespace}", self.name)));
        }
        format!("{} {}", self.kind, quoted(&self.name))
    }
}

/// A Role or ClusterRole: a name and rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// The namespace, empty for a cluster role.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The rules, shared with whoever evaluates them.
    pub rules: Arc<[PolicyRule]>,
}

/// A RoleBinding or ClusterRoleBinding: subjects and the role they get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// The namespace, empty for a cluster role binding.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The role granted.
    pub role_ref: RoleRef,
    /// Those who get it.
    pub subjects: Vec<Subject>,
}

impl Binding {
    /// The first subject that is this user.
    pub fn subject_for(&self, user: &User) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.is(user, &self.namespace))
    }

    /// `RoleBinding "b/ns" of Role "r" to User "u"`, as upstream's rule.go describes the source.
    pub fn describe(&self, subject: &Subject) -> String {
        let (kind, name) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", quoted(&self.name))
        } else {
            let path = format!("{}/{}", self.name, self.namespace);
            ("RoleBinding", quoted(&path))
        };
        format!(
            "{kind} {name} of {} {} to {}",
            self.role_ref.kind,
            quoted(&self.role_ref.name),
            subject.describe(&self.namespace)
        )
    }
}
