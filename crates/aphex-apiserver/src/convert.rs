//! Conversion between versions of built-in kinds that differ in more than the name of the version.
//!
//! Two pairs exist: `events.k8s.io/v1` is a view of core Events, and `autoscaling/v1` one of `autoscaling/v2`.
//! Custom resources have only the None conversion: `apiVersion` changes and nothing else.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::object;
use crate::resource::Resource;

/// Fields of an Event: core name, name in events.k8s.io.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Who reported an event, in the core version: empty there and absent in the other.
const REPORTER: [&str; 2] = ["reportingComponent", "reportingInstance"];

/// Annotation that carries v2 metrics through an `autoscaling/v1` object.
const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/conditions";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pair {
    Events,
    Autoscaler,
}

fn pair(resource: &Resource) -> Option<Pair> {
    match (resource.group.as_str(), resource.version.as_str(), resource.plural.as_str()) {
        ("events.k8s.io", _, "events") => Some(Pair::Events),
        ("autoscaling", "v1", _) => Some(Pair::Autoscaler),
        _ => None,
    }
}

/// Whether this version differs from the stored one in more than its name.
pub fn is_structural(resource: &Resource) -> bool {
    pair(resource).is_some()
}

/// The object in the version that is stored.
pub fn to_storage<'a>(object: &'a Value, resource: &Resource) -> Cow<'a, Value> {
    let Some(pair) = pair(resource) else { return Cow::Borrowed(object) };
    let mut object = object.clone();
    match pair {
        Pair::Events => {
            let map = object::map(&mut object);
            rename(map, |(core, events)| (*events, *core));
            // Fields that the core version always has.
            for field in REPORTER {
                map.entry(field).or_insert_with(|| Value::from(""));
            }
        }
        Pair::Autoscaler => to_v2(&mut object),
    }
    object::put(
        object::map(&mut object),
        "apiVersion",
        Some(Value::String(resource.storage.api_version.clone())),
    );
    Cow::Owned(object)
}

/// A stored object in the version of the resource.
pub fn from_storage(object: &mut Value, resource: &Resource) {
    match pair(resource) {
        Some(Pair::Events) => {
            let map = object::map(object);
            for field in REPORTER {
                if map.get(field).is_some_and(|value| value == "") {
                    map.remove(field);
                }
            }
            rename(map, |(core, events)| (*core, *events));
        }
        Some(Pair::Autoscaler) => to_v1(object),
        None => {}
    }
    object::put(object::map(object), "apiVersion", Some(Value::String(resource.api_version())));
}

fn rename(
    map: &mut Map<String, Value>,
    way: impl Fn(&(&'static str, &'static str)) -> (&'static str, &'static str),
) {
    for (from, to) in EVENT_FIELDS.iter().map(way) {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

fn take_annotation(object: &mut Value, name: &str) -> Option<Value> {
    let annotations = object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?;
    let text = annotations.remove(name)?;
    serde_json::from_str(text.as_str()?).ok()
}

fn annotate(object: &mut Value, name: &str, value: &Value) {
    let annotations = object::map(object::meta_map(object).entry("annotations").or_insert_with(|| json!({})));
    annotations.insert(name.to_owned(), Value::String(value.to_string()));
}

fn is_cpu_utilization(metric: &Value) -> bool {
    metric["type"] == "Resource"
        && metric["resource"]["name"] == "cpu"
        && metric["resource"]["target"]["averageUtilization"].is_number()
}

fn to_v1(object: &mut Value) {
    let metrics = object["spec"].as_object_mut().and_then(|spec| spec.remove("metrics"));
    let mut others = Vec::new();
    for metric in metrics.as_ref().and_then(Value::as_array).into_iter().flatten() {
        if is_cpu_utilization(metric) && object["spec"].get("targetCPUUtilizationPercentage").is_none() {
            let target = metric["resource"]["target"]["averageUtilization"].clone();
            object["spec"]["targetCPUUtilizationPercentage"] = target;
        } else {
            others.push(metric.clone());
        }
    }
    if !others.is_empty() {
        annotate(object, METRICS_ANNOTATION, &Value::Array(others));
    }
    if let Some(behavior) = object["spec"].as_object_mut().and_then(|spec| spec.remove("behavior")) {
        annotate(object, BEHAVIOR_ANNOTATION, &behavior);
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        let conditions = status.remove("conditions");
        let current = status.remove("currentMetrics");
        for metric in current.as_ref().and_then(Value::as_array).into_iter().flatten() {
            let cpu = &metric["resource"]["current"]["averageUtilization"];
            if metric["resource"]["name"] == "cpu" && cpu.is_number() {
                status.insert("currentCPUUtilizationPercentage".to_owned(), cpu.clone());
            }
        }
        if let Some(conditions) = conditions {
            annotate(object, CONDITIONS_ANNOTATION, &conditions);
        }
    }
}

fn to_v2(object: &mut Value) {
    let mut metrics = Vec::new();
    if let Some(target) =
        object["spec"].as_object_mut().and_then(|s| s.remove("targetCPUUtilizationPercentage"))
    {
        let target = json!({"type": "Utilization", "averageUtilization": target});
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    if let Some(Value::Array(others)) = take_annotation(object, METRICS_ANNOTATION) {
        metrics.extend(others);
    }
    if !metrics.is_empty() {
        object["spec"]["metrics"] = Value::Array(metrics);
    }
    if let Some(behavior) = take_annotation(object, BEHAVIOR_ANNOTATION) {
        object["spec"]["behavior"] = behavior;
    }
    let conditions = take_annotation(object, CONDITIONS_ANNOTATION);
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        if let Some(cpu) = status.remove("currentCPUUtilizationPercentage") {
            let metric = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": cpu}}});
            status.insert("currentMetrics".to_owned(), json!([metric]));
        }
        object::put(status, "conditions", conditions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn round_trip(group: &str, plural: &str, object: &Value) -> Value {
        let snapshot = Registry::new().snapshot();
        let resource = snapshot.resource(group, "v1", plural).unwrap();
        let mut stored = to_storage(object, resource).into_owned();
        assert_eq!(stored["apiVersion"], resource.storage.api_version);
        from_storage(&mut stored, resource);
        stored
    }

    #[test]
    fn events_survive_the_round_trip_through_the_core_group() {
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "n", "regarding": {"name": "x"}});
        assert_eq!(round_trip("events.k8s.io", "events", &event), event);
    }

    #[test]
    fn the_cpu_target_of_an_old_autoscaler_is_a_metric_of_the_new_one() {
        let old = json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
            "spec": {"targetCPUUtilizationPercentage": 70, "maxReplicas": 3},
        });
        assert_eq!(round_trip("autoscaling", "horizontalpodautoscalers", &old), old);
    }
}
