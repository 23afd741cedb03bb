//! Rules of a CRD schema beyond structure: what OpenAPI allows but Kubernetes does not.

use serde_json::Value;

use super::{Options, additional, flag, given, has_additional, items, list, properties, text};
use crate::error::FieldError;
use crate::path::Path;
use crate::read::type_named;

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const REASONS: &[&str] =
    &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// The words for a key that a structural schema cannot even be read with, if there is one.
pub(super) fn unsupported(node: &Value) -> Option<String> {
    for key in
        ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"]
    {
        if given(node, key) {
            let key = if key == "$schema" { "schema" } else { key };
            return Some(format!("OpenAPIV3Schema '{key}' is not supported"));
        }
    }
    if node.get("items").is_some_and(Value::is_array) {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    if node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        return Some(
            "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned(),
        );
    }
    children(node).into_iter().find_map(unsupported)
}

fn children(node: &Value) -> Vec<&Value> {
    let alternatives = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|key| list(node, key));
    let single = [items(node), additional(node), node.get("not")].into_iter().flatten();
    properties(node).into_iter().map(|(_, property)| property).chain(alternatives).chain(single).collect()
}

/// Rules of the root alone.
pub(super) fn root(node: &Value, options: &Options, errors: &mut Vec<FieldError>) {
    const WITH_STATUS: &[(&str, &str)] = &[
        ("description", "Description"),
        ("type", "Type"),
        ("format", "Format"),
        ("title", "Title"),
        ("maximum", "Maximum"),
        ("exclusiveMaximum", "ExclusiveMaximum"),
        ("minimum", "Minimum"),
        ("exclusiveMinimum", "ExclusiveMinimum"),
        ("maxLength", "MaxLength"),
        ("minLength", "MinLength"),
        ("pattern", "Pattern"),
        ("maxItems", "MaxItems"),
        ("minItems", "MinItems"),
        ("uniqueItems", "UniqueItems"),
        ("multipleOf", "MultipleOf"),
        ("required", "Required"),
        ("items", "Items"),
        ("properties", "Properties"),
        ("externalDocs", "ExternalDocs"),
        ("example", "Example"),
        ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
        ("x-kubernetes-validations", "XValidations"),
    ];
    let field = &options.field;
    if options.status_subresource {
        let kind = text(node, "type");
        let known = |key: &str| WITH_STATUS.iter().any(|(known, _)| *known == key);
        let mut keys = node.as_object().into_iter().flat_map(|map| map.keys());
        if !kind.is_empty() && kind != "object" {
            let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            errors.push(FieldError::invalid(&field.child("type"), kind, detail));
        } else if keys.any(|key| !known(key) && given(node, key)) {
            let names: Vec<&str> = WITH_STATUS.iter().map(|(_, name)| *name).collect();
            let detail = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                names.join(" ")
            );
            errors.push(FieldError::invalid(field, node.clone(), detail));
        }
    }
    if flag(node, "nullable") {
        errors.push(FieldError::forbidden(&field.child("nullable"), "nullable cannot be true at the root"));
    }
}

/// Rules of every node.
pub(super) fn check(node: &Value, field: &Path, errors: &mut Vec<FieldError>) {
    visit(node, field, &Place { root: true, ..Place::default() }, errors);
}

/// What the ancestors of a node decide for it.
#[derive(Clone, Default)]
struct Place {
    root: bool,
    inside_meta: bool,
    no_defaults: Option<String>,
}

fn visit(node: &Value, field: &Path, place: &Place, errors: &mut Vec<FieldError>) {
    standard(node, field, place, errors);
    if flag(node, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&field.child("uniqueItems"), detail));
    }
    let below = Place { root: false, ..place.clone() };
    if has_additional(node) {
        let at = field.child("additionalProperties");
        if !properties(node).is_empty() && node.get("additionalProperties") != Some(&Value::Bool(true)) {
            errors
                .push(FieldError::forbidden(&at, "additionalProperties and properties are mutual exclusive"));
        }
        let mut below = below.clone();
        if place.inside_meta {
            below.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        if let Some(additional) = additional(node) {
            visit(additional, &at, &below, errors);
        }
    }
    for (name, property) in properties(node) {
        let mut below = below.clone();
        let is_meta = matches!(name, "metadata" | "kind" | "apiVersion");
        if is_meta && (place.root || flag(node, "x-kubernetes-embedded-resource")) {
            below.inside_meta = true;
            if place.root {
                below.no_defaults = Some(format!("in top-level {name}"));
            }
        }
        visit(property, &field.child("properties").key(name), &below, errors);
    }
    if let Some(not) = node.get("not").filter(|not| not.is_object()) {
        visit(not, &field.child("not"), &below, errors);
    }
    for key in ["allOf", "oneOf", "anyOf"] {
        for (index, clause) in list(node, key).enumerate() {
            visit(clause, &field.child(key).index(index), &below, errors);
        }
    }
    if let Some(items) = items(node) {
        visit(items, &field.child("items"), &below, errors);
    }
    extensions(node, field, errors);
    rule_texts(node, field, errors);
}

fn standard(node: &Value, field: &Path, place: &Place, errors: &mut Vec<FieldError>) {
    let kind = text(node, "type");
    if !kind.is_empty() && type_named(kind).is_none() {
        errors.push(FieldError::not_supported(&field.child("type"), kind, TYPES));
    }
    if let Some(reason) =
        place.no_defaults.as_ref().filter(|_| node.get("default").is_some_and(|value| !value.is_null()))
    {
        errors.push(FieldError::forbidden(&field.child("default"), format!("must not be set {reason}")));
    }
    for key in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        if given(node, key) {
            errors.push(FieldError::forbidden(&field.child(key), format!("{key} is not supported")));
        }
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(&field.child("type"), detail));
    }
    if node.get("items").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        let detail = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(&field.child("items"), detail));
    }
    if place.inside_meta && flag(node, "x-kubernetes-embedded-resource") {
        let at = field.child("x-kubernetes-embedded-resource");
        errors.push(FieldError::forbidden(&at, "must not be used inside of resource meta"));
    }
}

/// `type` must be `wanted` because `because` is given.
fn demand_type(node: &Value, wanted: &str, because: &str, field: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(node, "type");
    if kind != wanted {
        let (at, detail) = (field.child("type"), format!("must be {wanted} if {because} is specified"));
        errors.push(if kind.is_empty() {
            FieldError::required(&at, detail)
        } else {
            FieldError::invalid(&at, kind, detail)
        });
    }
}

fn extensions(node: &Value, field: &Path, errors: &mut Vec<FieldError>) {
    const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
    if node.get(PRESERVE) == Some(&Value::Bool(false)) {
        errors.push(FieldError::invalid(&field.child(PRESERVE), false, "must be true or undefined"));
    }
    if let Some(map_type) = node.get("x-kubernetes-map-type").and_then(Value::as_str) {
        demand_type(node, "object", "x-kubernetes-map-type", field, errors);
        if !matches!(map_type, "atomic" | "granular") {
            let at = field.child("x-kubernetes-map-type");
            errors.push(FieldError::not_supported(&at, map_type, &["atomic", "granular"]));
        }
    }
    let list_type = node.get("x-kubernetes-list-type").and_then(Value::as_str);
    if let Some(list_type) = list_type {
        let at = field.child("x-kubernetes-list-type");
        if text(node, "type") == "array" {
            set_of_atomics(node, list_type, field, errors);
        } else {
            demand_type(node, "array", "x-kubernetes-list-type", field, errors);
        }
        if !matches!(list_type, "atomic" | "set" | "map") {
            errors.push(FieldError::not_supported(&at, list_type, &["atomic", "set", "map"]));
        }
    }
    if given(node, "x-kubernetes-list-map-keys") && list_type != Some("map") {
        let (at, detail) =
            (field.child("x-kubernetes-list-type"), "must be map if x-kubernetes-list-map-keys is non-empty");
        errors.push(match list_type {
            None => FieldError::required(&at, detail),
            Some(other) => FieldError::invalid(&at, other, detail),
        });
    }
    if list_type == Some("map") {
        list_map(node, field, errors);
    }
    if let Some(kind @ ("set" | "map")) = list_type {
        required_keys(node, kind, field, errors);
    }
}

fn set_of_atomics(node: &Value, list_type: &str, field: &Path, errors: &mut Vec<FieldError>) {
    let Some(items) = items(node).filter(|_| list_type == "set") else { return };
    let (key, implied) = match text(items, "type") {
        "array" => ("x-kubernetes-list-type", "atomic"),
        "object" => ("x-kubernetes-map-type", "granular"),
        _ => return,
    };
    if items.get(key).and_then(Value::as_str).unwrap_or(implied) != "atomic" {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        // Kubernetes shows the list type in both cases.
        let shown = items.get("x-kubernetes-list-type").cloned().unwrap_or_default();
        errors.push(FieldError::invalid(&field.child("items").child(key), shown, detail));
    }
}

fn list_map(node: &Value, field: &Path, errors: &mut Vec<FieldError>) {
    let at = field.child("x-kubernetes-list-map-keys");
    if !given(node, "x-kubernetes-list-map-keys") {
        errors.push(FieldError::required(&at, "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(items) = items(node) else {
        errors.push(FieldError::required(
            &field.child("items"),
            "must have a schema if x-kubernetes-list-type is map",
        ));
        return;
    };
    if text(items, "type") != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(&field.child("items").child("type"), text(items, "type"), detail));
        return;
    }
    let keys = node.get("x-kubernetes-list-map-keys").cloned().unwrap_or_default();
    let names: Vec<&str> = list(node, "x-kubernetes-list-map-keys").filter_map(Value::as_str).collect();
    for (index, name) in names.iter().enumerate() {
        match items.get("properties").and_then(|properties| properties.get(name)) {
            Some(property) if matches!(text(property, "type"), "array" | "object") => {
                let at = field.child("items").child("properties").key(name).child("type");
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(&at, text(items, "type"), detail));
            }
            Some(_) => {}
            None => errors.push(FieldError::invalid(
                &at,
                keys.clone(),
                "entries must all be names of item properties",
            )),
        }
        if names[..index].contains(name) {
            errors.push(FieldError::invalid(&at, keys.clone(), "must not contain duplicate entries"));
        }
    }
}

fn required_keys(node: &Value, kind: &str, field: &Path, errors: &mut Vec<FieldError>) {
    let Some(items) = items(node) else { return };
    let field = field.child("items");
    if flag(items, "nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        errors.push(FieldError::forbidden(&field.child("nullable"), detail));
    }
    if kind != "map" {
        return;
    }
    for name in list(node, "x-kubernetes-list-map-keys").filter_map(Value::as_str) {
        let Some(property) = items.get("properties").and_then(|properties| properties.get(name)) else {
            continue;
        };
        let at = field.child("properties").key(name);
        let required = list(items, "required").any(|required| required == name);
        if !required && property.get("default").is_none_or(Value::is_null) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&at.child("default"), detail));
        }
        if flag(property, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&at.child("nullable"), detail));
        }
    }
}

/// What can be said of rules without compiling them.
fn rule_texts(node: &Value, field: &Path, errors: &mut Vec<FieldError>) {
    let breaks = |text: &str| text.contains(['\n', '\r']);
    for (index, rule) in list(node, "x-kubernetes-validations").enumerate() {
        let at = field.child("x-kubernetes-validations").index(index);
        let (source, message, path) = (text(rule, "rule"), text(rule, "message"), text(rule, "fieldPath"));
        let bare = message.trim();
        if source.trim().is_empty() {
            errors.push(FieldError::required(&at.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && bare.is_empty() {
            errors.push(FieldError::invalid(&at.child("message"), message, "must be non-empty if specified"));
        } else if breaks(bare) {
            errors.push(FieldError::invalid(&at.child("message"), message, "must not contain line breaks"));
        } else if breaks(source.trim()) && bare.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(&at.child("message"), detail));
        }
        let expression = text(rule, "messageExpression");
        if !expression.is_empty() && expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(&at.child("messageExpression"), detail));
        }
        if let Some(reason) =
            rule.get("reason").and_then(Value::as_str).filter(|reason| !REASONS.contains(reason))
        {
            errors.push(FieldError::not_supported(&at.child("reason"), reason, REASONS));
        }
        if !path.is_empty() && path.trim().is_empty() {
            errors.push(FieldError::invalid(&at.child("fieldPath"), path, "must be non-empty if specified"));
        }
        if breaks(path) {
            errors.push(FieldError::invalid(&at.child("fieldPath"), path, "must not contain line breaks"));
        }
        if !path.is_empty() && !crate::field_path::is_field_path(path, node) {
            errors.push(FieldError::invalid(&at.child("fieldPath"), path, "must be a valid path"));
        }
    }
}
