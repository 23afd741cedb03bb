//! Events: `ValidateEventCreate` of 1.35. Those of `events.k8s.io` are held to more than those of the core group.

use aphex_schema::validate::names;
use aphex_schema::{FieldError, Path};
use serde_json::Value;

use crate::fields::{at, has, int, text};

/// Longest action, reason and instance.
const SHORT: usize = 128;
/// Longest message.
const LONG: usize = 1024;

/// Names of an event's fields in one of its groups; errors are told with those of the core group.
struct Names {
    about: &'static str,
    message: &'static str,
    controller: &'static str,
    controller_told: &'static str,
}

const CORE: Names = Names {
    about: "involvedObject.namespace",
    message: "message",
    controller: "reportingComponent",
    controller_told: "reportingComponent",
};
const NEW: Names = Names {
    about: "regarding.namespace",
    message: "note",
    controller: "reportingController",
    controller_told: "reportingController",
};

/// An event of the core group.
pub(super) fn core(event: &Value, errors: &mut Vec<FieldError>) {
    common(event, &CORE, errors);
}

/// An event of `events.k8s.io`.
pub(super) fn new(event: &Value, errors: &mut Vec<FieldError>) {
    common(event, &NEW, errors);
    let root = Path::root();
    if has(event, "series") {
        if int(event, "series.count") < 2 {
            errors.push(FieldError::invalid(&root.child("series.count"), "", "should be at least 2"));
        }
        if !has(event, "series.lastObservedTime") {
            errors.push(FieldError::required(&root.child("series.lastObservedTime"), ""));
        }
    }
    if !has(event, "eventTime") {
        errors.push(FieldError::required(&root.child("eventTime"), ""));
    }
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(&root.child("type"), "", format!("has invalid value: {kind}")));
    }
    let set = |field: &str| match at(event, field) {
        Value::Null => false,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::Object(source) => source.values().any(|value| value != ""),
        _ => true,
    };
    for (field, told) in [
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("deprecatedSource", "source"),
    ] {
        if set(field) {
            errors.push(FieldError::invalid(&root.child(told), "", "needs to be unset"));
        }
    }
}

fn common(event: &Value, fields: &Names, errors: &mut Vec<FieldError>) {
    let (about, own) = (text(event, fields.about), text(event, "metadata.namespace"));
    let place = Path::root().child("involvedObject").child("namespace");
    let elsewhere = |errors: &mut Vec<FieldError>| {
        errors.push(FieldError::invalid(&place, about, "does not match event.namespace"));
    };
    if has(event, "eventTime") {
        if about.is_empty() && !matches!(own, "default" | "kube-system") {
            elsewhere(errors);
        }
        reporter(event, fields, errors);
    } else if about != own && !(about.is_empty() && own == "default") {
        // Events about objects without a namespace are kept in `default`.
        elsewhere(errors);
    }
}

/// What an event with a time must say of who saw it and what was done.
fn reporter(event: &Value, fields: &Names, errors: &mut Vec<FieldError>) {
    let root = Path::root();
    let path = root.child(fields.controller_told);
    let controller = text(event, fields.controller);
    if controller.is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    let faults = names::qualified_name_faults(controller).into_iter();
    errors.extend(faults.map(|why| FieldError::invalid(&path, controller, why)));
    for field in ["reportingInstance", "action", "reason"] {
        let value = text(event, field);
        if value.is_empty() {
            errors.push(FieldError::required(&root.child(field), ""));
        }
        too_long(value, SHORT, &root.child(field), errors);
    }
    too_long(text(event, fields.message), LONG, &root.child("message"), errors);
}

fn too_long(value: &str, most: usize, path: &Path, errors: &mut Vec<FieldError>) {
    if value.len() > most {
        errors.push(FieldError::invalid(path, "", format!("can have at most {most} characters")));
    }
}
