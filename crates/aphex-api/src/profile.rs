//! What a permission profile allows, as data: rights, quota, network.

use k8s_openapi::api::rbac::v1::PolicyRule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a tenant may do.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum PermissionProfile {
    /// Runs pipelines in its own namespace.
    #[default]
    Standard,
    /// Also keeps workloads there, reads cluster infrastructure, and has twice the quota.
    Elevated,
}

/// What a tenant namespace may use in total, as Kubernetes quantities in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Sum of CPU requests.
    pub requests_cpu: &'static str,
    /// Sum of memory requests.
    pub requests_memory: &'static str,
    /// Sum of CPU limits.
    pub limits_cpu: &'static str,
    /// Sum of memory limits.
    pub limits_memory: &'static str,
    /// Sum of storage requests.
    pub requests_storage: &'static str,
    /// Number of PersistentVolumeClaims.
    pub persistent_volume_claims: &'static str,
    /// Number of pods.
    pub pods: &'static str,
}

const EDIT: [&str; 5] = ["get", "list", "create", "update", "delete"];
const READ: [&str; 3] = ["get", "list", "watch"];

impl PermissionProfile {
    /// The wire value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Elevated => "elevated",
        }
    }

    /// What the runner may do in its own namespace.
    #[must_use]
    pub fn rules(self) -> Vec<PolicyRule> {
        match self {
            Self::Standard => vec![
                rule("", &["pods", "pods/log", "configmaps", "secrets"], &EDIT),
                rule("tekton.dev", &["pipelineruns", "taskruns"], &["get", "list", "create"]),
            ],
            Self::Elevated => vec![
                rule(
                    "",
                    &["pods", "pods/log", "configmaps", "secrets", "services", "persistentvolumeclaims"],
                    &EDIT,
                ),
                rule("tekton.dev", &["pipelineruns", "taskruns", "pipelines", "tasks"], &EDIT),
                rule("apps", &["deployments", "statefulsets"], &EDIT),
            ],
        }
    }

    /// What the runner may read at cluster scope.
    #[must_use]
    pub fn cluster_rules(self) -> Vec<PolicyRule> {
        let mut rules =
            vec![rule("triggers.tekton.dev", &["clusterinterceptors", "clustertriggerbindings"], &READ)];
        if self == Self::Elevated {
            rules.push(rule("", &["nodes", "namespaces", "persistentvolumes"], &READ));
            rules.push(rule("storage.k8s.io", &["storageclasses"], &READ));
            rules.push(rule("networking.k8s.io", &["ingressclasses"], &READ));
            rules.push(rule("apiextensions.k8s.io", &["customresourcedefinitions"], &READ));
        }
        rules
    }

    /// What the tenant namespace may use in total.
    #[must_use]
    pub fn quota(self) -> Quota {
        match self {
            Self::Standard => Quota {
                requests_cpu: "2",
                requests_memory: "4Gi",
                limits_cpu: "4",
                limits_memory: "8Gi",
                requests_storage: "10Gi",
                persistent_volume_claims: "5",
                pods: "20",
            },
            Self::Elevated => Quota {
                requests_cpu: "4",
                requests_memory: "8Gi",
                limits_cpu: "8",
                limits_memory: "16Gi",
                requests_storage: "20Gi",
                persistent_volume_claims: "5",
                pods: "20",
            },
        }
    }
}

/// A rule over resources of one API group.
#[must_use]
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_elevated_profile_reads_nodes_and_keeps_deployments() {
        let has = |rules: &[PolicyRule], resource: &str| {
            rules.iter().any(|r| r.resources.iter().flatten().any(|name| name == resource))
        };
        let (standard, elevated) = (PermissionProfile::Standard, PermissionProfile::Elevated);
        assert!(!has(&standard.cluster_rules(), "nodes") && has(&elevated.cluster_rules(), "nodes"));
        assert!(!has(&standard.rules(), "deployments") && has(&elevated.rules(), "deployments"));
    }

    #[test]
    fn cluster_rules_only_read() {
        for profile in [PermissionProfile::Standard, PermissionProfile::Elevated] {
            assert!(profile.cluster_rules().iter().all(|rule| rule.verbs == ["get", "list", "watch"]));
        }
    }

    #[test]
    fn the_wire_value_is_what_serde_writes() {
        for profile in [PermissionProfile::Standard, PermissionProfile::Elevated] {
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.as_str());
        }
    }
}
