//! What is wrong with built-in objects beyond their schema: `pkg/apis/*/validation` of 1.35, what users meet of it.
//!
//! Plain rules are rows of tables, see `rules`; functions hold those between fields. Metadata, RBAC objects and
//! custom resource definitions are the API server's own.

mod batch;
mod container;
mod data;
mod event;
mod extension;
mod limits;
mod network;
mod plain;
mod pod;
mod rules;
mod selector;
mod service;
mod status;
mod workload;

use aphex_schema::{FieldError, FieldErrorKind, Path};
use serde_json::Value;

pub use selector::check as check_selector;

use crate::fields::{at, has, text};

/// Everything wrong with an object of a built-in kind, metadata aside.
pub fn validate_create(group: &str, kind: &str, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    rules::check(object, &Path::root(), plain::of(group, kind), &mut errors);
    let spec = at(object, "spec");
    let path = Path::root().child("spec");
    match (group, kind) {
        ("", "ConfigMap") => errors.extend(data::config_map(object)),
        ("", "Secret") => errors.extend(data::secret(object)),
        ("", "Pod") => pod::spec(spec, &path, &mut errors),
        ("", "PodTemplate") => {
            let path = Path::root().child("template").child("spec");
            pod::spec(at(object, "template.spec"), &path, &mut errors);
        }
        ("", "Service") => errors.extend(service::create(spec)),
        ("", "PersistentVolumeClaim") => limits::claim(spec, &mut errors),
        ("", "ResourceQuota") => {
            limits::quota(spec, &mut errors);
            limits::scope_selector(spec, &mut errors);
        }
        ("", "LimitRange") => limits::range(spec, &mut errors),
        ("", "PersistentVolume") => plain::volume(spec, &mut errors),
        ("discovery.k8s.io", "EndpointSlice") => plain::endpoint_slice(object, &mut errors),
        ("", "Event") => event::core(object, &mut errors),
        ("events.k8s.io", "Event") => event::new(object, &mut errors),
        ("", "Namespace") => plain::namespace(object, &mut errors),
        ("apps", _) => workload::check(kind, spec, &mut errors),
        ("batch", "Job") => batch::job(spec, &path, &mut errors),
        ("batch", "CronJob") => batch::cron_job(spec, &path, &mut errors),
        ("networking.k8s.io", "Ingress") => network::ingress(spec, &mut errors),
        ("networking.k8s.io", "NetworkPolicy") => network::policy(spec, &mut errors),
        ("policy", "PodDisruptionBudget") => plain::budget(spec, &mut errors),
        ("autoscaling", "HorizontalPodAutoscaler") => plain::autoscaler(spec, &mut errors),
        ("scheduling.k8s.io", "PriorityClass") => plain::priority(object, &mut errors),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => {
            extension::webhooks(object, &mut errors);
        }
        ("certificates.k8s.io", "CertificateSigningRequest") => extension::signing_request(spec, &mut errors),
        ("networking.k8s.io", "IngressClass") => plain::ingress_class(spec, &mut errors),
        _ => {}
    }
    errors
}

/// Everything wrong with a change of an object of a built-in kind, metadata aside.
pub fn validate_update(
    group: &str,
    kind: &str,
    subresource: &str,
    new: &Value,
    old: &Value,
) -> Vec<FieldError> {
    match subresource {
        "" => {}
        "status" => return status::update(group, kind, new, old),
        _ => return Vec::new(),
    }
    let mut errors = match (group, kind) {
        // What was let in once need not be valid by today's rules as long as it cannot change anyway.
        ("", "Pod") => return pod::update(new, old),
        ("batch", "Job") if has(new, "metadata.deletionTimestamp") => Vec::new(),
        _ => validate_create(group, kind, new),
    };
    match (group, kind) {
        ("", "ConfigMap" | "Secret") => errors.extend(data::update(kind, new, old)),
        ("", "Service") => errors.extend(service::update(new, old)),
        ("", "PersistentVolumeClaim") => limits::claim_update(new, old, &mut errors),
        _ => {}
    }
    for path in constants(group, kind) {
        if at(new, path) != at(old, path) {
            errors.push(immutable(&Path::parse(path), Some(at(new, path))));
        }
    }
    match (group, kind) {
        ("apps", "StatefulSet") => workload::set_update(new, old, &mut errors),
        ("storage.k8s.io", "StorageClass") => plain::class_update(new, old, &mut errors),
        ("scheduling.k8s.io", "PriorityClass") if new.get("value") != old.get("value") => {
            errors.push(FieldError::forbidden(
                &Path::root().child("value"),
                "may not be changed in an update.",
            ));
        }
        _ => {}
    }
    errors
}

/// Fields that may never change.
fn constants(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => &["spec.selector"],
        ("batch", "Job") => &["spec.completions", "spec.selector", "spec.template", "spec.completionMode"],
        ("", "PersistentVolume") => &["spec.volumeMode"],
        ("", "ResourceQuota") => &["spec.scopes"],
        ("storage.k8s.io", "StorageClass") => &["volumeBindingMode"],
        ("scheduling.k8s.io", "PriorityClass") => &["preemptionPolicy"],
        ("discovery.k8s.io", "EndpointSlice") => &["addressType"],
        ("networking.k8s.io", "IngressClass") => &["spec.controller"],
        _ => &[],
    }
}

/// A field that may not change did.
fn immutable(path: &Path, value: Option<&Value>) -> FieldError {
    FieldError::invalid(path, value.cloned().unwrap_or(Value::Null), "field is immutable")
}

/// An offending value that Kubernetes writes with its internal field names in the order of its own types.
fn internal(kind: FieldErrorKind, path: &Path, shown: &str, why: &str) -> FieldError {
    FieldError { kind, field: path.to_string(), value: None, detail: format!("{shown}: {why}") }
}

/// The text of a number or percentage that is neither.
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                       '93%', regex used for validation is '[0-9]+%')";

/// A number of at least 0, or a percentage.
fn amount(value: &Value, path: &Path, at_most_all: bool, errors: &mut Vec<FieldError>) {
    if let Some(number) = value.as_i64() {
        if number < 0 {
            errors.push(FieldError::invalid(path, number, "must be greater than or equal to 0"));
        }
        return;
    }
    let Some(given) = value.as_str() else { return };
    match given.strip_suffix('%').filter(|digits| !digits.is_empty()).map(str::parse::<u32>) {
        Some(Ok(percent)) if percent > 100 && at_most_all => {
            errors.push(FieldError::invalid(path, given, "must not be greater than 100%"));
        }
        Some(Ok(_)) => {}
        _ => errors.push(FieldError::invalid(path, given, PERCENT)),
    }
}

/// Whether a LabelSelector selects labels; an operator that does not exist selects nothing.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let pairs = crate::fields::entries(selector, "matchLabels");
    let equal = pairs.into_iter().all(|(key, value)| label(key) == value.as_str());
    equal
        && crate::fields::items(selector, "matchExpressions").iter().all(|expression| {
            let found = label(text(expression, "key"));
            let listed =
                found.is_some_and(|value| crate::fields::texts(expression, "values").contains(&value));
            match text(expression, "operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}
