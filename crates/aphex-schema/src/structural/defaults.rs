//! Defaults must obey the schema they stand in and hold nothing unknown.

use serde_json::Value;

use crate::error::FieldError;
use crate::model::{Definitions, Schema, Typed};
use crate::path::Path;
use crate::prune;
use crate::validate;

/// Checks every default of a schema that is structural.
pub(super) fn check(schema: &Schema, field: &Path, errors: &mut Vec<FieldError>) {
    if let Some(default) = schema.default.as_ref().filter(|default| !default.is_null()) {
        one(default, schema, &field.child("default"), errors);
    }
    if let Some(items) = &schema.items {
        check(items, &field.child("items"), errors);
    }
    for (name, property) in &schema.properties {
        check(property, &field.child("properties").key(name), errors);
    }
}

fn one(default: &Value, schema: &Schema, field: &Path, errors: &mut Vec<FieldError>) {
    let definitions = Definitions::none();
    let typed = Typed::new(schema, &definitions);
    let mut pruned = default.clone();
    let options = prune::Options { resource: schema.embedded_resource, keep: false };
    if !prune::prune(&mut pruned, typed, options).is_empty() {
        errors.push(FieldError::invalid(field, default.clone(), "must not have unknown fields"));
    }
    let embedded = validate::embedded_resources(default, typed, field, schema.embedded_resource);
    if embedded.is_empty() {
        errors.extend(validate::validate(default, typed, field));
    } else {
        errors.extend(embedded);
    }
}
