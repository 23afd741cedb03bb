//! Lists of resources (`cpu`, `memory`, ...) with amounts, and what a whole pod asks for.
//!
//! `k8s.io/component-helpers/resource` and the arithmetic of `k8s.io/apiserver/pkg/quota/v1`, v0.35.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::fields::{at, items, sorted, text};
use crate::quantity::Quantity;

/// Amounts by resource.
pub(crate) type Resources = BTreeMap<String, Quantity>;

/// The list at a path; what is no quantity is left out.
pub(crate) fn read(object: &Value, path: &str) -> Resources {
    of(at(object, path))
}

/// The list that a value is.
pub(crate) fn of(list: &Value) -> Resources {
    let entries = sorted(list).into_iter();
    entries.filter_map(|(name, amount)| Some((name.to_owned(), Quantity::of(amount)?))).collect()
}

/// The list as an object's field has it.
pub(crate) fn write(resources: &Resources) -> Value {
    let entries = resources.iter().map(|(name, amount)| (name.clone(), json!(amount.to_string())));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// The list as messages have it: `cpu=1,pods=2`.
pub(crate) fn shown(resources: &Resources) -> String {
    let parts: Vec<String> = resources.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    parts.join(",")
}

/// Adds every amount of a list.
pub(crate) fn add(to: &mut Resources, more: &Resources) {
    for (name, amount) in more {
        let sum = to.get(name).map_or(*amount, |known| known.plus(*amount));
        to.insert(name.clone(), sum);
    }
}

/// Raises every amount to that of a list, where that is more.
pub(crate) fn raise(to: &mut Resources, other: &Resources) {
    for (name, amount) in other {
        match to.get(name) {
            Some(known) if known.nanos() >= amount.nanos() => {}
            _ => drop(to.insert(name.clone(), *amount)),
        }
    }
}

/// The part of a list with these names.
pub(crate) fn only(resources: &Resources, names: impl Fn(&str) -> bool) -> Resources {
    resources.iter().filter(|(name, _)| names(name)).map(|(name, amount)| (name.clone(), *amount)).collect()
}

/// Whether two lists have the same names and amounts, however written.
pub(crate) fn equal(one: &Resources, other: &Resources) -> bool {
    one.len() == other.len()
        && one.iter().all(|(name, amount)| other.get(name).is_some_and(|o| o.nanos() == amount.nanos()))
}

/// What counts as a pod's demand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The spec alone, as `LimitRanger` reads it.
    Spec,
    /// The spec, what a running pod was given, and its overhead, as quotas read it.
    Charged,
}

/// What a pod asks for.
pub(crate) fn pod_requests(pod: &Value, reading: Reading) -> Resources {
    let mut total = of_containers(pod, reading, "requests");
    override_by_pod(pod, reading, "requests", &mut total);
    if reading == Reading::Charged {
        add(&mut total, &read(pod, "spec.overhead"));
    }
    total
}

/// What a pod may use at most.
pub(crate) fn pod_limits(pod: &Value, reading: Reading) -> Resources {
    let mut total = of_containers(pod, reading, "limits");
    override_by_pod(pod, reading, "limits", &mut total);
    if reading == Reading::Charged {
        // Overhead comes on top of limits, it makes none.
        let overhead = read(pod, "spec.overhead");
        let limited = only(&overhead, |name| total.get(name).is_some_and(|limit| !limit.is_zero()));
        add(&mut total, &limited);
    }
    total
}

/// Whether a pod states its needs as a whole.
pub(crate) fn states_whole(pod: &Value) -> bool {
    ["requests", "limits"].iter().any(|list| {
        let path = format!("spec.resources.{list}");
        read(pod, &path).keys().any(|name| may_be_whole(name, Reading::Charged))
    })
}

fn may_be_whole(name: &str, reading: Reading) -> bool {
    matches!(name, "cpu" | "memory") || reading == Reading::Charged && name.starts_with("hugepages-")
}

fn override_by_pod(pod: &Value, reading: Reading, list: &str, total: &mut Resources) {
    let own = read(pod, &format!("spec.resources.{list}"));
    total.extend(own.into_iter().filter(|(name, _)| may_be_whole(name, reading)));
}

/// Containers run together; init containers one after another before them, save those that keep running.
fn of_containers(pod: &Value, reading: Reading, list: &str) -> Resources {
    let mut total = Resources::new();
    for container in items(pod, "spec.containers") {
        add(&mut total, &of_container(pod, container, reading, list, true));
    }
    let (mut lasting, mut most) = (Resources::new(), Resources::new());
    for container in items(pod, "spec.initContainers") {
        let lasts = text(container, "restartPolicy") == "Always";
        let own = of_container(pod, container, reading, list, lasts);
        if lasts {
            add(&mut total, &own);
            add(&mut lasting, &own);
            raise(&mut most, &lasting);
        } else {
            let mut moment = own;
            add(&mut moment, &lasting);
            raise(&mut most, &moment);
        }
    }
    raise(&mut total, &most);
    total
}

/// What a container asks for, or what it still holds while a resize is under way.
fn of_container(pod: &Value, container: &Value, reading: Reading, list: &str, resizable: bool) -> Resources {
    let asked = read(container, &format!("resources.{list}"));
    if reading == Reading::Spec || !resizable {
        return asked;
    }
    let statuses =
        items(pod, "status.containerStatuses").iter().chain(items(pod, "status.initContainerStatuses"));
    let name = text(container, "name");
    let Some(status) = statuses.into_iter().find(|status| text(status, "name") == name) else { return asked };
    if at(status, "resources").is_null() {
        return asked;
    }
    let mut held = read(status, &format!("resources.{list}"));
    if list == "requests" {
        raise(&mut held, &read(status, "allocatedResources"));
    }
    if !is_resize_infeasible(pod) {
        raise(&mut held, &asked);
    }
    held
}

fn is_resize_infeasible(pod: &Value) -> bool {
    let pending = items(pod, "status.conditions").iter().find(|one| text(one, "type") == "PodResizePending");
    pending.is_some_and(|condition| text(condition, "reason") == "Infeasible")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(pod: &Value, reading: Reading) -> String {
        pod_requests(pod, reading)["cpu"].to_string()
    }

    #[test]
    fn init_containers_count_by_the_most_that_runs_at_once() {
        let asks = |amount: &str| json!({"resources": {"requests": {"cpu": amount}}});
        let mut sidecar = asks("1");
        sidecar["restartPolicy"] = json!("Always");
        let pod = json!({"spec": {
            "containers": [asks("500m"), asks("500m")],
            "initContainers": [sidecar, asks("3")],
        }});
        assert_eq!(cpu(&pod, Reading::Spec), "4");
        let pod = json!({"spec": {"containers": [asks("2")], "initContainers": [asks("1")]}});
        assert_eq!(cpu(&pod, Reading::Spec), "2");
    }

    #[test]
    fn a_pod_is_charged_for_what_it_still_holds_and_for_overhead() {
        let pod = json!({
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}], "overhead": {"cpu": "250m"}},
            "status": {"containerStatuses": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]},
        });
        assert_eq!(cpu(&pod, Reading::Spec), "1");
        assert_eq!(cpu(&pod, Reading::Charged), "2250m");
    }
}
