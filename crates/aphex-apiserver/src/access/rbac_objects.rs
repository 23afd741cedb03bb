//! What roles and bindings must look like: defaults and validation.
//!
//! `pkg/apis/rbac/{v1/defaults.go,validation/validation.go}` of Kubernetes 1.35.

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use serde_json::{Value, json};

use crate::metadata;
use crate::names;

/// The API group of roles, bindings, users and groups.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// What Go writes of a role without rules; nobody owns it.
pub(crate) fn settle(kind: &str, object: &mut Value) {
    if let Some(role) = object.as_object_mut().filter(|_| !kind.ends_with("Binding")) {
        role.entry("rules").or_insert(Value::Null);
    }
}

/// Fills in the API groups of a binding's role and subjects.
pub(crate) fn default(kind: &str, object: &mut Value) {
    if !kind.ends_with("Binding") {
        return;
    }
    if let Some(reference) = object.get_mut("roleRef") {
        fill_group(reference, GROUP);
    }
    for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            fill_group(subject, GROUP);
        }
    }
}

fn fill_group(object: &mut Value, group: &str) {
    let absent = object.get("apiGroup").is_none_or(|group| group.is_null() || group == "");
    if let Some(object) = object.as_object_mut().filter(|_| absent) {
        object.insert("apiGroup".to_owned(), json!(group));
    }
}

/// Everything wrong with a role or binding, metadata aside.
pub(crate) fn validate(kind: &str, object: &Value) -> Vec<FieldError> {
    let namespaced = !kind.starts_with("Cluster");
    match kind {
        "Role" | "ClusterRole" => {
            let mut errors = rules(object, namespaced);
            errors.extend(aggregation(object));
            errors
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            let mut errors = role_ref(object, namespaced);
            let path = Path::root().child("subjects");
            for (i, subject) in items(object.get("subjects")).iter().enumerate() {
                subject_errors(subject, namespaced, &path.index(i), &mut errors);
            }
            errors
        }
        _ => Vec::new(),
    }
}

/// Everything wrong with a changed one: a binding keeps its role for life.
pub(crate) fn validate_update(kind: &str, object: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = validate(kind, object);
    if !kind.ends_with("Binding") || object.get("roleRef") == old.get("roleRef") {
        return errors;
    }
    let reference = &object["roleRef"];
    // As Go prints the internal type.
    let printed =
        json!({"APIGroup": reference["apiGroup"], "Kind": reference["kind"], "Name": reference["name"]});
    errors.push(FieldError::invalid(&Path::root().child("roleRef"), printed, "cannot change roleRef"));
    errors
}

fn items(list: Option<&Value>) -> &[Value] {
    list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn rules(role: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, rule) in items(role.get("rules")).iter().enumerate() {
        let path = Path::root().child("rules").index(i);
        let is_empty = |field: &str| items(rule.get(field)).is_empty();
        let mut require = |field: &str, why: &str| {
            if is_empty(field) {
                errors.push(FieldError::required(&path.child(field), why));
            }
        };
        require("verbs", "verbs must contain at least one value");
        if is_empty("nonResourceURLs") {
            require("apiGroups", "resource rules must supply at least one api group");
            require("resources", "resource rules must supply at least one resource");
            continue;
        }
        let urls = || rule["nonResourceURLs"].clone();
        let path = path.child("nonResourceURLs");
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&path, urls(), why));
        }
        if !["apiGroups", "resources", "resourceNames"].iter().all(|field| is_empty(field)) {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&path, urls(), why));
        }
    }
    errors
}

fn aggregation(role: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let Some(rule) = role.get("aggregationRule").filter(|rule| !rule.is_null()) else { return errors };
    let path = Path::root().child("aggregationRule").child("clusterRoleSelectors");
    let selectors = items(rule.get("clusterRoleSelectors"));
    if selectors.is_empty() {
        let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(&path, why));
    }
    for (i, selector) in selectors.iter().enumerate() {
        let path = path.index(i);
        metadata::labels(selector.get("matchLabels"), &path.child("matchLabels"), &mut errors);
        for (j, expression) in items(selector.get("matchExpressions")).iter().enumerate() {
            expression_errors(expression, &path.child("matchExpressions").index(j), &mut errors);
        }
    }
    errors
}

fn expression_errors(expression: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let values = items(expression.get("values"));
    match text(expression, "operator") {
        "In" | "NotIn" => {
            if values.is_empty() {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&path.child("values"), why));
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&path.child("values"), why));
            }
        }
        operator => {
            let why = "not a valid selector operator";
            errors.push(FieldError::invalid(&path.child("operator"), operator, why));
        }
    }
    let key = text(expression, "key");
    let problems = names::qualified(key).into_iter();
    errors.extend(problems.map(|why| FieldError::invalid(&path.child("key"), key, why)));
}

fn role_ref(binding: &Value, namespaced: bool) -> Vec<FieldError> {
    let path = Path::root().child("roleRef");
    let reference = binding.get("roleRef").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let group = text(reference, "apiGroup");
    if group != GROUP {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = text(reference, "kind");
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, kinds));
    }
    let name = text(reference, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let problems = names::path_segment(name).into_iter();
    errors.extend(problems.map(|why| FieldError::invalid(&path.child("name"), name, why)));
    errors
}

fn subject_errors(subject: &Value, namespaced: bool, path: &Path, errors: &mut Vec<FieldError>) {
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let mut must_be_in = |wanted: &str| {
        if group != wanted {
            errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[wanted]));
        }
    };
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                let problems = names::subdomain(name).into_iter();
                errors.extend(problems.map(|why| FieldError::invalid(&path.child("name"), name, why)));
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[""]));
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => must_be_in(GROUP),
        kind => {
            let kinds = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(&path.child("kind"), kind, &kinds));
        }
    }
}
