//! What the runner, and the trigger that makes its runs, may do.

use aphex_api::profile::rule;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject};

use super::{DISPATCHER, RUNNER, cluster_metadata, metadata};
use crate::repo_binding::validate::Valid;

/// The account that pipelines run as.
pub(super) fn runner(valid: &Valid) -> ServiceAccount {
    ServiceAccount { metadata: metadata(valid, RUNNER), ..ServiceAccount::default() }
}

/// The runner's rights by profile; the trigger makes runs, here and nowhere else, and may do nothing more.
pub(super) fn roles(valid: &Valid) -> Vec<Role> {
    vec![
        Role { metadata: metadata(valid, RUNNER), rules: Some(valid.profile.rules()) },
        Role {
            metadata: metadata(valid, DISPATCHER),
            rules: Some(vec![rule("tekton.dev", &["pipelineruns"], &["create"])]),
        },
    ]
}

pub(super) fn role_bindings(valid: &Valid) -> Vec<RoleBinding> {
    let binding = |name: &str, subject| RoleBinding {
        metadata: metadata(valid, name),
        role_ref: role_ref("Role", name),
        subjects: Some(vec![subject]),
    };
    let trigger = Subject {
        kind: "ServiceAccount".to_owned(),
        name: valid.tenant.trigger(),
        namespace: Some(valid.organization.namespace()),
        api_group: None,
    };
    vec![binding(RUNNER, runner_subject(valid)), binding(DISPATCHER, trigger)]
}

pub(super) fn cluster_role(valid: &Valid) -> ClusterRole {
    ClusterRole {
        metadata: cluster_metadata(valid, valid.tenant.cluster_role()),
        rules: Some(valid.profile.cluster_rules()),
        aggregation_rule: None,
    }
}

pub(super) fn cluster_role_binding(valid: &Valid) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: cluster_metadata(valid, valid.tenant.cluster_role()),
        role_ref: role_ref("ClusterRole", &valid.tenant.cluster_role()),
        subjects: Some(vec![runner_subject(valid)]),
    }
}

fn runner_subject(valid: &Valid) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: RUNNER.to_owned(),
        namespace: Some(valid.tenant.namespace()),
        api_group: None,
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}
