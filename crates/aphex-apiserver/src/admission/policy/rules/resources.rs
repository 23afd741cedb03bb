//! What a policy or binding says it applies to: selectors, rules, operations.

use std::collections::HashSet;

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use serde_json::Value;

use super::{Errors, items, one_of, part};
use crate::names;
use crate::object;

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];

/// Everything wrong with `matchConstraints` or `matchResources`.
pub(super) fn check(matched: &Value, path: &Path, errors: &mut Errors) {
    one_of(matched, "matchPolicy", &["Equivalent", "Exact"], path, errors);
    for field in ["namespaceSelector", "objectSelector"] {
        match part(matched, field) {
            None => errors.push(FieldError::required(&path.child(field), "")),
            Some(selector) => aphex_kinds::check_selector(selector, &path.child(field), errors),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in items(matched, field).iter().enumerate() {
            check_rule(rule, &path.child(field).index(index), errors);
        }
    }
}

fn check_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, name) in object::strings(rule.get("resourceNames")).into_iter().enumerate() {
        let at = path.child("resourceNames").index(index);
        let faults = names::path_segment(&name).into_iter();
        errors.extend(faults.map(|why| FieldError::invalid(&at, name.as_str(), why)));
        if !seen.insert(name.clone()) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    operations(rule, &path.child("operations"), errors);
    groups_and_versions(rule, path, errors);
    resources(rule, &path.child("resources"), errors);
    if let Some(scope) = rule.get("scope").and_then(Value::as_str).filter(|scope| !SCOPES.contains(scope)) {
        errors.push(FieldError::not_supported(&path.child("scope"), scope, SCOPES));
    }
}

/// A wildcard stands alone.
fn lonely_wildcard(rule: &Value, field: &str, path: &Path, what: &str, errors: &mut Errors) {
    let list = object::strings(rule.get(field));
    if list.len() > 1 && list.iter().any(|item| item == "*") {
        let why = format!("if '*' is present, must not specify other {what}");
        errors.push(FieldError::invalid(path, list, why));
    }
}

fn operations(rule: &Value, path: &Path, errors: &mut Errors) {
    let list = object::strings(rule.get("operations"));
    if list.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    lonely_wildcard(rule, "operations", path, "operations", errors);
    for (index, operation) in list.iter().enumerate().filter(|(_, one)| !OPERATIONS.contains(&one.as_str())) {
        errors.push(FieldError::not_supported(&path.index(index), operation.as_str(), OPERATIONS));
    }
}

fn groups_and_versions(rule: &Value, path: &Path, errors: &mut Errors) {
    for (field, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let at = path.child(field);
        if object::strings(rule.get(field)).is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        lonely_wildcard(rule, field, &at, what, errors);
    }
    for (index, version) in object::strings(rule.get("apiVersions")).iter().enumerate() {
        if version.is_empty() {
            errors.push(FieldError::required(&path.child("apiVersions").index(index), ""));
        }
    }
}

fn resources(rule: &Value, path: &Path, errors: &mut Errors) {
    let list = object::strings(rule.get("resources"));
    if list.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut all_of, mut of_all) = (HashSet::new(), HashSet::new());
    for (index, item) in list.iter().enumerate() {
        let at = path.index(index);
        if item.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        let Some((resource, sub)) = item.split_once('/') else { continue };
        if all_of.contains(resource) {
            let why = format!("if '{resource}/*' is present, must not specify {item}");
            errors.push(FieldError::invalid(&at, item.as_str(), why));
        }
        if of_all.contains(sub) {
            let why = format!("if '*/{sub}' is present, must not specify {item}");
            errors.push(FieldError::invalid(&at, item.as_str(), why));
        }
        if sub == "*" {
            all_of.insert(resource);
        }
        if resource == "*" {
            of_all.insert(sub);
        }
    }
    if list.len() > 1 && list.iter().any(|item| item == "*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, list.clone(), why));
    }
    let plain = list.iter().rfind(|item| !item.is_empty() && !item.contains('/'));
    if list.iter().any(|item| item == "*") && plain.is_some_and(|item| item != "*") {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, list.clone(), why));
    }
}
