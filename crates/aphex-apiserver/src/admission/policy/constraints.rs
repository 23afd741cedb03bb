//! What a policy or binding applies to, read once from its JSON.

use serde_json::Value;

use crate::object;

/// `matchConstraints` of a policy or `matchResources` of a binding.
#[derive(Debug)]
pub(super) struct Constraints {
    pub(super) rules: Vec<Rule>,
    pub(super) excluded: Vec<Rule>,
    /// Only the versions that the rules name, not those that mean the same.
    pub(super) exact: bool,
    /// Label selectors; an empty one matches everything.
    pub(super) namespaces: Value,
    pub(super) objects: Value,
}

/// A rule about resources and operations.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) operations: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) versions: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) scope: Scope,
}

/// Where objects must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Cluster,
    Namespaced,
    All,
}

impl Constraints {
    pub(super) fn read(value: &Value) -> Self {
        let rules = |field: &str| {
            let list = value.get(field).and_then(Value::as_array);
            list.into_iter().flatten().map(Rule::read).collect()
        };
        let selector = |field: &str| value.get(field).cloned().unwrap_or(Value::Null);
        Self {
            rules: rules("resourceRules"),
            excluded: rules("excludeResourceRules"),
            exact: value.get("matchPolicy").and_then(Value::as_str) == Some("Exact"),
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
        }
    }
}

impl Rule {
    fn read(value: &Value) -> Self {
        let list = |field: &str| object::strings(value.get(field));
        Self {
            operations: list("operations"),
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources"),
            names: list("resourceNames"),
            scope: match value.get("scope").and_then(Value::as_str) {
                Some("Cluster") => Scope::Cluster,
                Some("Namespaced") => Scope::Namespaced,
                _ => Scope::All,
            },
        }
    }
}
