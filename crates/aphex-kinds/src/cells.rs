//! The cells of table rows of built-in kinds: `pkg/printers/internalversion` of Kubernetes 1.35 as a table.
//!
//! Cells come in the order of [`crate::columns`], wide ones included, as kube-apiserver sends them.

mod autoscaling;
mod cluster;
mod events;
mod network;
mod pod;
mod storage;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::age::age;
use crate::fields::{at, int, items, text, texts};
use crate::selector;

/// What a cell shows.
enum Cell {
    /// `metadata.name`.
    Name,
    /// Time since the object was made.
    Age,
    /// The text at a path.
    Text(&'static str),
    /// The text at a path, or other words where it is absent.
    Or(&'static str, &'static str),
    /// The whole number at a path, 0 where it is absent.
    Int(&'static str),
    /// The truth at a path, false where it is absent.
    Bool(&'static str),
    /// How many entries the lists or maps at these paths have together.
    Count(&'static [&'static str]),
    /// Two numbers: so many of so many.
    Ratio(&'static str, &'static str),
    /// The texts of a list, joined by commas.
    Joined(&'static str),
    /// A map of labels.
    Labels(&'static str),
    /// A label selector.
    Selector(&'static str),
    /// Names of the containers at a path.
    Containers(&'static str),
    /// Images of the containers at a path.
    Images(&'static str),
    /// Anything else.
    Made(fn(&Value, Timestamp) -> Value),
}

use Cell::{
    Age, Bool, Containers, Count, Images, Int, Joined, Labels, Made, Name, Or, Ratio, Selector, Text,
};

const PODS: &str = "spec.template.spec.containers";
const NONE: &str = "<none>";
const UNSET: &str = "<unset>";

/// The cells of an object, one for each column of its kind.
pub fn cells(group: &str, kind: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    match row(group, kind) {
        Some(row) => row.iter().map(|cell| show(cell, object, now)).collect(),
        None if (group, kind) == ("", "Pod") => pod::cells(object, now),
        None => vec![json!(text(object, "metadata.name")), json!(text(object, "metadata.creationTimestamp"))],
    }
}

fn row(group: &str, kind: &str) -> Option<&'static [Cell]> {
    match group {
        "" => core(kind),
        "apps" | "batch" | "policy" | "autoscaling" => workloads(kind),
        "networking.k8s.io" | "discovery.k8s.io" => networking(kind),
        "storage.k8s.io" => storage(kind),
        "events.k8s.io" => (kind == "Event").then_some(EVENT),
        _ => clusterwide(group, kind),
    }
}

const EVENT: &[Cell] = &[
    Made(events::last_seen),
    Text("type"),
    Text("reason"),
    Made(events::target),
    Made(events::subobject),
    Made(events::source),
    Made(events::message),
    Made(events::first_seen),
    Made(events::count),
    Name,
];

fn core(kind: &str) -> Option<&'static [Cell]> {
    Some(match kind {
        "ComponentStatus" => &[
            Name,
            Made(cluster::component_status),
            Made(cluster::component_message),
            Made(cluster::component_error),
        ],
        "ConfigMap" => &[Name, Count(&["data", "binaryData"]), Age],
        "Endpoints" => &[Name, Made(network::endpoints), Age],
        "Event" => EVENT,
        "Namespace" => &[Name, Text("status.phase"), Age],
        "Node" => &[
            Name,
            Made(cluster::node_status),
            Made(cluster::node_roles),
            Age,
            Text("status.nodeInfo.kubeletVersion"),
            Made(|node, _| cluster::node_address(node, "InternalIP")),
            Made(|node, _| cluster::node_address(node, "ExternalIP")),
            Or("status.nodeInfo.osImage", "<unknown>"),
            Or("status.nodeInfo.kernelVersion", "<unknown>"),
            Or("status.nodeInfo.containerRuntimeVersion", "<unknown>"),
        ],
        "PersistentVolumeClaim" => storage::CLAIM,
        "PersistentVolume" => storage::VOLUME,
        "PodTemplate" => &[
            Name,
            Containers("template.spec.containers"),
            Images("template.spec.containers"),
            Labels("template.metadata.labels"),
        ],
        "ReplicationController" => &[
            Name,
            Int("spec.replicas"),
            Int("status.replicas"),
            Int("status.readyReplicas"),
            Age,
            Containers(PODS),
            Images(PODS),
            Labels("spec.selector"),
        ],
        "ResourceQuota" => &[Name, Made(cluster::quota_requests), Made(cluster::quota_limits), Age],
        "Secret" => &[Name, Text("type"), Count(&["data"]), Age],
        "ServiceAccount" => &[Name, Age],
        "Service" => network::SERVICE,
        _ => return None,
    })
}

fn workloads(kind: &str) -> Option<&'static [Cell]> {
    Some(match kind {
        "ControllerRevision" => &[Name, Made(workload::controller), Int("revision"), Age],
        "DaemonSet" => workload::DAEMON_SET,
        "Deployment" => workload::DEPLOYMENT,
        "ReplicaSet" => workload::REPLICA_SET,
        "StatefulSet" => {
            &[Name, Ratio("status.readyReplicas", "spec.replicas"), Age, Containers(PODS), Images(PODS)]
        }
        "CronJob" => workload::CRON_JOB,
        "Job" => workload::JOB,
        "PodDisruptionBudget" => &[
            Name,
            Made(|budget, _| workload::bound(budget, "spec.minAvailable")),
            Made(|budget, _| workload::bound(budget, "spec.maxUnavailable")),
            Int("status.disruptionsAllowed"),
            Age,
        ],
        "HorizontalPodAutoscaler" => autoscaling::AUTOSCALER,
        "Scale" => &[Name, Int("spec.replicas"), Int("status.replicas"), Age],
        _ => return None,
    })
}

fn networking(kind: &str) -> Option<&'static [Cell]> {
    Some(match kind {
        "Ingress" => network::INGRESS,
        "IngressClass" => &[Name, Text("spec.controller"), Made(network::class_parameters), Age],
        "IPAddress" => &[Name, Made(network::parent), Age],
        "NetworkPolicy" => &[Name, Selector("spec.podSelector"), Age],
        "ServiceCIDR" => &[Name, Joined("spec.cidrs"), Age],
        "EndpointSlice" => {
            &[Name, Text("addressType"), Made(network::slice_ports), Made(network::slice_endpoints), Age]
        }
        _ => return None,
    })
}

fn storage(kind: &str) -> Option<&'static [Cell]> {
    Some(match kind {
        "CSIDriver" => storage::DRIVER,
        "CSINode" => &[Name, Count(&["spec.drivers"]), Age],
        "StorageClass" => storage::CLASS,
        "VolumeAttachment" => &[
            Name,
            Text("spec.attacher"),
            Text("spec.source.persistentVolumeName"),
            Text("spec.nodeName"),
            Bool("status.attached"),
            Age,
        ],
        "VolumeAttributesClass" => &[Name, Text("driverName"), Age],
        _ => return None,
    })
}

fn clusterwide(group: &str, kind: &str) -> Option<&'static [Cell]> {
    Some(match (group, kind) {
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => cluster::BINDING,
        ("certificates.k8s.io", "CertificateSigningRequest") => cluster::SIGNING_REQUEST,
        ("apiregistration.k8s.io", "APIService") => {
            &[Name, Made(cluster::api_service), Made(cluster::api_available), Age]
        }
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => &[Name, Count(&["webhooks"]), Age],
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => {
            &[Name, Count(&["spec.validations"]), Made(cluster::param_kind), Age]
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            &[Name, Text("spec.policyName"), Made(cluster::param_ref), Age]
        }
        ("scheduling.k8s.io", "PriorityClass") => {
            &[Name, Int("value"), Bool("globalDefault"), Age, Text("preemptionPolicy")]
        }
        ("coordination.k8s.io", "Lease") => &[Name, Text("spec.holderIdentity"), Age],
        ("node.k8s.io", "RuntimeClass") => &[Name, Text("handler"), Age],
        ("resource.k8s.io", "DeviceClass" | "ResourceClaimTemplate") => &[Name, Age],
        ("resource.k8s.io", "ResourceClaim") => &[Name, Made(cluster::claim_state), Age],
        ("resource.k8s.io", "ResourceSlice") => {
            &[Name, Text("spec.nodeName"), Text("spec.driver"), Text("spec.pool.name"), Age]
        }
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => cluster::FLOW_SCHEMA,
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => cluster::PRIORITY_LEVEL,
        _ => return None,
    })
}

fn show(cell: &Cell, object: &Value, now: Timestamp) -> Value {
    match cell {
        Name => json!(text(object, "metadata.name")),
        Age => json!(age(text(object, "metadata.creationTimestamp"), now)),
        Text(path) => json!(text(object, path)),
        Or(path, other) => match text(object, path) {
            "" => json!(other),
            found => json!(found),
        },
        Int(path) => json!(int(object, path)),
        Bool(path) => json!(at(object, path).as_bool().unwrap_or_default()),
        Count(paths) => json!(paths.iter().map(|path| size(at(object, path))).sum::<usize>()),
        Ratio(part, whole) => json!(format!("{}/{}", int(object, part), int(object, whole))),
        Joined(path) => json!(texts(object, path).join(",")),
        Labels(path) => json!(selector::labels(at(object, path))),
        Selector(path) => json!(selector::label_selector(at(object, path))),
        Containers(path) => json!(column_of(object, path, "name")),
        Images(path) => json!(column_of(object, path, "image")),
        Made(make) => make(object, now),
    }
}

fn size(value: &Value) -> usize {
    value.as_array().map(Vec::len).or_else(|| value.as_object().map(serde_json::Map::len)).unwrap_or_default()
}

/// One field of every object in a list, joined by commas.
fn column_of(object: &Value, path: &str, field: &str) -> String {
    items(object, path).iter().map(|item| text(item, field)).collect::<Vec<_>>().join(",")
}

/// Texts of which only the first few are shown.
fn shortened(list: &[String], shown: usize) -> String {
    let text = list.iter().take(shown).map(String::as_str).collect::<Vec<_>>().join(",");
    match list.len().checked_sub(shown) {
        Some(more @ 1..) => format!("{text} + {more} more..."),
        _ => text,
    }
}

/// The condition of a type.
fn condition<'a>(object: &'a Value, path: &str, kind: &str) -> Option<&'a Value> {
    items(object, path).iter().find(|condition| text(condition, "type") == kind)
}
