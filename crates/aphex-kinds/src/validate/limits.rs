//! Quotas, limit ranges and volume claims: everything that counts resources.

use std::collections::HashSet;

use aphex_schema::{FieldError, Path};
use serde_json::{Value, json};

use crate::fields::{at, entries, has, items, text, texts};
use crate::quantity::Quantity;

/// What a quota may limit under a plain name.
const QUOTA: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
/// What is counted in whole objects.
const WHOLE: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];
/// What a quota that only sees some pods may limit.
const POD_COMPUTE: &[&str] =
    &["pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
/// What a quota that only sees some volumes may limit.
const VOLUMES: &[&str] = &["persistentvolumeclaims", "requests.storage"];

/// How many of the limits are about objects that a scope does not see (`IsResourceQuotaScopeValidForResource`).
fn unsuited(scope: &str, spec: &Value) -> usize {
    let suited = match scope {
        "BestEffort" => &POD_COMPUTE[..1],
        "VolumeAttributesClass" => VOLUMES,
        scope if SCOPES.contains(&scope) => POD_COMPUTE,
        _ => return 0,
    };
    let standard = |name: &&str| QUOTA.contains(name) || name.starts_with("requests.hugepages-");
    entries(spec, "hard").iter().filter(|(name, _)| standard(name) && !suited.contains(name)).count()
}

pub(super) fn quota(spec: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("spec");
    for (name, amount) in entries(spec, "hard") {
        let path = path.child("hard").key(name);
        if !name.contains('/') && !QUOTA.contains(&name) && !name.starts_with("requests.hugepages-") {
            errors.push(FieldError::invalid(
                &path,
                name,
                "must be a standard resource type or fully qualified",
            ));
            errors.push(FieldError::invalid(&path, name, "must be a standard resource for quota"));
        }
        let Some(quantity) = Quantity::of(amount) else { continue };
        if quantity.nanos() < 0 {
            errors.push(FieldError::invalid(&path, amount.clone(), "must be greater than or equal to 0"));
        }
        if (WHOLE.contains(&name) || name.contains('/')) && !quantity.is_whole() {
            errors.push(FieldError::invalid(&path, amount.clone(), "must be an integer"));
        }
    }
    let scopes = texts(spec, "scopes");
    let mut wrong = |why: &str| {
        errors.push(FieldError::invalid(&path.child("scopes"), at(spec, "scopes").clone(), why));
    };
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            wrong("unsupported scope");
        }
        for _ in 0..unsuited(scope, spec) {
            wrong("unsupported scope applied to resource");
        }
    }
    for (one, other) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if scopes.contains(&one) && scopes.contains(&other) {
            wrong("conflicting scopes");
        }
    }
}

const SELECTOR_VALUE: &str =
    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
const SELECTOR_NO_VALUE: &str =
    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
const SELECTOR_EXISTS: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
     ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";

/// The selector as Kubernetes shows it in messages: its internal type, whose fields have Go's names.
fn internal(spec: &Value) -> Value {
    let expressions = items(spec, "scopeSelector.matchExpressions").iter().map(
        |one| json!({ "Operator": one["operator"], "ScopeName": one["scopeName"], "Values": one["values"] }),
    );
    json!({ "MatchExpressions": expressions.collect::<Vec<_>>() })
}

/// The expressions with which a quota selects what it sees.
pub(super) fn scope_selector(spec: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("spec").child("scopeSelector").child("matchExpressions");
    let mut seen = HashSet::new();
    for expression in items(spec, "scopeSelector.matchExpressions") {
        let (scope, operator) = (text(expression, "scopeName"), text(expression, "operator"));
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in 0..unsuited(scope, spec) {
            errors.push(FieldError::invalid(&path, internal(spec), "unsupported scope applied to resource"));
        }
        if !matches!(scope, "PriorityClass" | "VolumeAttributesClass")
            && SCOPES.contains(&scope)
            && operator != "Exists"
        {
            errors.push(FieldError::invalid(&path.child("operator"), operator, SELECTOR_EXISTS));
        }
        let values = texts(expression, "values");
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                errors.push(FieldError::required(&path.child("values"), SELECTOR_VALUE));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let given = at(expression, "values").clone();
                errors.push(FieldError::invalid(&path.child("values"), given, SELECTOR_NO_VALUE));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(FieldError::invalid(
                &path.child("operator"),
                operator,
                "not a valid selector operator",
            )),
        }
        seen.insert(scope);
    }
    for (one, other) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if seen.contains(one) && seen.contains(other) {
            // Kubernetes shows the plain scopes here, whatever the selector says.
            errors.push(FieldError::invalid(&path, at(spec, "scopes").clone(), "conflicting scopes"));
        }
    }
}

/// Pairs of amounts of which the first may not be greater, and what each is called.
const ORDER: &[(&str, &str, &str, &str, &str)] = &[
    ("min", "max", "min", "min", "max"),
    ("min", "defaultRequest", "defaultRequest", "min", "default request"),
    ("min", "default", "default", "min", "default"),
    ("defaultRequest", "max", "defaultRequest", "default request", "max"),
    ("defaultRequest", "default", "defaultRequest", "default request", "default limit"),
    ("default", "max", "default", "default", "max"),
];

pub(super) fn range(spec: &Value, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::new();
    for (index, limit) in items(spec, "limits").iter().enumerate() {
        let path = Path::root().child("spec").child("limits").index(index);
        let kind = text(limit, "type");
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
        if kind == "Pod" {
            for field in ["default", "defaultRequest"].iter().filter(|field| has(limit, field)) {
                let why = "may not be specified when `type` is 'Pod'";
                errors.push(FieldError::forbidden(&path.child(field), why));
            }
        }
        let storage = |field: &str| at(limit, field).get("storage").is_some();
        if kind == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
            let why = "either minimum or maximum storage value is required, but neither was provided";
            errors.push(FieldError::required(&path.child("limits"), why));
        }
        for (low, high, blamed, low_name, high_name) in ORDER {
            for (name, least) in entries(limit, low) {
                let most = at(limit, high).get(name);
                let (Some(least), Some(most)) = (Quantity::of(least), most.and_then(Quantity::of)) else {
                    continue;
                };
                if least.nanos() > most.nanos() {
                    let why = format!("{low_name} value {least} is greater than {high_name} value {most}");
                    // Kubernetes shows the other side of some pairs.
                    let value = if matches!((*low, *high), ("min", "defaultRequest") | ("default", "max")) {
                        most
                    } else {
                        least
                    };
                    let path = path.child(blamed).key(name);
                    errors.push(FieldError::invalid(&path, value.to_string(), why));
                }
            }
        }
    }
}

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

pub(super) fn claim(spec: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("spec");
    let modes = texts(spec, "accessModes");
    let modes_path = path.child("accessModes");
    if modes.is_empty() {
        errors.push(FieldError::required(&modes_path, "at least 1 access mode is required"));
    }
    for mode in modes.iter().filter(|mode| !MODES.contains(mode)) {
        errors.push(FieldError::not_supported(&modes_path, *mode, MODES));
    }
    if modes.len() > 1 && modes.contains(&"ReadWriteOncePod") {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(&modes_path, why));
    }
    let path = path.child("resources").key("storage");
    match at(spec, "resources.requests.storage") {
        Value::Null => errors.push(FieldError::required(&path, "")),
        size if Quantity::of(size).is_some_and(|size| size.nanos() <= 0) => {
            errors.push(FieldError::invalid(&path, size.clone(), "must be greater than zero"));
        }
        _ => {}
    }
}

/// A claim is bound once; a bound one may grow.
///
/// Kubernetes adds a diff of its internal types to the message; we name the rule alone.
pub(super) fn claim_update(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("spec");
    let bound = text(old, "status.phase") == "Bound";
    let rest = |object: &Value| {
        let mut spec = at(object, "spec").clone();
        if let Some(spec) = spec.as_object_mut() {
            if bound {
                spec.remove("resources");
                spec.remove("volumeAttributesClassName");
            }
            if text(old, "spec.volumeName").is_empty() {
                spec.remove("volumeName");
            }
        }
        spec
    };
    if rest(new) != rest(old) {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                   bound claims";
        errors.push(FieldError::forbidden(&path, why));
    }
    let size =
        |object: &Value| Quantity::of(at(object, "spec.resources.requests.storage")).map(Quantity::nanos);
    let held = Quantity::of(at(old, "status.capacity.storage")).map(Quantity::nanos);
    if bound && size(new) < size(old) && size(new) < held {
        let why = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden(&path.child("resources").child("requests").child("storage"), why));
    }
}
