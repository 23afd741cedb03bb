//! `LimitRanger`: what a namespace's LimitRange gives to containers that say nothing, and what it refuses.
//!
//! `plugin/pkg/admission/limitranger` of Kubernetes 1.35.

use serde_json::{Value, json};

use crate::fields::{items, map_at, text};
use crate::quantity::Quantity;
use crate::resources::{Reading, Resources, pod_limits, pod_requests, read};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Larger amounts are compared in whole units, so that thousandths fit into 64 bits.
const MOST_MILLI: i128 = i64::MAX as i128 / 1000;

/// Gives a pod's containers the limits and requests of a LimitRange where they have none of their own.
pub fn default_limits(range: &Value, pod: &mut Value) {
    let (mut requests, mut limits) = (Resources::new(), Resources::new());
    for limit in items(range, "spec.limits").iter().filter(|limit| text(limit, "type") == "Container") {
        requests.extend(read(limit, "defaultRequest"));
        limits.extend(read(limit, "default"));
    }
    let mut notes = Vec::new();
    for (list, label) in [("containers", "container"), ("initContainers", "init container")] {
        let containers =
            pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = text(container, "name").to_owned();
            for (field, defaults) in [("request", &requests), ("limit", &limits)] {
                let given = give(container, &format!("resources.{field}s"), defaults);
                if !given.is_empty() {
                    notes.push(format!("{} {field} for {label} {name}", given.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        map_at(pod, "metadata.annotations").insert(ANNOTATION.to_owned(), json!(note));
    }
}

/// Fills in what a list lacks; gives the names of what was filled in.
fn give<'a>(container: &mut Value, path: &str, defaults: &'a Resources) -> Vec<&'a str> {
    let has = read(container, path);
    let missing: Vec<_> = defaults.iter().filter(|(name, _)| !has.contains_key(*name)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let list = map_at(container, path);
    for (name, amount) in &missing {
        list.insert((*name).clone(), json!(amount.to_string()));
    }
    missing.into_iter().map(|(name, _)| name.as_str()).collect()
}

/// Why a LimitRange does not let a pod or volume claim in; none if it does.
pub fn limit_refusal(range: &Value, plural: &str, object: &Value) -> Option<String> {
    let mut faults = Vec::new();
    for limit in items(range, "spec.limits") {
        match (plural, text(limit, "type")) {
            ("pods", kind @ "Container") => {
                let containers = items(object, "spec.containers").iter();
                for container in containers.chain(items(object, "spec.initContainers")) {
                    let requests = read(container, "resources.requests");
                    let limits = read(container, "resources.limits");
                    check(limit, kind, &requests, &limits, &mut faults);
                }
            }
            ("pods", kind @ "Pod") => {
                let requests = pod_requests(object, Reading::Spec);
                let limits = pod_limits(object, Reading::Spec);
                check(limit, kind, &requests, &limits, &mut faults);
            }
            ("persistentvolumeclaims", kind @ "PersistentVolumeClaim") => {
                check_claim(limit, kind, &read(object, "spec.resources.requests"), &mut faults);
            }
            _ => {}
        }
    }
    aggregated(faults)
}

/// Several errors as Go's `Aggregate` shows them.
fn aggregated(faults: Vec<String>) -> Option<String> {
    let mut distinct: Vec<String> = Vec::new();
    for fault in faults {
        if !distinct.contains(&fault) {
            distinct.push(fault);
        }
    }
    match distinct.len() {
        0 | 1 => distinct.pop(),
        _ => Some(format!("[{}]", distinct.join(", "))),
    }
}

fn check(limit: &Value, kind: &str, requests: &Resources, limits: &Resources, faults: &mut Vec<String>) {
    for (name, least) in read(limit, "min") {
        faults.extend(below(kind, &name, least, requests, limits));
    }
    for (name, most) in read(limit, "max") {
        faults.extend(above(kind, &name, most, requests, limits));
    }
    for (name, ratio) in read(limit, "maxLimitRequestRatio") {
        faults.extend(stretched(kind, &name, ratio, requests, limits));
    }
}

/// Claims have no limits, so both bounds are held against the request.
fn check_claim(limit: &Value, kind: &str, requests: &Resources, faults: &mut Vec<String>) {
    for (name, least) in read(limit, "min") {
        faults.extend(below(kind, &name, least, requests, &Resources::new()));
    }
    for (name, most) in read(limit, "max") {
        let rule = format!("maximum {name} usage per {kind} is {most}");
        match requests.get(&name) {
            None => faults.push(format!("{rule}.  No request is specified")),
            Some(request) if exceeds(*request, most, &[]) => {
                faults.push(format!("{rule}, but request is {request}"));
            }
            Some(_) => {}
        }
    }
}

fn below(
    kind: &str,
    name: &str,
    least: Quantity,
    requests: &Resources,
    limits: &Resources,
) -> Option<String> {
    let rule = format!("minimum {name} usage per {kind} is {least}");
    let Some(request) = requests.get(name) else { return Some(format!("{rule}.  No request is specified")) };
    let limit = limits.get(name);
    let others: Vec<Quantity> = limit.copied().into_iter().collect();
    if exceeds(least, *request, &others) {
        return Some(format!("{rule}, but request is {request}"));
    }
    let limit = limit.filter(|limit| exceeds(least, **limit, &[*request]))?;
    Some(format!("{rule}, but limit is {limit}"))
}

fn above(kind: &str, name: &str, most: Quantity, requests: &Resources, limits: &Resources) -> Option<String> {
    let rule = format!("maximum {name} usage per {kind} is {most}");
    let Some(limit) = limits.get(name) else { return Some(format!("{rule}.  No limit is specified")) };
    let request = requests.get(name);
    let others: Vec<Quantity> = request.copied().into_iter().collect();
    if exceeds(*limit, most, &others) {
        return Some(format!("{rule}, but limit is {limit}"));
    }
    let request = request.filter(|request| exceeds(**request, most, &[*limit]))?;
    Some(format!("{rule}, but request is {request}"))
}

fn stretched(
    kind: &str,
    name: &str,
    ratio: Quantity,
    requests: &Resources,
    limits: &Resources,
) -> Option<String> {
    let rule = format!("{name} max limit to request ratio per {kind} is {ratio}");
    let request = requests.get(name).filter(|request| !request.is_zero());
    let Some(request) = request else {
        return Some(format!("{rule}, but no request is specified or request is 0"));
    };
    let Some(limit) = limits.get(name).filter(|limit| !limit.is_zero()) else {
        return Some(format!("{rule}, but no limit is specified or limit is 0"));
    };
    let (limit, request) = if fine(&[*limit, *request, ratio]) {
        (limit.milli(), request.milli())
    } else {
        (limit.whole(), request.whole())
    };
    #[expect(clippy::cast_precision_loss, reason = "a ratio is shown with six decimals")]
    let provided = limit as f64 / request as f64;
    #[expect(clippy::cast_precision_loss, reason = "bounds are small numbers")]
    let allowed =
        if ratio.whole() <= MOST_MILLI { ratio.milli() as f64 / 1000.0 } else { ratio.whole() as f64 };
    (provided > allowed).then(|| format!("{rule}, but provided ratio is {provided:.6}"))
}

/// Whether one amount is more than another; in thousandths unless one of all involved is too large.
fn exceeds(one: Quantity, other: Quantity, others: &[Quantity]) -> bool {
    let involved: Vec<Quantity> = others.iter().copied().chain([one, other]).collect();
    if fine(&involved) { one.milli() > other.milli() } else { one.whole() > other.whole() }
}

fn fine(amounts: &[Quantity]) -> bool {
    amounts.iter().all(|amount| amount.whole() <= MOST_MILLI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_get_defaults_and_a_note() {
        let range = json!({"spec": {"limits": [{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"},
            "defaultRequest": {"cpu": "100m"}}]}});
        let mut pod = json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "2"}}}],
            "initContainers": [{"name": "i"}]}});
        default_limits(&range, &mut pod);
        assert_eq!(
            pod["spec"]["containers"][0]["resources"],
            json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m"}})
        );
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container a; memory limit for container a; cpu request for \
             init container i; cpu, memory limit for init container i"
        );
    }

    #[test]
    fn every_broken_bound_is_told() {
        let range = json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "1Mi"}}]}});
        let pod = json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "2"}}}]}});
        assert_eq!(
            limit_refusal(&range, "pods", &pod).unwrap(),
            "[minimum memory usage per Container is 1Mi.  No request is specified, maximum cpu usage per Container \
             is 1, but limit is 2]"
        );
        assert_eq!(limit_refusal(&range, "pods", &json!({"spec": {}})), None);
    }
}
