//! Validation of a finished object: metadata, schema, CEL rules, rules of the kind.

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use aphex_schema::validate;
use serde_json::Value;

use crate::builtin;
use crate::call::Call;
use crate::metadata;
use crate::object;
use crate::resource::Custom;
use crate::status::Status;
use crate::strategy::NameRule;

/// Refuses a new object that breaks a rule.
pub(super) fn check_create(call: &Call, object: &Value) -> Result<(), Status> {
    let resource = &call.resource;
    let mut errors = metadata::validate(object, resource, resource.strategy.names);
    match resource.custom() {
        Some(custom) => errors.extend(custom_errors(custom, object, None)),
        None => errors.extend(builtin::validate(resource, object)),
    }
    finish(call, object, errors)
}

/// Refuses a changed object that breaks a rule.
pub(super) fn check_update(call: &Call, object: &Value, old: &Value) -> Result<(), Status> {
    let resource = &call.resource;
    // A name that was accepted once stays acceptable, whatever the rules have become.
    let mut errors = metadata::validate(object, resource, NameRule::PathSegment);
    errors.extend(metadata::validate_update(object, old));
    let unspecified = object::resource_version(object).is_empty();
    if unspecified && !resource.strategy.unconditional_update {
        let path = Path::root().child("metadata").child("resourceVersion");
        errors.push(FieldError::invalid(&path, 0, "must be specified for an update"));
    }
    match resource.custom() {
        Some(custom) => errors.extend(custom_errors(custom, object, Some(old))),
        None => errors.extend(builtin::validate_update(resource, object, old)),
    }
    finish(call, object, errors)
}

fn finish(call: &Call, object: &Value, errors: Vec<FieldError>) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(call.invalid(object, errors)) }
}

fn custom_errors(custom: &Custom, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let root = Path::root();
    let typed = custom.typed();
    let mut errors = match old {
        Some(old) => validate::validate_update(object, old, typed, &root),
        None => validate::validate(object, typed, &root),
    };
    // CEL on an object of the wrong shape would only repeat the problem in other words.
    if errors.is_empty() {
        errors.extend(custom.rules.check(object, old));
    }
    errors
}
