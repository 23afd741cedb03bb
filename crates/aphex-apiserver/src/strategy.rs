//! How writes to a kind behave, as data: `pkg/registry/*/strategy.go` of Kubernetes 1.35 boiled down to a table.
//!
//! What a kind's fields must look like is not here but in `builtin` (defaulting, validation).

use crate::resource::Scale;

/// The rule that names of a kind obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain.
    Subdomain,
    /// RFC 1123 label.
    Label,
    /// RFC 1035 label.
    Label1035,
    /// Anything that can be one segment of a path.
    PathSegment,
}

/// How writes to a kind behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// What names must look like.
    pub names: NameRule,
    /// `metadata.generation` counts changes of the spec.
    pub generation: bool,
    /// Fields beside `spec` whose change bumps the generation.
    pub generation_fields: &'static [&'static str],
    /// An update may leave out `metadata.resourceVersion`.
    pub unconditional_update: bool,
    /// An update of an absent object creates it.
    pub create_on_update: bool,
    /// A delete first announces itself and leaves the object for its grace period.
    pub graceful: bool,
    /// A create drops the status that the caller sent.
    pub resets_status: bool,
    /// A report of the status leaves the labels alone.
    pub keeps_labels: bool,
    /// A delete answers with the object as it was, not with a Status.
    pub returns_deleted: bool,
    /// Seconds after which objects go away by themselves.
    pub ttl_seconds: Option<u64>,
}

impl Strategy {
    /// The behaviour of custom resources.
    pub fn custom(has_status: bool) -> Self {
        Self { generation: true, unconditional_update: false, resets_status: has_status, ..PLAIN }
    }
}

const PLAIN: Strategy = Strategy {
    names: NameRule::Subdomain,
    generation: false,
    generation_fields: &[],
    unconditional_update: true,
    create_on_update: false,
    graceful: false,
    resets_status: true,
    keeps_labels: false,
    returns_deleted: false,
    ttl_seconds: None,
};

/// Kinds whose generation follows the spec.
const GENERATION: &[&str] = &[
    "cronjobs.batch",
    "customresourcedefinitions.apiextensions.k8s.io",
    "daemonsets.apps",
    "deployments.apps",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "ingresses.networking.k8s.io",
    "ingressclasses.networking.k8s.io",
    "jobs.batch",
    "networkpolicies.networking.k8s.io",
    "poddisruptionbudgets.policy",
    "pods.",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "replicasets.apps",
    "replicationcontrollers.",
    "statefulsets.apps",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
];

/// Updates of these must name the version they saw.
const CONDITIONAL: &[&str] = &[
    "customresourcedefinitions.apiextensions.k8s.io",
    "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "csistoragecapacities.storage.k8s.io",
    "leases.coordination.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "poddisruptionbudgets.policy",
    "runtimeclasses.node.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "volumeattachments.storage.k8s.io",
];

const CREATE_ON_UPDATE: &[&str] = &[
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "endpoints.",
    "events.",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "limitranges.",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "runtimeclasses.node.k8s.io",
    "services.",
];

/// Objects whose status the creator may set (`nodeStrategy.PrepareForCreate` keeps it).
const KEEPS_STATUS: &[&str] = &["nodes."];

/// Stores with `ReturnDeletedObject`.
const RETURNS_DELETED: &[&str] = &[
    "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "namespaces.",
    "persistentvolumeclaims.",
    "persistentvolumes.",
    "pods.",
    "podtemplates.",
    "resourcequotas.",
    "serviceaccounts.",
    "services.",
    "storageclasses.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "volumeattributesclasses.storage.k8s.io",
];

/// Objects without a spec whose whole content counts for the generation.
const WHOLE_CONTENT: &[&str] = &[
    "endpointslices.discovery.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "podtemplates.",
    "priorityclasses.scheduling.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
];

const CONTENT_FIELDS: &[&str] = &[
    "endpoints",
    "ports",
    "webhooks",
    "template",
    "value",
    "globalDefault",
    "description",
    "preemptionPolicy",
];

/// Events are kept for an hour, as kube-apiserver's `--event-ttl` has it by default.
const EVENT_TTL_SECONDS: u64 = 3600;

/// The behaviour of a built-in kind.
pub fn built_in(group: &str, plural: &str) -> Strategy {
    let id = format!("{plural}.{group}");
    let id = id.as_str();
    let whole = WHOLE_CONTENT.contains(&id);
    Strategy {
        names: name_rule(id),
        generation: whole || GENERATION.contains(&id),
        generation_fields: if whole { CONTENT_FIELDS } else { &[] },
        unconditional_update: !CONDITIONAL.contains(&id),
        create_on_update: CREATE_ON_UPDATE.contains(&id),
        graceful: id == "pods.",
        resets_status: !KEEPS_STATUS.contains(&id),
        keeps_labels: id == "deployments.apps",
        returns_deleted: RETURNS_DELETED.contains(&id),
        ttl_seconds: (plural == "events").then_some(EVENT_TTL_SECONDS),
    }
}

fn name_rule(id: &str) -> NameRule {
    match id {
        "namespaces." => NameRule::Label,
        "services." => NameRule::Label1035,
        "roles.rbac.authorization.k8s.io"
        | "rolebindings.rbac.authorization.k8s.io"
        | "clusterroles.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io"
        | "apiservices.apiregistration.k8s.io" => NameRule::PathSegment,
        _ => NameRule::Subdomain,
    }
}

/// Group and version in which objects of a built-in resource are stored.
///
/// Both `events` resources are views of one set of objects, as in kube-apiserver.
pub fn stored_as<'a>(group: &'a str, preferred: &'a str, plural: &str) -> (&'a str, &'a str) {
    if group == "events.k8s.io" && plural == "events" { ("", "v1") } else { (group, preferred) }
}

/// Fields of a built-in resource that field selectors may name.
pub fn selectable(group: &str, plural: &str) -> &'static [&'static str] {
    match (group, plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "events") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        ("", "secrets") => &["type"],
        ("", "namespaces") => &["status.phase"],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "replicationcontrollers") | ("apps", "replicasets") => &["status.replicas"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("batch", "jobs") => &["status.successful"],
        ("certificates.k8s.io", "certificatesigningrequests") => &["spec.signerName"],
        _ => &[],
    }
}

/// Where a selector field lives in the object, where that is not its name, and its value when absent.
pub fn selectable_place(name: &str) -> (&str, &'static str) {
    match name {
        "spec.unschedulable" | "spec.hostNetwork" => (name, "false"),
        "status.replicas" => (name, "0"),
        "status.successful" => ("status.succeeded", "0"),
        "source" => ("source.component", ""),
        _ => (name, ""),
    }
}

/// Where the built-in kinds with a scale subresource keep its numbers.
pub fn built_in_scale(plural: &str) -> Scale {
    // A ReplicationController's selector is a plain map; a plain map of labels reads the same as matchLabels.
    let _ = plural;
    Scale {
        spec_replicas: "spec.replicas".to_owned(),
        status_replicas: "status.replicas".to_owned(),
        selector: Some("spec.selector".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_differ_where_kubernetes_says_so() {
        assert_eq!(built_in("", "namespaces").names, NameRule::Label);
        assert!(built_in("apps", "deployments").generation);
        assert!(!built_in("", "configmaps").generation);
        assert!(!built_in("coordination.k8s.io", "leases").unconditional_update);
        assert!(built_in("", "pods").graceful);
        assert_eq!(stored_as("events.k8s.io", "v1", "events"), ("", "v1"));
    }
}
