//! What a definition must look like: `pkg/apis/apiextensions/validation/validation.go` of apiextensions-apiserver.

use std::collections::BTreeSet;

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use aphex_schema::structural;
use serde_json::{Value, json};

use crate::names;
use crate::object;

const APPROVED: &str = "api-approved.kubernetes.io";
const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] =
    &["int32", "int64", "float", "double", "byte", "date", "date-time", "password"];

/// Everything wrong with a definition.
pub fn validate(definition: &Value) -> Vec<FieldError> {
    validate_spec(definition, None)
}

fn validate_spec(definition: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::root().child("spec");
    let text = |path: &str| object::at(definition, path).and_then(Value::as_str).unwrap_or_default();
    let (group, plural) = (text("spec.group"), text("spec.names.plural"));
    let name = object::name(definition);
    if name != format!("{plural}.{group}") {
        let path = Path::root().child("metadata").child("name");
        errors.push(FieldError::invalid(&path, name, "must be spec.names.plural+\".\"+spec.group"));
    }
    check_group(definition, group, &spec.child("group"), &mut errors);
    match text("spec.scope") {
        "" => errors.push(FieldError::required(&spec.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => {
            errors.push(FieldError::not_supported(&spec.child("scope"), other, &["Cluster", "Namespaced"]));
        }
    }
    check_versions(definition, &spec.child("versions"), &mut errors);
    check_names(definition, &spec.child("names"), &mut errors);
    match text("spec.conversion.strategy") {
        "None" | "Webhook" => {}
        other => {
            let path = spec.child("conversion").child("strategy");
            errors.push(FieldError::not_supported(&path, other, &["None", "Webhook"]));
        }
    }
    check_schemas(definition, old, &spec, &mut errors);
    errors
}

/// Everything wrong with a change of a definition.
pub fn validate_update(definition: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = validate_spec(definition, Some(old));
    let established = super::names::is_established(old);
    let mut fixed = vec!["spec.group", "spec.names.plural"];
    if established {
        fixed.extend(["spec.scope", "spec.names.kind"]);
    }
    for path in fixed {
        let (new, before) = (object::at(definition, path), object::at(old, path));
        if new != before {
            let value = new.cloned().unwrap_or_default();
            errors.push(FieldError::invalid(&Path::parse(path), value, "field is immutable"));
        }
    }
    let versions = version_names(definition);
    for (i, stored) in object::strings(object::at(old, "status.storedVersions")).iter().enumerate() {
        if !versions.contains(&stored.as_str()) {
            let path = Path::parse("status").child("storedVersions").index(i);
            let why = format!(
                "missing from spec.versions; {stored} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {stored} and removes \
                 {stored} from status.storedVersions"
            );
            errors.push(FieldError::invalid(&path, stored.as_str(), why));
        }
    }
    errors
}

fn check_group(definition: &Value, group: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if group.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let problems = names::subdomain(group);
    errors.extend(problems.into_iter().map(|why| FieldError::invalid(path, group, why)));
    if !group.contains('.') {
        errors.push(FieldError::invalid(path, group, "should be a domain with at least one dot"));
    }
    let protected =
        ["k8s.io", "kubernetes.io"].iter().any(|p| group == *p || group.ends_with(&format!(".{p}")));
    let approved = object::meta(definition, "annotations").and_then(|a| a.get(APPROVED)).is_some();
    if protected && !approved {
        let path = Path::parse("metadata.annotations").key(APPROVED);
        let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                   https://github.com/kubernetes/enhancements/pull/1111";
        errors.push(FieldError::required(&path, why));
    }
}

fn versions(definition: &Value) -> &[Value] {
    object::at(definition, "spec.versions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn version_names(definition: &Value) -> Vec<&str> {
    versions(definition).iter().filter_map(|version| version["name"].as_str()).collect()
}

fn check_versions(definition: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let all = versions(definition);
    let storages = all.iter().filter(|version| version["storage"] == true).count();
    if storages != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, as_go(all), why));
    }
    if storages == 0 {
        let path = Path::parse("status").child("storedVersions");
        errors.push(FieldError::invalid(&path, Value::Null, "must have at least one stored version"));
    }
    let columns_at = |version: &Path| {
        // Columns that all versions share are checked once, above the versions.
        let same = all
            .windows(2)
            .all(|pair| pair[0]["additionalPrinterColumns"] == pair[1]["additionalPrinterColumns"]);
        if same { Path::parse("spec") } else { version.clone() }.child("additionalPrinterColumns")
    };
    let mut seen = BTreeSet::new();
    let mut unique = true;
    for (i, version) in all.iter().enumerate() {
        let at = path.index(i);
        let name = version["name"].as_str().unwrap_or_default();
        let problems = names::label_1035(name);
        errors.extend(problems.into_iter().map(|why| FieldError::invalid(&at.child("name"), name, why)));
        unique &= seen.insert(name);
        check_columns(version, &columns_at(&at), errors);
        check_scale(version, &at.child("subresources").child("scale"), errors);
        if version.get("deprecationWarning").is_some() && version["deprecated"] != true {
            let why = "can only be set for deprecated versions";
            let value = version["deprecationWarning"].clone();
            errors.push(FieldError::invalid(&at.child("deprecationWarning"), value, why));
        }
    }
    if !unique {
        errors.push(FieldError::invalid(path, as_go(all), "must contain unique version names"));
    }
}

/// Versions as Go prints its internal type in messages; what differs between them is elsewhere then.
fn as_go(versions: &[Value]) -> Value {
    let flag = |version: &Value, field: &str| version[field] == true;
    let all = versions.iter().map(|version| {
        json!({
            "Name": version["name"], "Served": flag(version, "served"), "Storage": flag(version, "storage"),
            "Deprecated": flag(version, "deprecated"), "DeprecationWarning": version["deprecationWarning"],
            "Schema": null, "Subresources": null, "AdditionalPrinterColumns": null, "SelectableFields": null,
        })
    });
    Value::Array(all.collect())
}

fn check_columns(version: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (i, column) in version["additionalPrinterColumns"].as_array().into_iter().flatten().enumerate() {
        let at = path.index(i);
        let text = |field: &str| column[field].as_str().unwrap_or_default();
        if text("name").is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        match text("type") {
            "" => {
                let why = format!("must be one of {}", COLUMN_TYPES.join(","));
                errors.push(FieldError::required(&at.child("type"), why));
            }
            kind if !COLUMN_TYPES.contains(&kind) => {
                let why = format!("must be one of {}", COLUMN_TYPES.join(","));
                errors.push(FieldError::invalid(&at.child("type"), kind, why));
            }
            _ => {}
        }
        let format = text("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(&at.child("format"), format, why));
        }
        check_json_path(text("jsonPath"), &at.child("JSONPath"), errors);
    }
}

fn check_scale(version: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(scale) = version["subresources"].get("scale").filter(|scale| !scale.is_null()) else { return };
    for (field, head) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let at = path.child(field);
        match scale[field].as_str().unwrap_or_default() {
            "" => errors.push(FieldError::required(&at, "")),
            text if !text.starts_with(head) => {
                errors.push(FieldError::invalid(
                    &at,
                    text,
                    format!("should be a json path under {}", head.trim_end_matches('.')),
                ));
            }
            text => check_json_path(text, &at, errors),
        }
    }
}

fn check_json_path(text: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !text.starts_with('.') {
        errors.push(FieldError::invalid(path, text, "must be a simple json path starting with ."));
    }
}

fn check_names(definition: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let text = |field: &str| {
        object::at(definition, &format!("spec.names.{field}")).and_then(Value::as_str).unwrap_or_default()
    };
    for (field, required) in [("plural", true), ("singular", true), ("kind", true), ("listKind", true)] {
        let value = text(field);
        let at = path.child(field);
        if value.is_empty() {
            if required {
                errors.push(FieldError::required(&at, ""));
            }
            continue;
        }
        let lower =
            if matches!(field, "kind" | "listKind") { value.to_lowercase() } else { value.to_owned() };
        for why in names::label_1035(&lower) {
            let why = if lower == value {
                why
            } else {
                format!("may have mixed case, but should otherwise match: {why}")
            };
            errors.push(FieldError::invalid(&at, value, why));
        }
    }
    let kind = text("kind");
    if !kind.is_empty() && kind == text("listKind") {
        errors.push(FieldError::invalid(
            &path.child("listKind"),
            kind,
            "kind and listKind may not be the same",
        ));
    }
    for (i, short) in object::strings(object::at(definition, "spec.names.shortNames")).iter().enumerate() {
        let at = path.child("shortNames").index(i);
        errors.extend(
            names::label_1035(short).into_iter().map(|why| FieldError::invalid(&at, short.as_str(), why)),
        );
    }
}

/// Kubernetes hoists a schema that all versions share to `spec.validation` before it checks.
fn check_schemas(definition: &Value, old: Option<&Value>, spec: &Path, errors: &mut Vec<FieldError>) {
    let all = versions(definition);
    let schema =
        |version: &Value| object::at(version, "schema.openAPIV3Schema").filter(|s| !s.is_null()).cloned();
    let same = all.windows(2).all(|pair| schema(&pair[0]) == schema(&pair[1]));
    let stored = |version: &Value| {
        let before = old.map(versions).unwrap_or_default();
        before.iter().find(|before| before["name"] == version["name"]).and_then(schema)
    };
    for (i, version) in all.iter().enumerate() {
        let own = spec.child("versions").index(i).child("schema").child("openAPIV3Schema");
        let Some(written) = schema(version) else {
            errors.push(FieldError::required(&own, ""));
            continue;
        };
        if same && i > 0 {
            continue;
        }
        let field = if same { spec.child("validation").child("openAPIV3Schema") } else { own };
        let options = structural::Options {
            field,
            status_subresource: version["subresources"].get("status").is_some(),
            unchanged: stored(version).is_some_and(|stored| stored == written),
        };
        errors.extend(structural::parse_at(&written, &options).err().unwrap_or_default());
    }
}
