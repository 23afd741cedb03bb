//! What makes a schema structural: types everywhere, nothing but value validation below `allOf` and its kin.

use aphex_cel::pattern;
use serde_json::{Value, json};

use super::{additional, flag, given, has_additional, items, list, properties, text};
use crate::error::FieldError;
use crate::path::Path;

/// Where a node sits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Root,
    Item,
    Field,
}

/// Checks a node outside of value validations and everything below it.
pub(super) fn check(node: &Value, level: Level, field: &Path, errors: &mut Vec<FieldError>) {
    if text(node, "type") == "array" && items(node).is_none() {
        errors.push(FieldError::required(&field.child("items"), "must be specified"));
    }
    if let Some(items) = items(node) {
        check(items, Level::Item, &field.child("items"), errors);
    }
    for (name, property) in properties(node) {
        check(property, Level::Field, &field.child("properties").key(name), errors);
    }
    if has_additional(node) {
        let field = field.child("additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(&field, "must not be used at the root"));
        }
        if let Some(additional) = additional(node) {
            check(additional, Level::Field, &field, errors);
        }
    }
    extensions(node, field, errors);
    let alternatives = json!([{ "type": "integer" }, { "type": "string" }]);
    let skip_any = node.get("anyOf") == Some(&alternatives);
    let skip_first = list(node, "allOf").next().and_then(|first| first.get("anyOf")) == Some(&alternatives);
    validations(node, skip_any, skip_first, field, errors);
    types(node, level, field, errors);
    meta(node, level, field, errors);
}

fn extensions(node: &Value, field: &Path, errors: &mut Vec<FieldError>) {
    if !flag(node, "x-kubernetes-int-or-string") {
        return;
    }
    for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if flag(node, key) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(&field.child(key), true, detail));
        }
    }
}

fn types(node: &Value, level: Level, field: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(node, "type");
    let embedded = flag(node, "x-kubernetes-embedded-resource");
    let at = field.child("type");
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            FieldError::required(&at, detail)
        } else {
            FieldError::invalid(&at, kind, detail)
        });
    } else if kind.is_empty()
        && !flag(node, "x-kubernetes-int-or-string")
        && !flag(node, "x-kubernetes-preserve-unknown-fields")
    {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&at, detail));
    }
    if embedded && has_additional(node) {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(&field.child("additionalProperties"), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(&at, kind, "must be object at the root"));
    }
}

/// `metadata` is described elsewhere: a schema may only narrow the name.
fn meta(node: &Value, level: Level, field: &Path, errors: &mut Vec<FieldError>) {
    let embedded = flag(node, "x-kubernetes-embedded-resource");
    let is_resource = level == Level::Root || embedded;
    let named = |name: &str| node.get("properties").and_then(|properties| properties.get(name));
    for name in ["kind", "apiVersion"] {
        let kind = named(name).filter(|_| is_resource).map(|property| text(property, "type"));
        if let Some(kind) = kind.filter(|kind| *kind != "string") {
            let field = field.child("properties").key(name).child("type");
            errors.push(FieldError::invalid(&field, kind, "must be string"));
        }
    }
    if let Some(metadata) = named("metadata") {
        let field = field.child("properties").key("metadata");
        if is_resource && text(metadata, "type") != "object" {
            errors.push(FieldError::invalid(&field.child("type"), text(metadata, "type"), "must be object"));
        }
        if level == Level::Root && !only_names(metadata) {
            let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(&field, detail));
        }
    }
    let empty = properties(node).is_empty() && !flag(node, "x-kubernetes-preserve-unknown-fields");
    if embedded && empty {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&field.child("properties"), detail));
    }
}

fn only_names(metadata: &Value) -> bool {
    let plain = |key: &str| matches!(key, "type" | "default" | "properties" | "example" | "externalDocs");
    let keys = metadata.as_object().into_iter().flat_map(|map| map.keys());
    let mut others = keys.filter(|key| !plain(key) && given(metadata, key));
    let named = properties(metadata).iter().all(|(name, _)| matches!(*name, "name" | "generateName"));
    named && others.next().is_none()
}

/// Checks the value validations of a node.
fn validations(node: &Value, skip_any: bool, skip_first: bool, field: &Path, errors: &mut Vec<FieldError>) {
    if !skip_any {
        for (index, clause) in list(node, "anyOf").enumerate() {
            nested(clause, false, &field.child("anyOf").index(index), errors);
        }
    }
    for (index, clause) in list(node, "allOf").enumerate() {
        nested(clause, skip_first && index == 0, &field.child("allOf").index(index), errors);
    }
    for (index, clause) in list(node, "oneOf").enumerate() {
        nested(clause, false, &field.child("oneOf").index(index), errors);
    }
    if let Some(not) = node.get("not").filter(|not| not.is_object()) {
        nested(not, false, &field.child("not"), errors);
    }
    let pattern = text(node, "pattern");
    if let Err(cause) = pattern::compile(pattern) {
        let detail = format!("must be a valid regular expression, but isn't: {cause}");
        errors.push(FieldError::invalid(&field.child("pattern"), pattern, detail));
    }
}

/// Keys that may not stand below `allOf` and its kin, with what Kubernetes says of each.
const FORBIDDEN: &[(&str, &str)] = &[
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

fn nested(node: &Value, skip_any: bool, field: &Path, errors: &mut Vec<FieldError>) {
    validations(node, skip_any, false, field, errors);
    if let Some(items) = items(node) {
        nested(items, false, &field.child("items"), errors);
    }
    for (name, property) in properties(node) {
        nested(property, false, &field.child("properties").key(name), errors);
    }
    for (key, detail) in FORBIDDEN.iter().filter(|(key, _)| given(node, key)) {
        errors.push(FieldError::forbidden(&field.child(key), *detail));
    }
    if properties(node).iter().any(|(name, _)| *name == "metadata") {
        let field = field.child("properties").key("metadata");
        errors.push(FieldError::forbidden(&field, "must not be specified in a nested context"));
    }
}
