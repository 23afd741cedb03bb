//! Pods and the pod templates inside other kinds: `ValidatePodSpec` of 1.35, what users meet of it.

use std::collections::HashSet;

use aphex_schema::validate::names;
use aphex_schema::{FieldError, Path};
use serde_json::Value;

use super::container;
use super::rules::Rule::{Between, Label, NonNegative, OneOf, Required, Subdomain};
use super::rules::{Table, check, is_empty};
use crate::fields::{at, has, int, items, sorted, text};

const RESTART: &[&str] = &["Always", "OnFailure", "Never"];

const SPEC: Table = &[
    ("containers", Required),
    ("activeDeadlineSeconds", Between(1, 2_147_483_647)),
    ("preemptionPolicy", OneOf(&["PreemptLowerPriority", "Never"])),
    ("serviceAccountName", Subdomain),
    ("nodeName", Subdomain),
    ("priorityClassName", Subdomain),
    ("hostname", Label),
    ("subdomain", Label),
    ("volumes[].name", Required),
    ("volumes[].name", Label),
    ("volumes[].secret.secretName", Required),
    ("volumes[].configMap.name", Required),
    ("volumes[].persistentVolumeClaim.claimName", Required),
    ("volumes[].hostPath.path", Required),
    ("volumes[].nfs.server", Required),
    ("volumes[].nfs.path", Required),
    ("volumes[].csi.driver", Required),
    ("volumes[].secret.defaultMode", Between(0, 0o777)),
    ("volumes[].configMap.defaultMode", Between(0, 0o777)),
    ("tolerations[].effect", OneOf(&["NoSchedule", "PreferNoSchedule", "NoExecute"])),
    ("tolerations[].operator", OneOf(&["Equal", "Exists"])),
    ("securityContext.runAsUser", NonNegative),
    ("securityContext.runAsGroup", NonNegative),
    ("securityContext.fsGroup", NonNegative),
];

/// Rules that are looked at after the containers.
const AFTER: Table = &[
    ("restartPolicy", OneOf(RESTART)),
    ("dnsPolicy", OneOf(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"])),
];

/// Everything wrong with a pod spec.
pub(super) fn spec(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    check(spec, path, SPEC, errors);
    let volumes = volumes(spec, path, errors);
    let mut names = HashSet::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in items(spec, list).iter().enumerate() {
            let path = path.child(list).index(index);
            let name = text(container, "name");
            if !name.is_empty() && !names.insert(name.to_owned()) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
            container::check(container, &path, &volumes, errors);
        }
    }
    check(spec, path, AFTER, errors);
    labels(at(spec, "nodeSelector"), &path.child("nodeSelector"), errors);
    for (index, toleration) in items(spec, "tolerations").iter().enumerate() {
        let path = path.child("tolerations").index(index);
        let value = text(toleration, "value");
        if text(toleration, "operator") == "Exists" && !value.is_empty() {
            let why = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&path.child("operator"), value, why));
        }
        if is_empty(at(toleration, "key")) && matches!(text(toleration, "operator"), "" | "Equal") {
            let why =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(&path.child("operator"), text(toleration, "operator"), why));
        }
    }
}

/// Names of the volumes.
fn volumes(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) -> HashSet<String> {
    let mut found = HashSet::new();
    for (index, volume) in items(spec, "volumes").iter().enumerate() {
        let path = path.child("volumes").index(index);
        let name = text(volume, "name");
        if !name.is_empty() && !found.insert(name.to_owned()) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        let mut sources = sorted(volume).into_iter().filter(|(field, _)| *field != "name").skip(1);
        if let Some((second, _)) = sources.next() {
            let why = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(&path.child(second), why));
        }
    }
    found
}

/// Everything wrong with a map of labels.
pub(super) fn labels(map: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (key, value) in sorted(map) {
        let value = value.as_str().unwrap_or_default();
        let faults = names::qualified_name_faults(key).into_iter();
        errors.extend(faults.map(|why| FieldError::invalid(path, key, why)));
        let faults = names::label_value_faults(value).into_iter();
        errors.extend(faults.map(|why| FieldError::invalid(path, value, why)));
    }
}

/// A running pod can hardly be changed.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    const WHY: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
                       `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only \
                       additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set \
                       to 1 if it was previously negative)";
    let path = Path::root().child("spec");
    let mut errors = Vec::new();
    for list in ["containers", "initContainers"] {
        if items(new, &format!("spec.{list}")).len() != items(old, &format!("spec.{list}")).len() {
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(list), why));
            return errors;
        }
    }
    let (before, after) = (at(old, "spec.activeDeadlineSeconds"), at(new, "spec.activeDeadlineSeconds"));
    if has(old, "spec.activeDeadlineSeconds") && before != after {
        let path = path.child("activeDeadlineSeconds");
        if after.is_null() {
            errors.push(FieldError::invalid(
                &path,
                after.clone(),
                "must not update from a positive integer to nil value",
            ));
        } else if int(new, "spec.activeDeadlineSeconds") > int(old, "spec.activeDeadlineSeconds") {
            let why = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(&path, after.clone(), why));
        }
    }
    let kept = items(old, "spec.tolerations").iter().all(|one| items(new, "spec.tolerations").contains(one));
    if !kept {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(&path.child("tolerations"), why));
    }
    if fixed(new) != fixed(old) {
        errors.push(FieldError::forbidden(&path, WHY));
    }
    errors
}

/// What of a spec may never change.
fn fixed(pod: &Value) -> Value {
    let mut spec = at(pod, "spec").clone();
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                container.remove("image");
            }
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        for field in
            ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "ephemeralContainers"]
        {
            spec.remove(field);
        }
    }
    spec
}
