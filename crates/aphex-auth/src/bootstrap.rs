//! The roles and bindings a Kubernetes 1.35 API server starts with, and how it keeps them.
//!
//! The data are those of a running kube-apiserver, stripped of uids and times. Aggregated roles
//! have no rules in them: [`crate::rbac::aggregation`] computes those.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::rbac::{PolicyRule, missing};

/// The annotation that keeps a default object as its owner changed it, with the value `false`.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

static CLUSTER_ROLES: LazyLock<Vec<Value>> =
    LazyLock::new(|| parsed(include_str!("../data/clusterroles.json")));
static CLUSTER_ROLE_BINDINGS: LazyLock<Vec<Value>> =
    LazyLock::new(|| parsed(include_str!("../data/clusterrolebindings.json")));
static ROLES: LazyLock<Vec<Value>> = LazyLock::new(|| parsed(include_str!("../data/roles.json")));
static ROLE_BINDINGS: LazyLock<Vec<Value>> =
    LazyLock::new(|| parsed(include_str!("../data/rolebindings.json")));

/// The data are part of the program; a test reads them all.
fn parsed(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The default ClusterRoles.
pub fn cluster_roles() -> &'static [Value] {
    &CLUSTER_ROLES
}

/// The default ClusterRoleBindings.
pub fn cluster_role_bindings() -> &'static [Value] {
    &CLUSTER_ROLE_BINDINGS
}

/// The default Roles, in the namespaces kube-system and kube-public.
pub fn roles() -> &'static [Value] {
    &ROLES
}

/// The default RoleBindings, in the namespaces kube-system and kube-public.
pub fn role_bindings() -> &'static [Value] {
    &ROLE_BINDINGS
}

/// All default objects, roles before the bindings that name them.
pub fn objects() -> impl Iterator<Item = &'static Value> {
    cluster_roles().iter().chain(cluster_role_bindings()).chain(roles()).chain(role_bindings())
}

/// What a start has to do about one default object.
#[derive(Debug, Clone, PartialEq)]
pub enum Reconciled {
    /// It is as it should be, or its owner asked for it to be left alone.
    Nothing,
    /// It is not there: create it.
    Create(Value),
    /// It lacks something: write this in its place.
    Update(Value),
    /// It binds another role, which cannot be changed: delete it and create this.
    Recreate(Value),
}

/// Compares a stored object with its default, as component-helpers/auth/rbac/reconciliation.
///
/// Permissions and subjects someone added stay; those someone took away come back.
pub fn reconcile(existing: Option<&Value>, wanted: &Value) -> Reconciled {
    let Some(existing) = existing else {
        return Reconciled::Create(wanted.clone());
    };
    if existing["metadata"]["annotations"][AUTOUPDATE] == "false" {
        return Reconciled::Nothing;
    }
    if wanted["roleRef"] != existing["roleRef"] {
        return Reconciled::Recreate(wanted.clone());
    }
    let mut merged = existing.clone();
    merge_metadata(&mut merged, wanted);
    if wanted.get("roleRef").is_some() {
        append(&mut merged, "subjects", absent(&existing["subjects"], &wanted["subjects"]));
    } else {
        let lacking = missing(&rules(existing), &rules(wanted));
        let lacking = lacking.iter().filter_map(|rule| serde_json::to_value(rule).ok());
        append(&mut merged, "rules", lacking.collect());
        merge_aggregation(&mut merged, existing, wanted);
    }
    if merged == *existing { Reconciled::Nothing } else { Reconciled::Update(merged) }
}

fn rules(role: &Value) -> Vec<PolicyRule> {
    Option::deserialize(&role["rules"]).ok().flatten().unwrap_or_default()
}

/// The default's labels and annotations, where the object has none of its own.
fn merge_metadata(merged: &mut Value, wanted: &Value) {
    for field in ["labels", "annotations"] {
        let Some(defaults) = wanted["metadata"][field].as_object() else {
            continue;
        };
        let held = &mut merged["metadata"][field];
        if !held.is_object() {
            *held = Value::Object(Map::new());
        }
        for (key, value) in defaults {
            if held.get(key).is_none() {
                held[key] = value.clone();
            }
        }
    }
}

fn merge_aggregation(merged: &mut Value, existing: &Value, wanted: &Value) {
    let Some(rule) = wanted.get("aggregationRule") else {
        if let Some(merged) = merged.as_object_mut() {
            merged.remove("aggregationRule");
        }
        return;
    };
    if existing["aggregationRule"].is_null() {
        merged["aggregationRule"] = rule.clone();
        return;
    }
    let selectors = |rule: &Value| rule["clusterRoleSelectors"].clone();
    let lacking = absent(&selectors(&existing["aggregationRule"]), &selectors(rule));
    append(&mut merged["aggregationRule"], "clusterRoleSelectors", lacking);
}

fn absent(held: &Value, wanted: &Value) -> Vec<Value> {
    let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let held = items(held);
    items(wanted).into_iter().filter(|item| !held.contains(item)).collect()
}

/// Adds items to a list field of an object; without items the object stays as it is.
fn append(object: &mut Value, field: &str, items: Vec<Value>) {
    let Some(object) = object.as_object_mut().filter(|_| !items.is_empty()) else {
        return;
    };
    match object.entry(field).or_insert(Value::Null) {
        Value::Array(list) => list.extend(items),
        other => *other = Value::Array(items),
    }
}

#[cfg(test)]
mod tests;
