//! What Kubernetes fills in where a built-in object leaves something out: `pkg/apis/*/*/defaults.go` of 1.35.
//!
//! Plain defaults are rows of tables; functions hold those that depend on other fields. Defaults of RBAC objects,
//! custom resource definitions and namespaces are the API server's own.

pub(crate) mod fill;
mod network;
mod pod;
mod quantities;
mod tables;
mod workload;

use serde_json::{Value, json};

use crate::fields::{at, has, items, map, map_at};
use crate::prepare::settle_data;
use fill::{each, fill};

/// Fills in what an object of a built-in kind leaves out.
pub fn apply_defaults(group: &str, version: &str, kind: &str, object: &mut Value) {
    fill(object, tables::of(group, kind));
    match (group, kind) {
        ("", "Pod") => pod::pod(object),
        ("", "PodTemplate") => pod::template(map(object).entry("template").or_insert(Value::Null)),
        ("", "ReplicationController") => workload::replication_controller(object),
        ("", "Service") => network::service(object),
        ("", "LimitRange") => limit_range(object),
        ("", "ResourceQuota") => {
            for path in ["spec.hard", "status.hard", "status.used"] {
                quantities::rounded(object, path);
            }
        }
        ("", "PersistentVolume") => quantities::rounded(object, "spec.capacity"),
        ("", "PersistentVolumeClaim") => {
            for path in ["spec.resources.limits", "spec.resources.requests", "status.capacity"] {
                quantities::rounded(object, path);
            }
        }
        ("", "Node") => node(object),
        ("", "Secret") => settle_data(kind, object),
        ("apps", "Deployment") => workload::deployment(object),
        ("apps", "DaemonSet") => workload::daemon_set(object),
        ("apps", "StatefulSet") => workload::stateful_set(object),
        ("apps", "ReplicaSet") => pod::template(map_at_value(object, "template")),
        ("batch", "Job") => workload::job(object),
        ("batch", "CronJob") => workload::cron_job(object),
        ("autoscaling", "HorizontalPodAutoscaler") if version == "v2" => workload::autoscaler(object),
        ("networking.k8s.io", "NetworkPolicy") => network::policy(object),
        ("storage.k8s.io", "CSIDriver") if items(object, "spec.volumeLifecycleModes").is_empty() => {
            map_at(object, "spec").insert("volumeLifecycleModes".to_owned(), json!(["Persistent"]));
        }
        _ => {}
    }
}

/// A field of the spec, made where it is absent.
fn map_at_value<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    map_at(object, "spec").entry(field).or_insert(Value::Null)
}

/// Limits of containers default from the maximum, requests from limits and then from the minimum.
fn limit_range(range: &mut Value) {
    each(range, "spec.limits[]", &mut |limit| {
        for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            quantities::rounded(limit, field);
        }
        if at(limit, "type") != "Container" {
            return;
        }
        for (source, target) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")]
        {
            let from = at(limit, source).as_object().cloned().unwrap_or_default();
            let into = map_at(limit, target);
            for (name, quantity) in from {
                into.entry(name).or_insert(quantity);
            }
        }
        // Empty maps are not written.
        for field in ["default", "defaultRequest"] {
            if at(limit, field).as_object().is_some_and(serde_json::Map::is_empty) {
                map(limit).remove(field);
            }
        }
    });
}

fn node(node: &mut Value) {
    quantities::rounded(node, "status.capacity");
    quantities::rounded(node, "status.allocatable");
    if has(node, "status.capacity") && !has(node, "status.allocatable") {
        let capacity = at(node, "status.capacity").clone();
        map_at(node, "status").insert("allocatable".to_owned(), capacity);
    }
}
