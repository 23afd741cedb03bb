//! What policies and bindings must look like: `pkg/apis/admissionregistration/validation` of Kubernetes 1.35.

mod resources;

use std::collections::{HashMap, HashSet};

use aphex_cel::Type;
use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use aphex_schema::validate::names;
use serde_json::Value;

use super::compile::{self, Composed, Gives, MOST_LEVELS, Scope};
use crate::names as segments;
use crate::object;
use crate::resource::split_api_version;

const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
const ACTIONS: &[&str] = &["Audit", "Deny", "Warn"];
const MOST_CONDITIONS: usize = 64;
const MOST_ANNOTATIONS: usize = 20;
const LONGEST_VALUE_EXPRESSION: usize = 5 * 1024;

type Errors = Vec<FieldError>;

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object::at(object, path).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    object::at(object, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn part<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    object::at(object, path).filter(|value| !value.is_null())
}

/// Everything wrong with a policy.
pub(super) fn policy(policy: &Value, old: Option<&Value>) -> Errors {
    let path = Path::root().child("spec");
    let spec = policy.get("spec").unwrap_or(&Value::Null);
    let mut errors = Errors::new();
    one_of(spec, "failurePolicy", &["Fail", "Ignore"], &path, &mut errors);
    let params = part(spec, "paramKind");
    if let Some(kind) = params {
        param_kind(kind, &path.child("paramKind"), &mut errors);
    }
    let scope = Scope { params: params.is_some(), authorizer: true };
    match part(spec, "matchConstraints") {
        None => errors.push(FieldError::required(&path.child("matchConstraints"), "")),
        Some(constraints) => {
            let path = path.child("matchConstraints");
            resources::check(constraints, &path, &mut errors);
            if items(constraints, "resourceRules").is_empty() {
                errors.push(FieldError::required(&path.child("resourceRules"), ""));
            }
        }
    }
    let unchanged = |old: &Value| {
        ["spec.matchConditions", "spec.paramKind"]
            .iter()
            .all(|at| object::at(old, at) == object::at(policy, at))
    };
    if !old.is_some_and(unchanged) {
        conditions(spec, scope, &path.child("matchConditions"), &mut errors);
    }
    let composed = variables(spec, scope, &path.child("variables"), &mut errors);
    let given = Given { scope, composed: &composed };
    if items(spec, "validations").is_empty() && items(spec, "auditAnnotations").is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required(&path.child("validations"), why));
        errors.push(FieldError::required(&path.child("auditAnnotations"), why));
        return errors;
    }
    for (index, rule) in items(spec, "validations").iter().enumerate() {
        validation(rule, given, &path.child("validations").index(index), &mut errors);
    }
    annotations(policy, given, &path.child("auditAnnotations"), &mut errors);
    errors
}

/// Everything wrong with the status of a policy.
pub(super) fn status(policy: &Value) -> Errors {
    let path = Path::root().child("status").child("typeChecking").child("expressionWarnings");
    let mut errors = Errors::new();
    for (index, warning) in items(policy, "status.typeChecking.expressionWarnings").iter().enumerate() {
        for field in ["warning", "fieldRef"] {
            if text(warning, field).trim().is_empty() {
                errors.push(FieldError::required(&path.index(index).child(field), ""));
            }
        }
    }
    errors
}

/// Everything wrong with a binding.
pub(super) fn binding(binding: &Value) -> Errors {
    let path = Path::root().child("spec");
    let spec = binding.get("spec").unwrap_or(&Value::Null);
    let mut errors = Errors::new();
    let name = text(spec, "policyName");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("policyName"), ""));
    }
    let faults = if name.is_empty() { Vec::new() } else { names::subdomain_faults(name) };
    errors.extend(faults.into_iter().map(|why| FieldError::invalid(&path.child("policyName"), name, why)));
    if let Some(reference) = part(spec, "paramRef") {
        param_ref(reference, &path.child("paramRef"), &mut errors);
    }
    if let Some(matched) = part(spec, "matchResources") {
        resources::check(matched, &path.child("matchResources"), &mut errors);
    }
    actions(spec, &path.child("validationActions"), &mut errors);
    errors
}

/// A text that must be given and one of these.
fn one_of(object: &Value, field: &str, allowed: &[&str], path: &Path, errors: &mut Errors) {
    let path = path.child(field);
    match object.get(field).and_then(Value::as_str) {
        None => errors.push(FieldError::required(&path, "")),
        Some(value) if !allowed.contains(&value) => {
            errors.push(FieldError::not_supported(&path, value, allowed));
        }
        Some(_) => {}
    }
}

fn param_kind(kind: &Value, path: &Path, errors: &mut Errors) {
    let api_version = text(kind, "apiVersion");
    let at = path.child("apiVersion");
    let (group, version) = split_api_version(api_version);
    if api_version.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if version.contains('/') {
        let why = format!("unexpected GroupVersion string: {api_version}");
        errors.push(FieldError::invalid(&at, api_version, why));
    } else {
        let faults = if group.is_empty() { Vec::new() } else { names::subdomain_faults(group) };
        if !faults.is_empty() {
            errors.push(FieldError::invalid(&at, group, faults.join(",")));
        }
        let faults = segments::label_1035(version);
        if version.is_empty() {
            errors.push(FieldError::invalid(&at, api_version, "version must be specified"));
        } else if !faults.is_empty() {
            errors.push(FieldError::invalid(&at, version, faults.join(",")));
        }
    }
    let name = text(kind, "kind");
    let faults = segments::label_1035(&name.to_lowercase());
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("kind"), ""));
    } else if !faults.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", faults.join(","));
        errors.push(FieldError::invalid(&path.child("kind"), name, why));
    }
}

fn param_ref(reference: &Value, path: &Path, errors: &mut Errors) {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let (name, selector) = (text(reference, "name"), part(reference, "selector"));
    if !name.is_empty() {
        let faults = segments::path_segment(name).into_iter();
        errors.extend(faults.map(|why| FieldError::invalid(&path.child("name"), name, why)));
        if selector.is_some() {
            errors.push(FieldError::forbidden(&path.child("name"), EXCLUSIVE));
        }
    }
    if let Some(selector) = selector {
        aphex_kinds::check_selector(selector, &path.child("selector"), errors);
        if !name.is_empty() {
            errors.push(FieldError::forbidden(&path.child("selector"), EXCLUSIVE));
        }
    }
    if name.is_empty() && selector.is_none() {
        errors.push(FieldError::required(path, "one of name or selector must be specified"));
    }
    one_of(reference, "parameterNotFoundAction", &["Deny", "Allow"], path, errors);
}

fn actions(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, action) in items(spec, "validationActions").iter().filter_map(Value::as_str).enumerate() {
        if !ACTIONS.contains(&action) {
            errors.push(FieldError::not_supported(&path.index(index), action, ACTIONS));
        }
        if !seen.insert(action) {
            errors.push(FieldError::duplicate(&path.index(index), action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                   response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, spec["validationActions"].clone(), why));
    }
    if seen.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
    }
}

/// An expression and what it is compiled with.
#[derive(Clone, Copy)]
struct Given<'a> {
    scope: Scope,
    composed: &'a [Composed],
}

/// The fault of an expression that does not compile, or gives something else; it is shown as it was written.
fn expression(source: &str, shown: &str, gives: Gives, given: Given<'_>, path: &Path, errors: &mut Errors) {
    if let Err(why) = compile::compile(source, gives, given.scope, given.composed) {
        errors.push(FieldError::invalid(path, shown, why));
    }
}

fn conditions(spec: &Value, scope: Scope, path: &Path, errors: &mut Errors) {
    let list = items(spec, "matchConditions");
    if list.len() > MOST_CONDITIONS {
        errors.push(FieldError::too_many(path, list.len(), MOST_CONDITIONS as u64));
    }
    let mut seen = HashSet::new();
    for (index, condition) in list.iter().enumerate() {
        let path = path.index(index);
        let source = text(condition, "expression").trim();
        if source.is_empty() {
            errors.push(FieldError::required(&path.child("expression"), ""));
        } else {
            let given = Given { scope, composed: &[] };
            expression(source, source, Gives::Bool, given, &path.child("expression"), errors);
        }
        let name = text(condition, "name");
        let at = path.child("name");
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let faults = names::qualified_name_faults(name).into_iter();
        errors.extend(faults.map(|why| FieldError::invalid(&at, name, why)));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
}

/// Checks variables; gives the names that later expressions may use.
fn variables(spec: &Value, scope: Scope, path: &Path, errors: &mut Errors) -> Vec<Composed> {
    let mut composed: Vec<Composed> = Vec::new();
    let mut levels: HashMap<String, usize> = HashMap::new();
    for (index, variable) in items(spec, "variables").iter().enumerate() {
        let path = path.index(index);
        let name = text(variable, "name");
        if name.trim().is_empty() {
            errors.push(FieldError::required(&path.child("name"), "name is not specified"));
        } else if !is_identifier(name) {
            errors.push(FieldError::invalid(&path.child("name"), name, "must be a valid CEL identifier"));
        }
        let source = text(variable, "expression");
        let at = path.child("expression");
        if source.trim().is_empty() {
            errors.push(FieldError::required(&at, "expression is not specified"));
            continue;
        }
        let mut kind = Type::Dyn;
        match compile::compile(source, Gives::Anything, scope, &composed) {
            Err(why) => errors.push(FieldError::invalid(&at, source, why)),
            Ok(checked) => {
                kind = checked.output().clone();
                let uses = |one: &&Composed| checked.program().uses(&format!("variables.{}", one.name));
                let named = composed.iter().filter(uses);
                let level =
                    1 + named.filter_map(|one| levels.get(&one.name)).max().copied().unwrap_or_default();
                if level > MOST_LEVELS {
                    let why =
                        format!("variables may not build on each other over more than {MOST_LEVELS} levels");
                    errors.push(FieldError::invalid(&at, source, why));
                }
                levels.insert(name.to_owned(), level);
            }
        }
        composed.push(Composed { name: name.to_owned(), kind });
    }
    composed
}

fn is_identifier(name: &str) -> bool {
    let start = name.chars().next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic());
    start
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        && !aphex_cel::reserved_words().contains(&name)
}

fn validation(rule: &Value, given: Given<'_>, path: &Path, errors: &mut Errors) {
    let source = text(rule, "expression");
    let at = path.child("expression");
    if source.trim().is_empty() {
        errors.push(FieldError::required(&at, "expression is not specified"));
    } else {
        expression(source, source, Gives::Bool, given, &at, errors);
    }
    let maker = text(rule, "messageExpression");
    let at = path.child("messageExpression");
    if !maker.is_empty() && maker.trim().is_empty() {
        errors.push(FieldError::invalid(&at, maker, "must be non-empty if specified"));
    } else if !maker.is_empty() {
        let scope = Scope { authorizer: false, ..given.scope };
        expression(maker, maker, Gives::Text, Given { scope, ..given }, &at, errors);
    }
    let message = text(rule, "message");
    let at = path.child("message");
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(&at, message, "must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(&at, message, "must not contain line breaks"));
    }
    if let Some(reason) = rule.get("reason").and_then(Value::as_str).filter(|it| !REASONS.contains(it)) {
        errors.push(FieldError::not_supported(&path.child("reason"), reason, REASONS));
    }
}

fn annotations(policy: &Value, given: Given<'_>, path: &Path, errors: &mut Errors) {
    let list = items(policy, "spec.auditAnnotations");
    if list.len() > MOST_ANNOTATIONS {
        let why = format!("must not have more than {MOST_ANNOTATIONS} auditAnnotations");
        errors.push(FieldError::invalid(path, list.to_vec(), why));
    }
    let mut seen = HashSet::new();
    for (index, annotation) in list.iter().enumerate() {
        let path = path.index(index);
        let (key, at) = (text(annotation, "key"), path.child("key"));
        let full = format!("{}/{key}", object::name(policy));
        let faults = names::qualified_name_faults(&full).into_iter();
        errors.extend(faults.map(|why| FieldError::invalid(&at, full.as_str(), why)));
        let (source, place) = (text(annotation, "valueExpression"), path.child("valueExpression"));
        if source.trim().is_empty() {
            errors.push(FieldError::required(&place, "valueExpression is not specified"));
        } else if source.trim().len() > LONGEST_VALUE_EXPRESSION {
            let why = format!("must not exceed {LONGEST_VALUE_EXPRESSION} bytes in length");
            errors.push(FieldError::required(&place, why));
        } else {
            expression(source.trim(), source, Gives::TextOrNull, given, &place, errors);
        }
        if !seen.insert(key) {
            errors.push(FieldError::duplicate(&at, key));
        }
    }
}
