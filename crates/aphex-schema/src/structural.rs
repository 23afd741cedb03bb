//! Reading the `openAPIV3Schema` of a CRD and the rules it must obey.
//!
//! Rules and texts are those of `k8s.io/apiextensions-apiserver` (`pkg/apiserver/schema/validation.go` for what
//! makes a schema structural, `pkg/apis/apiextensions/validation` for the rest). Kubernetes reports paths below
//! `spec.validation` when every version of a CRD has the same schema; which prefix to use is the caller's choice.

mod completeness;
mod defaults;
mod form;
mod invariants;

use serde::Deserialize;
use serde_json::Value;

use crate::error::FieldError;
use crate::model::Schema;
use crate::path::Path;
use crate::read::Written;
use crate::rules;

/// What to know beside the schema itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the schema sits: `spec.versions[0].schema.openAPIV3Schema`.
    pub field: Path,
    /// The version has a status subresource, which narrows what the root may hold.
    pub status_subresource: bool,
    /// The schema is as it was stored: its rules may cost what they cost then.
    pub unchanged: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            field: Path::parse("spec.validation.openAPIV3Schema"),
            status_subresource: false,
            unchanged: false,
        }
    }
}

/// Reads a schema and checks everything Kubernetes checks of it.
pub fn parse(written: &Value) -> Result<Schema, Vec<FieldError>> {
    parse_at(written, &Options::default())
}

/// As [`parse`], for a schema at a given place.
pub fn parse_at(written: &Value, options: &Options) -> Result<Schema, Vec<FieldError>> {
    let field = &options.field;
    let mut errors = Vec::new();
    form::root(written, options, &mut errors);
    let of_root = errors.len();
    let unsupported = form::unsupported(written);
    let mut structural = Vec::new();
    if unsupported.is_none() {
        invariants::check(written, invariants::Level::Root, field, &mut structural);
        completeness::check(written, field, &mut structural);
        structural.sort_by_key(ToString::to_string);
    }
    let is_structural = unsupported.is_none() && structural.is_empty();
    errors.append(&mut structural);
    let schema = match read(written) {
        Ok(schema) => schema,
        Err(cause) => {
            form::check(written, field, &mut errors);
            if errors.is_empty() {
                errors.push(FieldError::invalid(field, "", cause));
            }
            return Err(errors);
        }
    };
    if is_structural {
        defaults::check(&schema, field, &mut errors);
    }
    // Rules are looked at unless structure or defaults are wrong.
    let before = errors.len();
    let sound = is_structural && before == of_root;
    form::check(written, field, &mut errors);
    if sound {
        let options = rules::Options { field: field.clone(), unchanged: options.unchanged };
        let found = rules::check(&schema, &options, &errors[before..]);
        errors.extend(found);
    }
    if errors.is_empty() {
        errors.extend(unsupported.map(|cause| FieldError::invalid(field, "", cause)));
    }
    if errors.is_empty() { Ok(schema) } else { Err(errors) }
}

/// Reads a schema without checking its rules: for CRDs that were accepted before.
pub fn read(written: &Value) -> Result<Schema, String> {
    Written::deserialize(written).map(Schema::from).map_err(|error| error.to_string())
}

/// A string in a schema node, empty if absent.
fn text<'v>(node: &'v Value, key: &str) -> &'v str {
    node.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a key is given and not Go's zero value.
fn given(node: &Value, key: &str) -> bool {
    match node.get(key) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => {
            !map.is_empty() || matches!(key, "items" | "not" | "additionalProperties" | "default")
        }
        Some(_) => true,
    }
}

fn flag(node: &Value, key: &str) -> bool {
    node.get(key) == Some(&Value::Bool(true))
}

fn list<'v>(node: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    node.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Properties in alphabetic order.
fn properties(node: &Value) -> Vec<(&str, &Value)> {
    let map = node.get("properties").and_then(Value::as_object);
    let mut all: Vec<_> =
        map.into_iter().flatten().map(|(name, property)| (name.as_str(), property)).collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

/// The schema of `additionalProperties`, if it is one.
fn additional(node: &Value) -> Option<&Value> {
    node.get("additionalProperties").filter(|additional| additional.is_object())
}

fn has_additional(node: &Value) -> bool {
    node.get("additionalProperties").is_some_and(|additional| !additional.is_null())
}

fn items(node: &Value) -> Option<&Value> {
    node.get("items").filter(|items| items.is_object())
}
