//! Kinds whose rules are plain, and the few rules between fields that they have.

use aphex_schema::validate::names;
use aphex_schema::{FieldError, FieldErrorKind, Path};
use serde_json::Value;

use super::rules::Rule::{
    Address, Between, Endpoint, Label, NonNegative, OneOf, Positive, Quantity, Required, Subdomain,
};
use super::rules::Table;
use super::{amount, internal, selector};
use crate::fields::{at, has, int, text, texts};

/// The plain rules of a kind.
pub(super) fn of(group: &str, kind: &str) -> Table {
    match (group, kind) {
        ("apps", "Deployment") => &[
            ("spec.replicas", NonNegative),
            ("spec.minReadySeconds", NonNegative),
            ("spec.revisionHistoryLimit", NonNegative),
            ("spec.progressDeadlineSeconds", NonNegative),
        ],
        ("apps", _) | ("", "ReplicationController") => &[
            ("spec.replicas", NonNegative),
            ("spec.minReadySeconds", NonNegative),
            ("spec.revisionHistoryLimit", NonNegative),
        ],
        ("", "PersistentVolumeClaim") => {
            &[("spec.volumeMode", OneOf(&["Block", "Filesystem"])), ("spec.storageClassName", Subdomain)]
        }
        ("", "PersistentVolume") => &[
            ("spec.accessModes", Required),
            ("spec.capacity", Required),
            ("spec.capacity.storage", Quantity),
            ("spec.persistentVolumeReclaimPolicy", OneOf(&["Delete", "Recycle", "Retain"])),
            ("spec.volumeMode", OneOf(&["Block", "Filesystem"])),
        ],
        ("coordination.k8s.io", "Lease") => {
            &[("spec.leaseDurationSeconds", Positive), ("spec.leaseTransitions", NonNegative)]
        }
        ("scheduling.k8s.io", "PriorityClass") => {
            &[("preemptionPolicy", OneOf(&["PreemptLowerPriority", "Never"]))]
        }
        ("storage.k8s.io", "StorageClass") => &[
            ("provisioner", Required),
            ("reclaimPolicy", OneOf(&["Delete", "Retain"])),
            ("volumeBindingMode", OneOf(&["Immediate", "WaitForFirstConsumer"])),
        ],
        ("discovery.k8s.io", "EndpointSlice") => &[
            ("addressType", Required),
            ("addressType", OneOf(&["FQDN", "IPv4", "IPv6"])),
            ("ports[].protocol", OneOf(&["SCTP", "TCP", "UDP"])),
        ],
        ("", "Endpoints") => &[
            ("subsets[].addresses[].ip", Endpoint),
            ("subsets[].notReadyAddresses[].ip", Endpoint),
            ("subsets[].ports[].port", Between(1, 65535)),
            ("subsets[].ports[].protocol", OneOf(&["SCTP", "TCP", "UDP"])),
        ],
        ("node.k8s.io", "RuntimeClass") => &[("handler", Required), ("handler", Label)],
        ("admissionregistration.k8s.io", _) => &[
            ("webhooks[].failurePolicy", OneOf(&["Fail", "Ignore"])),
            ("webhooks[].matchPolicy", OneOf(&["Equivalent", "Exact"])),
            ("webhooks[].timeoutSeconds", Between(1, 30)),
            ("spec.failurePolicy", OneOf(&["Fail", "Ignore"])),
        ],
        _ => &[],
    }
}

pub(super) fn namespace(namespace: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("spec").child("finalizers");
    for finalizer in texts(namespace, "spec.finalizers") {
        let faults = names::qualified_name_faults(finalizer);
        if faults.is_empty() && !finalizer.contains('/') && finalizer != "kubernetes" {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path, finalizer, why));
        }
        errors.extend(faults.into_iter().map(|why| FieldError::invalid(&path, finalizer, why)));
    }
}

pub(super) fn budget(spec: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("spec");
    if has(spec, "minAvailable") && has(spec, "maxUnavailable") {
        let shown = format!(
            r#"{{"MinAvailable":{},"Selector":{},"MaxUnavailable":{},"UnhealthyPodEvictionPolicy":{}}}"#,
            at(spec, "minAvailable"),
            at(spec, "selector"),
            at(spec, "maxUnavailable"),
            at(spec, "unhealthyPodEvictionPolicy"),
        );
        let why = "minAvailable and maxUnavailable cannot be both set";
        errors.push(internal(FieldErrorKind::Invalid, &path, &shown, why));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        amount(at(spec, field), &path.child(field), true, errors);
    }
    selector::check(at(spec, "selector"), &path.child("selector"), errors);
}

pub(super) fn autoscaler(spec: &Value, errors: &mut Vec<FieldError>) {
    const METRICS: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
    let path = Path::root().child("spec");
    let most = int(spec, "maxReplicas");
    let least = at(spec, "minReplicas").as_i64();
    if let Some(least) = least.filter(|least| *least < 1) {
        let why = "must be greater than or equal to 1";
        errors.push(FieldError::invalid(&path.child("minReplicas"), least, why));
    }
    if most < 1 {
        errors.push(FieldError::invalid(&path.child("maxReplicas"), most, "must be greater than 0"));
    }
    if least.is_some_and(|least| most < least) {
        let why = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(&path.child("maxReplicas"), most, why));
    }
    for field in ["kind", "name"] {
        if text(spec, &format!("scaleTargetRef.{field}")).is_empty() {
            errors.push(FieldError::required(&path.child("scaleTargetRef").child(field), ""));
        }
    }
    let version = text(spec, "scaleTargetRef.apiVersion");
    if !version.contains('/') && text(spec, "scaleTargetRef.kind") != "ReplicationController" {
        let path = path.child("scaleTargetRef").child("apiVersion");
        errors.push(FieldError::invalid(&path, version, "apiVersion must specify API group"));
    }
    super::rules::check(spec, &path, &[("metrics[].type", OneOf(METRICS))], errors);
    let other =
        |kind: &str| crate::fields::items(spec, "metrics").iter().any(|one| text(one, "type") == kind);
    if least == Some(0) && !other("Object") && !other("External") {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(&path.child("metrics"), why));
    }
}

/// Larger values are for the system's own classes.
pub(super) fn priority(class: &Value, errors: &mut Vec<FieldError>) {
    const MOST: i64 = 1_000_000_000;
    if int(class, "value") > MOST && !text(class, "metadata.name").starts_with("system-") {
        let why = format!("maximum allowed value of a user defined priority is {MOST}");
        errors.push(FieldError::forbidden(&Path::root().child("value"), why));
    }
}

pub(super) fn ingress_class(spec: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::root().child("spec").child("controller");
    let controller = text(spec, "controller");
    if controller.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else if !controller.contains('/') {
        let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(FieldError::invalid(&path, controller, why));
    }
}

/// What a slice's addresses must be follows from their type.
pub(super) fn endpoint_slice(slice: &Value, errors: &mut Vec<FieldError>) {
    for (index, endpoint) in crate::fields::items(slice, "endpoints").iter().enumerate() {
        let path = Path::root().child("endpoints").index(index).child("addresses");
        if texts(endpoint, "addresses").is_empty() {
            errors.push(FieldError::required(&path, "must contain at least 1 address"));
        }
        if matches!(text(slice, "addressType"), "IPv4" | "IPv6") {
            let path = Path::root().child("endpoints").index(index);
            super::rules::check(endpoint, &path, &[("addresses[]", Address)], errors);
        }
    }
}

/// A volume without a source; fields that are not sources are listed.
pub(super) fn volume(spec: &Value, errors: &mut Vec<FieldError>) {
    const OTHER: &[&str] = &[
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ];
    let path = Path::root().child("spec");
    if at(spec, "capacity").get("storage").is_none() {
        let capacity = at(spec, "capacity").clone();
        errors.push(FieldError::not_supported(&path.child("capacity"), capacity, &["storage"]));
    }
    let sources = crate::fields::sorted(spec).into_iter();
    if sources.filter(|(field, value)| !OTHER.contains(field) && !value.is_null()).count() == 0 {
        errors.push(FieldError::required(&path, "must specify a volume type"));
    }
}

/// What a storage class makes volumes with stays.
pub(super) fn class_update(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if new.get(field) != old.get(field) {
            let why = format!("updates to {field} are forbidden.");
            errors.push(FieldError::forbidden(&Path::root().child(field), why));
        }
    }
}
