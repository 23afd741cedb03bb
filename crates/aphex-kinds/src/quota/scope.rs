//! Which objects a quota's scopes let it see.

use serde_json::Value;

use crate::fields::{at, has, items, text, texts};
use crate::qos;

/// Whether an object is in every scope of a quota.
pub(super) fn all(quota: &Value, group: &str, plural: &str, object: &Value) -> bool {
    texts(quota, "spec.scopes").iter().all(|scope| is_in(scope, "Exists", &[], (group, plural), object))
        && items(quota, "spec.scopeSelector.matchExpressions").iter().all(|expression| {
            let (scope, operator) = (text(expression, "scopeName"), text(expression, "operator"));
            is_in(scope, operator, &texts(expression, "values"), (group, plural), object)
        })
}

/// Only pods and volume claims have scopes; nothing else is in any.
fn is_in(
    scope: &str,
    operator: &str,
    values: &[&str],
    (group, plural): (&str, &str),
    object: &Value,
) -> bool {
    match (group, plural, scope) {
        ("", "pods", "Terminating") => is_limited(object),
        ("", "pods", "NotTerminating") => !is_limited(object),
        ("", "pods", "BestEffort") => qos::class(object) == "BestEffort",
        ("", "pods", "NotBestEffort") => qos::class(object) != "BestEffort",
        ("", "pods", "PriorityClass") => {
            let class = text(object, "spec.priorityClassName");
            selected(operator, values, (!class.is_empty()).then_some(class))
        }
        ("", "pods", "CrossNamespacePodAffinity") => looks_elsewhere(object),
        ("", "persistentvolumeclaims", "VolumeAttributesClass") => {
            let names = attribute_classes(object);
            match operator {
                "Exists" => !names.is_empty(),
                _ if names.is_empty() => selected(operator, values, None),
                _ => names.iter().any(|name| selected(operator, values, Some(name))),
            }
        }
        _ => false,
    }
}

fn selected(operator: &str, values: &[&str], found: Option<&str>) -> bool {
    let listed = found.is_some_and(|found| values.contains(&found));
    match operator {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        _ => false,
    }
}

/// The classes of volume attributes that a claim has, wants or is on its way to.
fn attribute_classes(claim: &Value) -> Vec<&str> {
    let paths = [
        "spec.volumeAttributesClassName",
        "status.currentVolumeAttributesClassName",
        "status.modifyVolumeStatus.targetVolumeAttributesClassName",
    ];
    paths.into_iter().map(|path| text(claim, path)).filter(|name| !name.is_empty()).collect()
}

/// Whether a change of an object can have moved it to other scopes.
pub(super) fn moved(plural: &str, new: &Value, old: &Value) -> bool {
    match plural {
        "pods" => is_limited(new) != is_limited(old),
        "persistentvolumeclaims" => attribute_classes(new) != attribute_classes(old),
        _ => false,
    }
}

/// Whether a pod runs for a limited time.
pub(super) fn is_limited(pod: &Value) -> bool {
    at(pod, "spec.activeDeadlineSeconds").as_i64().is_some_and(|seconds| seconds >= 0)
}

/// Whether a pod's affinity is about pods of other namespaces.
fn looks_elsewhere(pod: &Value) -> bool {
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let terms = |list: &str| items(pod, &format!("spec.affinity.{kind}.{list}")).iter();
        let required = terms("requiredDuringSchedulingIgnoredDuringExecution");
        let preferred = terms("preferredDuringSchedulingIgnoredDuringExecution");
        required
            .chain(preferred.map(|term| at(term, "podAffinityTerm")))
            .any(|term| !items(term, "namespaces").is_empty() || has(term, "namespaceSelector"))
    })
}
