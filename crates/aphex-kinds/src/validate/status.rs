//! What controllers may report of workloads: `Validate*StatusUpdate` of 1.35.

use aphex_schema::{FieldError, Path};
use serde_json::Value;

use crate::fields::{at, has, int};

/// Counts of a kind's status: those that are no less than 0, and those among them that are parts of the replicas.
struct Counts {
    all: &'static [&'static str],
    parts: &'static [&'static str],
    /// Of what available replicas are a part, in the words of the message.
    ready: &'static str,
}

fn counts(group: &str, kind: &str) -> Option<Counts> {
    match (group, kind) {
        ("apps", "Deployment") => Some(Counts {
            all: &[
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "terminatingReplicas",
                "collisionCount",
            ],
            parts: &["updatedReplicas", "readyReplicas", "availableReplicas"],
            ready: "readyReplicas",
        }),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => Some(Counts {
            all: &[
                "replicas",
                "fullyLabeledReplicas",
                "readyReplicas",
                "availableReplicas",
                "observedGeneration",
                "terminatingReplicas",
            ],
            parts: &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
            ready: "readyReplicas",
        }),
        ("apps", "StatefulSet") => Some(Counts {
            all: &[
                "replicas",
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                "observedGeneration",
                "collisionCount",
            ],
            parts: &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
            ready: "status.readyReplicas",
        }),
        ("apps", "DaemonSet") => Some(Counts {
            all: &[
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
                "collisionCount",
            ],
            parts: &[],
            ready: "",
        }),
        _ => None,
    }
}

/// Everything wrong with a reported status.
pub(super) fn update(group: &str, kind: &str, new: &Value, old: &Value) -> Vec<FieldError> {
    let Some(counts) = counts(group, kind) else { return Vec::new() };
    let (status, before) = (at(new, "status"), at(old, "status"));
    let path = Path::root().child("status");
    let mut errors = Vec::new();
    let mut invalid = |field: &str, why: &str| {
        errors.push(FieldError::invalid(&path.child(field), int(status, field), why));
    };
    for field in counts.all.iter().filter(|field| int(status, field) < 0) {
        invalid(field, "must be greater than or equal to 0");
    }
    for field in counts.parts.iter().filter(|field| int(status, field) > int(status, "replicas")) {
        invalid(field, "cannot be greater than status.replicas");
    }
    if !counts.ready.is_empty() && int(status, "availableReplicas") > int(status, "readyReplicas") {
        invalid("availableReplicas", &format!("cannot be greater than {}", counts.ready));
    }
    if has(before, "collisionCount") && int(status, "collisionCount") < int(before, "collisionCount") {
        invalid("collisionCount", "cannot be decremented");
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::update;

    #[test]
    fn counts_are_not_negative_and_fit_each_other() {
        let new = json!({"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3, "updatedReplicas": -1}});
        let found: Vec<String> =
            update("apps", "Deployment", &new, &json!({})).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "status.updatedReplicas: Invalid value: -1: must be greater than or equal to 0",
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
            ]
        );
        assert!(update("", "Pod", &new, &json!({})).is_empty());
    }
}
