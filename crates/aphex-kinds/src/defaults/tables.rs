//! Plain defaults of every kind that has some.

use super::fill::Default::{Bool, NonZero, Null, Number, Object, Text};
use super::fill::Table;

/// The plain defaults of a kind.
pub(super) fn of(group: &str, kind: &str) -> Table {
    match (group, kind) {
        ("", "Event") => EVENT,
        ("events.k8s.io", "Event") => NEW_EVENT,
        ("", "Node") => NODE,
        ("", "Secret") => &[("type", Text("Opaque"))],
        ("", "Service") => SERVICE,
        ("", "Endpoints") => &[("subsets[].ports[].protocol", Text("TCP"))],
        ("", "PersistentVolume") => &[
            ("status.phase", Text("Pending")),
            ("spec.persistentVolumeReclaimPolicy", Text("Retain")),
            ("spec.volumeMode", Text("Filesystem")),
            ("spec.hostPath?.type", Text("")),
        ],
        ("", "PersistentVolumeClaim") => &[
            ("status.phase", Text("Pending")),
            ("spec.volumeMode", Text("Filesystem")),
            ("spec.resources", Object),
        ],
        ("", "ReplicationController") | ("apps", "ReplicaSet") => &[("spec.replicas", Number(1))],
        ("apps", "Deployment") => &[
            ("spec.replicas", Number(1)),
            ("spec.strategy.type", Text("RollingUpdate")),
            ("spec.revisionHistoryLimit", Number(10)),
            ("spec.progressDeadlineSeconds", Number(600)),
            ("status?.conditions[].lastTransitionTime", Null),
            ("status?.conditions[].lastUpdateTime", Null),
        ],
        ("apps", "DaemonSet") => {
            &[("spec.updateStrategy.type", Text("RollingUpdate")), ("spec.revisionHistoryLimit", Number(10))]
        }
        ("apps", "StatefulSet") => STATEFUL_SET,
        ("batch", "Job") => &[
            ("spec.completionMode", Text("NonIndexed")),
            ("spec.suspend", Bool(false)),
            ("spec.podFailurePolicy?.rules[].onPodConditions[].status", Text("True")),
        ],
        ("batch", "CronJob") => &[
            ("spec.concurrencyPolicy", Text("Allow")),
            ("spec.suspend", Bool(false)),
            ("spec.successfulJobsHistoryLimit", Number(3)),
            ("spec.failedJobsHistoryLimit", Number(1)),
            ("spec.jobTemplate.metadata", Object),
        ],
        ("autoscaling", "HorizontalPodAutoscaler") => &[("spec.minReplicas", Number(1))],
        ("networking.k8s.io", "NetworkPolicy") => &[
            ("spec.podSelector", Object),
            ("spec.ingress[].ports[].protocol", Text("TCP")),
            ("spec.egress[].ports[].protocol", Text("TCP")),
        ],
        ("networking.k8s.io", "IngressClass") => &[("spec.parameters?.scope", Text("Cluster"))],
        ("discovery.k8s.io", "EndpointSlice") => &[
            ("endpoints[].conditions", Object),
            ("ports[].name", Text("")),
            ("ports[].protocol", Text("TCP")),
        ],
        ("scheduling.k8s.io", "PriorityClass") => &[("preemptionPolicy", Text("PreemptLowerPriority"))],
        ("storage.k8s.io", "StorageClass") => {
            &[("reclaimPolicy", Text("Delete")), ("volumeBindingMode", Text("Immediate"))]
        }
        ("storage.k8s.io", "CSIDriver") => &[
            ("spec.attachRequired", Bool(true)),
            ("spec.podInfoOnMount", Bool(false)),
            ("spec.storageCapacity", Bool(false)),
            ("spec.fsGroupPolicy", Text("ReadWriteOnceWithFSType")),
            ("spec.requiresRepublish", Bool(false)),
            ("spec.seLinuxMount", Bool(false)),
        ],
        ("apiregistration.k8s.io", "APIService") => &[("spec.service?.port", Number(443))],
        ("admissionregistration.k8s.io", kind) => admission(kind),
        ("flowcontrol.apiserver.k8s.io", kind) => flow(kind),
        _ => &[],
    }
}

// Fields that Go's encoder always writes, because they are not pointers.
const EVENT: Table = &[("involvedObject", Object), ("source", Object)];

const NEW_EVENT: Table = &[("deprecatedSource", Object), ("regarding", Object)];

const NODE: Table = &[
    ("spec", Object),
    ("status.conditions[].lastHeartbeatTime", Null),
    ("status.conditions[].lastTransitionTime", Null),
];

const SERVICE: Table = &[
    ("spec.sessionAffinity", Text("None")),
    ("spec.type", Text("ClusterIP")),
    ("spec.ports[].protocol", Text("TCP")),
    ("status.loadBalancer", Object),
];

const STATEFUL_SET: Table = &[
    ("spec.podManagementPolicy", Text("OrderedReady")),
    ("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", Text("Retain")),
    ("spec.persistentVolumeClaimRetentionPolicy.whenScaled", Text("Retain")),
    ("spec.replicas", Number(1)),
    ("spec.revisionHistoryLimit", Number(10)),
    ("spec.volumeClaimTemplates[].status.phase", Text("Pending")),
    ("spec.volumeClaimTemplates[].spec.volumeMode", Text("Filesystem")),
];

fn admission(kind: &str) -> Table {
    match kind {
        "ValidatingWebhookConfiguration" => WEBHOOKS,
        "MutatingWebhookConfiguration" => MUTATING_WEBHOOKS,
        "ValidatingAdmissionPolicy" => &[
            ("spec.failurePolicy", Text("Fail")),
            ("spec.matchConstraints?.matchPolicy", Text("Equivalent")),
            ("spec.matchConstraints?.namespaceSelector", Object),
            ("spec.matchConstraints?.objectSelector", Object),
            ("spec.matchConstraints?.resourceRules[].scope", Text("*")),
            ("spec.matchConstraints?.excludeResourceRules[].scope", Text("*")),
        ],
        "ValidatingAdmissionPolicyBinding" => &[
            ("spec.matchResources?.matchPolicy", Text("Equivalent")),
            ("spec.matchResources?.namespaceSelector", Object),
            ("spec.matchResources?.objectSelector", Object),
            ("spec.matchResources?.resourceRules[].scope", Text("*")),
            ("spec.matchResources?.excludeResourceRules[].scope", Text("*")),
        ],
        _ => &[],
    }
}

const WEBHOOKS: Table = &[
    ("webhooks[].failurePolicy", Text("Fail")),
    ("webhooks[].matchPolicy", Text("Equivalent")),
    ("webhooks[].namespaceSelector", Object),
    ("webhooks[].objectSelector", Object),
    ("webhooks[].timeoutSeconds", Number(10)),
    ("webhooks[].clientConfig?.service?.port", Number(443)),
    ("webhooks[].rules[].scope", Text("*")),
];

const MUTATING_WEBHOOKS: Table = &[
    ("webhooks[].failurePolicy", Text("Fail")),
    ("webhooks[].matchPolicy", Text("Equivalent")),
    ("webhooks[].namespaceSelector", Object),
    ("webhooks[].objectSelector", Object),
    ("webhooks[].timeoutSeconds", Number(10)),
    ("webhooks[].clientConfig?.service?.port", Number(443)),
    ("webhooks[].rules[].scope", Text("*")),
    ("webhooks[].reinvocationPolicy", Text("Never")),
];

fn flow(kind: &str) -> Table {
    match kind {
        "FlowSchema" => &[("spec.matchingPrecedence", NonZero(1000))],
        "PriorityLevelConfiguration" => &[
            ("spec.exempt?.nominalConcurrencyShares", Number(0)),
            ("spec.exempt?.lendablePercent", Number(0)),
            ("spec.limited?.nominalConcurrencyShares", Number(30)),
            ("spec.limited?.lendablePercent", Number(0)),
            ("spec.limited?.limitResponse?.queuing?.handSize", NonZero(8)),
            ("spec.limited?.limitResponse?.queuing?.queues", NonZero(64)),
            ("spec.limited?.limitResponse?.queuing?.queueLengthLimit", NonZero(50)),
        ],
        _ => &[],
    }
}
