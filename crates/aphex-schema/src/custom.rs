//! The whole validation of a custom resource, in the order of kube-apiserver.
//!
//! Schema, embedded resources, list types, rules; the last only if what came before does not make them pointless.
//! Validation of `metadata` and of names is the API server's.

use serde_json::Value;

use crate::error::{FieldError, FieldErrorKind};
use crate::model::{Definitions, Schema, Typed};
use crate::path::Path;
use crate::rules::Rules;
use crate::validate;

/// Every reason to refuse a custom resource; `old` is its former state on an update.
pub fn check(object: &Value, old: Option<&Value>, schema: &Schema, rules: &Rules) -> Vec<FieldError> {
    let definitions = Definitions::none();
    let typed = Typed::new(schema, &definitions);
    let root = Path::root();
    let mut errors = match old {
        Some(old) => validate::validate_update(object, old, typed, &root),
        None => validate::validate(object, typed, &root),
    };
    errors.extend(validate::embedded_resources(object, typed, &root, false));
    // Lists that were wrong before may stay so.
    if old.is_none_or(|old| validate::list_types(old, typed, &root).is_empty()) {
        errors.extend(validate::list_types(object, typed, &root));
    }
    if rules.is_empty() {
        return errors;
    }
    if errors.iter().any(makes_rules_pointless) {
        let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                      errors to complete validation";
        errors.push(FieldError::invalid(&root, Value::Null, detail));
        return errors;
    }
    errors.extend(rules.check(object, old));
    errors
}

fn makes_rules_pointless(error: &FieldError) -> bool {
    use FieldErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}
