//! What the server decides about new and changed objects: `PrepareForCreate` and `PrepareForUpdate` of 1.35.
//!
//! Status resets, generations and namespaces are the API server's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::defaults::fill::Default::{Null, Number, Object, Text};
use crate::defaults::fill::{Table, each, fill};
use crate::fields::{at, entries, has, int, items, map, map_at, text};
use crate::qos;

/// Fills in what the server decides about a new object; the status that the caller sent is gone by now.
pub fn prepare_create(group: &str, kind: &str, object: &mut Value) {
    match (group, kind) {
        ("", "Secret" | "ConfigMap") => settle_data(kind, object),
        ("", "Pod") => {
            let class = qos::class(object);
            let status = map_at(object, "status");
            status.insert("phase".to_owned(), json!("Pending"));
            status.insert("qosClass".to_owned(), json!(class));
        }
        ("batch", "Job") => select_own_pods(object),
        ("", "PersistentVolume") => {
            let now = at(object, "metadata.creationTimestamp").clone();
            map_at(object, "status").entry("lastPhaseTransitionTime").or_insert(now);
        }
        // Kept for clients of times before revisions of templates.
        ("apps", "DaemonSet") => set_template_generation(object, 1),
        _ => {}
    }
    fill(object, first_status(group, kind));
    fill(object, unset(group, kind));
    if text(object, "apiVersion") == "autoscaling/v2" && kind == "HorizontalPodAutoscaler" {
        fill(object, &[("status.currentMetrics", Null)]);
    }
}

/// What Go's encoder writes of an event or node that leaves it out; nobody owns it.
fn unset(group: &str, kind: &str) -> Table {
    match (group, kind) {
        ("", "Event") => &[
            ("eventTime", Null),
            ("firstTimestamp", Null),
            ("lastTimestamp", Null),
            ("reportingComponent", Text("")),
            ("reportingInstance", Text("")),
        ],
        ("", "Node") => &[
            ("status.daemonEndpoints.kubeletEndpoint.Port", Number(0)),
            ("status.nodeInfo.architecture", Text("")),
            ("status.nodeInfo.bootID", Text("")),
            ("status.nodeInfo.containerRuntimeVersion", Text("")),
            ("status.nodeInfo.kernelVersion", Text("")),
            ("status.nodeInfo.kubeProxyVersion", Text("")),
            ("status.nodeInfo.kubeletVersion", Text("")),
            ("status.nodeInfo.machineID", Text("")),
            ("status.nodeInfo.operatingSystem", Text("")),
            ("status.nodeInfo.osImage", Text("")),
            ("status.nodeInfo.systemUUID", Text("")),
        ],
        ("events.k8s.io", "Event") => {
            &[("eventTime", Null), ("deprecatedFirstTimestamp", Null), ("deprecatedLastTimestamp", Null)]
        }
        _ => &[],
    }
}

/// The status of a new object: what Go's encoder writes of an empty one.
fn first_status(group: &str, kind: &str) -> Table {
    match (group, kind) {
        ("", "PersistentVolumeClaim" | "PersistentVolume") => &[("status.phase", Text("Pending"))],
        ("", "Service") | ("networking.k8s.io", "Ingress") => &[("status.loadBalancer", Object)],
        ("", "ReplicationController") | ("apps", "ReplicaSet") => &[("status.replicas", Number(0))],
        ("apps", "StatefulSet") => &[("status.replicas", Number(0)), ("status.availableReplicas", Number(0))],
        ("apps", "DaemonSet") => &[
            ("status.currentNumberScheduled", Number(0)),
            ("status.desiredNumberScheduled", Number(0)),
            ("status.numberMisscheduled", Number(0)),
            ("status.numberReady", Number(0)),
        ],
        ("policy", "PodDisruptionBudget") => &[
            ("status.currentHealthy", Number(0)),
            ("status.desiredHealthy", Number(0)),
            ("status.disruptionsAllowed", Number(0)),
            ("status.expectedPods", Number(0)),
        ],
        ("autoscaling", "HorizontalPodAutoscaler") => &[("status.desiredReplicas", Number(0))],
        ("", "ResourceQuota")
        | ("apps", "Deployment")
        | ("batch", "Job" | "CronJob")
        | ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy")
        | ("flowcontrol.apiserver.k8s.io", "FlowSchema" | "PriorityLevelConfiguration") => {
            &[("status", Object)]
        }
        _ => &[],
    }
}

/// Carries over what an update cannot change.
pub fn prepare_update(group: &str, kind: &str, new: &mut Value, old: &Value) {
    match (group, kind) {
        ("", "Secret" | "ConfigMap") => settle_data(kind, new),
        ("apps", "DaemonSet") => {
            let changed = at(new, "spec.template") != at(old, "spec.template");
            set_template_generation(new, template_generation(old) + i64::from(changed));
        }
        _ => {}
    }
    fill(new, unset(group, kind));
}

/// Carries over what was allocated, after the ownership of fields was recorded.
pub fn settle_update(group: &str, kind: &str, new: &mut Value, old: &Value) {
    if (group, kind) == ("", "Service") {
        keep_addresses(new, old);
        drop_unneeded(new, old);
    }
}

/// A job that does not bring its own selector gets one for the pods made from its template.
fn select_own_pods(job: &mut Value) {
    if at(job, "spec.manualSelector") == true {
        return;
    }
    let (uid, name) = (text(job, "metadata.uid").to_owned(), text(job, "metadata.name").to_owned());
    let labels = map_at(job, "spec.template.metadata.labels");
    for prefix in ["", "batch.kubernetes.io/"] {
        labels.insert(format!("{prefix}controller-uid"), json!(uid));
        labels.insert(format!("{prefix}job-name"), json!(name));
    }
    let labels = labels.clone();
    if entries(job, "metadata.labels").is_empty() {
        // What is read back from the store gets the labels of its template by default.
        *map_at(job, "metadata.labels") = labels;
    }
    let selected = map_at(job, "spec.selector.matchLabels");
    selected.insert("batch.kubernetes.io/controller-uid".to_owned(), json!(uid));
}

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(set: &Value) -> i64 {
    let annotation = at(set, "metadata.annotations").get(TEMPLATE_GENERATION).and_then(Value::as_str);
    annotation.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn set_template_generation(set: &mut Value, generation: i64) {
    map_at(set, "metadata.annotations").insert(TEMPLATE_GENERATION.to_owned(), json!(generation.to_string()));
}

/// Data as it is kept: texts of a secret encoded, no empty maps.
///
/// `stringData` is for writing only; a text wins over data of the same key.
pub(crate) fn settle_data(kind: &str, object: &mut Value) {
    let texts: Vec<(String, String)> = entries(object, "stringData")
        .into_iter()
        .map(|(key, value)| (key.to_owned(), STANDARD.encode(value.as_str().unwrap_or_default())))
        .collect();
    if kind == "Secret" {
        map(object).remove("stringData");
        for (key, value) in texts {
            map_at(object, "data").insert(key, json!(value));
        }
    }
    map(object).retain(|field, value| {
        let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        !(empty && matches!(field.as_str(), "data" | "binaryData" | "immutable"))
    });
}

/// A service that does not say otherwise keeps the addresses it was given, unless its type has none.
fn keep_addresses(new: &mut Value, old: &Value) {
    if [&*new, old].into_iter().all(|service| text(service, "spec.type") != "ExternalName") {
        // Who writes the single address only means the list as well.
        let single = at(new, "spec.clusterIP").clone();
        if has(old, "spec.clusterIP")
            && single != *at(old, "spec.clusterIP")
            && at(new, "spec.clusterIPs") == at(old, "spec.clusterIPs")
        {
            let list =
                if matches!(&single, Value::Null) || single == "" { Value::Null } else { json!([single]) };
            map_at(new, "spec").insert("clusterIPs".to_owned(), list);
        }
        keep(new, old, &["spec.clusterIP", "spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy"]);
    }
}

/// What a service of its new type does not have goes, unless the change is about it.
///
/// `patchAllocatedValues` and `dropTypeDependentFields` of `pkg/registry/core/service`.
fn drop_unneeded(new: &mut Value, old: &Value) {
    let kind = |service: &Value| text(service, "spec.type").to_owned();
    let on_nodes = |service: &Value| matches!(text(service, "spec.type"), "NodePort" | "LoadBalancer");
    match (on_nodes(old), on_nodes(new)) {
        (true, true) => keep_node_ports(new, old),
        (true, false) if node_ports(new) == node_ports(old) => {
            each(new, "spec.ports[]", &mut |port| drop(map(port).remove("nodePort")));
        }
        _ => {}
    }
    let mut gone: Vec<&str> = Vec::new();
    if kind(old) != "ExternalName" && kind(new) == "ExternalName" {
        gone.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]);
    }
    if kind(old) == "LoadBalancer" && kind(new) != "LoadBalancer" {
        gone.extend(["allocateLoadBalancerNodePorts", "healthCheckNodePort", "loadBalancerClass"]);
    }
    if on_nodes(old) && !on_nodes(new) {
        gone.push("externalTrafficPolicy");
    }
    for field in gone {
        if at(new, "spec").get(field) == at(old, "spec").get(field) {
            map_at(new, "spec").remove(field);
        }
    }
}

/// A port of the same name keeps its port on the nodes, unless another port has it now.
fn keep_node_ports(new: &mut Value, old: &Value) {
    let (before, now) = (node_ports(old), node_ports(new));
    let known: Vec<(String, i64)> = items(old, "spec.ports")
        .iter()
        .map(|port| (text(port, "name").to_owned(), int(port, "nodePort")))
        .collect();
    each(new, "spec.ports[]", &mut |port| {
        let kept = known.iter().find(|(name, _)| name == text(port, "name")).map(|(_, number)| *number);
        let used = |number: i64| before.contains(&number) && now.contains(&number);
        if let Some(number) =
            kept.filter(|number| int(port, "nodePort") == 0 && *number != 0 && !used(*number))
        {
            map(port).insert("nodePort".to_owned(), json!(number));
        }
    });
}

fn node_ports(service: &Value) -> Vec<i64> {
    items(service, "spec.ports").iter().map(|port| int(port, "nodePort")).collect()
}

fn keep(new: &mut Value, old: &Value, paths: &[&str]) {
    for path in paths {
        let absent = !has(new, path) || at(new, path) == "";
        if let (true, true, Some((parent, field))) = (absent, has(old, path), path.rsplit_once('.')) {
            map_at(new, parent).insert(field.to_owned(), at(old, path).clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_secret_win_over_data_and_are_not_kept() {
        let mut secret = json!({"data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"}});
        prepare_create("", "Secret", &mut secret);
        assert_eq!(secret, json!({"data": {"a": "bmV3", "b": "Yg=="}}));
    }

    #[test]
    fn other_kinds_are_left_alone() {
        let mut role = json!({"stringData": {"a": "b"}});
        prepare_create("rbac.authorization.k8s.io", "Role", &mut role);
        assert_eq!(role, json!({"stringData": {"a": "b"}}));
    }

    #[test]
    fn a_job_selects_the_pods_of_its_template() {
        let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {}});
        prepare_create("batch", "Job", &mut job);
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels["job-name"], "j");
        assert_eq!(labels["batch.kubernetes.io/controller-uid"], "u");
        assert_eq!(
            job["spec"]["selector"],
            json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}})
        );
    }

    #[test]
    fn a_service_keeps_its_address() {
        let old =
            json!({"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}});
        let mut new = json!({"spec": {"type": "ClusterIP", "clusterIP": ""}});
        settle_update("", "Service", &mut new, &old);
        assert_eq!(new, old);
    }
}
