//! Validation of a finished object: metadata, schema, CEL rules, rules of the kind.

use aphex_schema::custom;
use aphex_schema::error::FieldError;
use serde_json::Value;

use crate::builtin;
use crate::call::Call;
use crate::metadata;
use crate::status::Status;
use crate::strategy::NameRule;

/// Refuses a new object that breaks a rule.
pub(super) fn check_create(call: &Call, object: &Value) -> Result<(), Status> {
    let resource = &call.resource;
    let mut errors = metadata::validate(object, resource, resource.strategy.names);
    match resource.custom() {
        Some(kind) => errors.extend(custom::check(object, None, &kind.schema, &kind.rules)),
        None => errors.extend(builtin::validate(resource, object)),
    }
    finish(call, object, errors)
}

/// Refuses a changed object that breaks a rule.
pub(super) fn check_update(call: &Call, object: &Value, old: &Value) -> Result<(), Status> {
    let resource = &call.resource;
    // A name that was accepted once stays acceptable, whatever the rules have become.
    let mut errors = metadata::validate(object, resource, NameRule::PathSegment);
    let changes = metadata::validate_update(object, old);
    // The generic rules and those of each kind both look at it: clients are told twice, in the causes.
    errors.extend(changes.clone());
    errors.extend(changes);
    match resource.custom() {
        Some(kind) => errors.extend(custom::check(object, Some(old), &kind.schema, &kind.rules)),
        None => errors.extend(builtin::validate_update(resource, call.subresource(), object, old)),
    }
    finish(call, object, errors)
}

fn finish(call: &Call, object: &Value, errors: Vec<FieldError>) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(call.invalid(object, errors)) }
}
