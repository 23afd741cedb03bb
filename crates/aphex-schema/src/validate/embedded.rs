//! Resources embedded in custom resources: `apiVersion`, `kind` and the name in `metadata`
//! (`k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta`).

use aphex_cel::pattern;
use serde_json::{Map, Value};

use crate::error::FieldError;
use crate::model::{Additional, Typed};
use crate::path::{Path, Trail};
use crate::validate::names;

const DNS_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";

/// Checks every embedded resource; the root itself only if `root_too`.
pub fn embedded_resources(
    object: &Value,
    schema: Typed<'_>,
    field: &Path,
    root_too: bool,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    visit(object, schema, Trail::At(field), root_too, &mut errors);
    errors
}

fn visit(value: &Value, typed: Typed<'_>, field: Trail<'_>, resource: bool, errors: &mut Vec<FieldError>) {
    let schema = typed.schema();
    match value {
        Value::Object(map) => {
            if resource || schema.embedded_resource {
                check(map, &field.path(), errors);
            }
            for (name, value) in map {
                if let Some(property) = schema.properties.get(name) {
                    visit(value, typed.at(property), Trail::Field(&field, name), false, errors);
                } else if let Additional::Each(each) = &schema.additional {
                    visit(value, typed.at(each), Trail::Key(&field, name), false, errors);
                }
            }
        }
        Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                if let Some(items) = typed.items() {
                    visit(element, items, Trail::Index(&field, index), false, errors);
                }
            }
        }
        _ => {}
    }
}

fn check(map: &Map<String, Value>, field: &Path, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let field = field.child(name);
        match map.get(name) {
            None => errors.push(FieldError::required(&field, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(&field, "", "must not be empty"));
            }
            Some(Value::String(text)) => {
                let fault = if name == "kind" { kind_fault(text) } else { version_fault(text) };
                errors.extend(fault.map(|fault| FieldError::invalid(&field, text.as_str(), fault)));
            }
            Some(other) => errors.push(FieldError::invalid(&field, other.clone(), "must be a string")),
        }
    }
    let Some(metadata) = map.get("metadata") else { return };
    let field = field.child("metadata");
    if !metadata.is_object() {
        errors.push(FieldError::invalid(&field, metadata.clone(), "must be an object"));
        return;
    }
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut blame = |key: &str, value: &str, faults: Vec<String>| {
        let errors_of = faults.into_iter().map(|fault| FieldError::invalid(&field.child(key), value, fault));
        errors.extend(errors_of);
    };
    blame("name", text("name"), segment_faults(text("name")));
    if !text("namespace").is_empty() {
        blame("namespace", text("namespace"), names::label_faults(text("namespace")));
    }
    for (key, value) in metadata.get("labels").and_then(Value::as_object).into_iter().flatten() {
        blame("labels", key, names::qualified_name_faults(key));
        let value = value.as_str().unwrap_or_default();
        blame("labels", value, names::label_value_faults(value));
    }
    for key in metadata.get("annotations").and_then(Value::as_object).into_iter().flat_map(|map| map.keys()) {
        blame("annotations", key, names::qualified_name_faults(&key.to_lowercase()));
    }
}

fn version_fault(text: &str) -> Option<String> {
    (text.matches('/').count() > 1).then(|| format!("unexpected GroupVersion string: {text}"))
}

fn kind_fault(kind: &str) -> Option<String> {
    let lower = kind.to_lowercase();
    let mut faults = Vec::new();
    if lower.len() > 63 {
        faults.push("must be no more than 63 characters".to_owned());
    }
    if !pattern::compile(&format!("^{DNS_1035}$")).is_ok_and(|regex| regex.is_match(&lower)) {
        faults.push(format!(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
             validation is '{DNS_1035}')"
        ));
    }
    (!faults.is_empty())
        .then(|| format!("may have mixed case, but should otherwise match: {}", faults.join(",")))
}

/// What a name must not be, so that it can stand in a URL.
fn segment_faults(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    let held = ["/", "%"].into_iter().filter(|part| name.contains(part));
    held.map(|part| format!("may not contain '{part}'")).collect()
}
