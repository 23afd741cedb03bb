//! What the runner, and the trigger that makes its runs, may do.

use aphex_api::profile::rule;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject};

use super::{DELIVERY_READER, DISPATCHER, LISTENER_READER, RUNNER, cluster_metadata, metadata};
use crate::context::Settings;
use crate::organization::{
    GATEWAY, GATEWAY_AT_LISTENER, GATEWAY_AT_TENANT, gateway_binding, listener_rules, user_subject as user,
};
use crate::repo_binding::shape::Shape;
use crate::repo_binding::validate::Valid;

/// The account that pipelines run as.
pub(super) fn runner(valid: &Valid) -> ServiceAccount {
    ServiceAccount { metadata: metadata(valid, RUNNER), ..ServiceAccount::default() }
}

/// The runner's rights by profile, and those of whoever starts it.
///
/// An organization's trigger makes runs, here and nowhere else, and may do nothing more. The listener of a tenant that stands
/// alone runs as the runner, who makes runs by its profile, and besides finds its triggers, which hold no secrets.
///
/// The runner sees no Deliveries: what an event said is for people. An organization's administrators see those of its tenants.
pub(super) fn roles(valid: &Valid) -> Vec<Role> {
    let role = |name: &str, rules| Role { metadata: metadata(valid, name), rules: Some(rules) };
    let starter = if valid.organization().is_some() {
        role(DISPATCHER, vec![rule("tekton.dev", &["pipelineruns"], &["create"])])
    } else {
        role(LISTENER_READER, listener_rules())
    };
    let mut roles = vec![role(RUNNER, valid.profile.rules()), starter];
    if valid.organization().is_some() {
        roles.push(role(DELIVERY_READER, vec![rule("aphex.io", &["deliveries"], &["get", "list", "watch"])]));
    }
    roles
}

pub(super) fn role_bindings(valid: &Valid, settings: &Settings) -> Vec<RoleBinding> {
    let binding = |name: &str, subject| RoleBinding {
        metadata: metadata(valid, name),
        role_ref: role_ref("Role", name),
        subjects: Some(vec![subject]),
    };
    let runner = binding(RUNNER, runner_subject(valid));
    let Shape::Organization { name: organization, admins, .. } = &valid.shape else {
        let gateway = gateway_binding(metadata(valid, GATEWAY), GATEWAY_AT_LISTENER, settings);
        return vec![runner, binding(LISTENER_READER, runner_subject(valid)), gateway];
    };
    let trigger = Subject {
        kind: "ServiceAccount".to_owned(),
        name: valid.tenant.trigger(),
        namespace: Some(organization.namespace()),
        api_group: None,
    };
    let readers = RoleBinding {
        metadata: metadata(valid, DELIVERY_READER),
        role_ref: role_ref("Role", DELIVERY_READER),
        subjects: Some(admins.iter().map(user).collect::<Vec<_>>()).filter(|subjects| !subjects.is_empty()),
    };
    let gateway = gateway_binding(metadata(valid, GATEWAY), GATEWAY_AT_TENANT, settings);
    vec![runner, binding(DISPATCHER, trigger), readers, gateway]
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
