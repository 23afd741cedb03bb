//! Who may do what in an organization's namespace.

use aphex_api::names::AdminEmail;
use aphex_api::profile::rule;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::core::ObjectMeta;

use super::{
    ADMIN_ROLE, GATEWAY, GATEWAY_AT_LISTENER, GATEWAY_AT_PAYLOADS, LISTENER_ACCOUNT, LISTENER_DISPATCHER,
    LISTENER_READER, ORGANIZATION_SECRETS, SECRET_READER, cluster_metadata, metadata,
};
use crate::context::Settings;
use crate::organization::validate::Valid;

const READ: [&str; 3] = ["get", "list", "watch"];

pub(super) fn accounts(valid: &Valid) -> Vec<ServiceAccount> {
    let account =
        |name| ServiceAccount { metadata: metadata(&valid.name, name), ..ServiceAccount::default() };
    vec![account(SECRET_READER), account(LISTENER_ACCOUNT)]
}

pub(super) fn roles(valid: &Valid) -> Vec<Role> {
    let role = |name, rules| Role { metadata: metadata(&valid.name, name), rules: Some(rules) };
    vec![
        role(SECRET_READER, vec![organization_secrets(&["get"])]),
        role(LISTENER_ACCOUNT, listener_rules()),
        role(ADMIN_ROLE, admin_rules()),
    ]
}

pub(super) fn role_bindings(valid: &Valid, settings: &Settings) -> Vec<RoleBinding> {
    let binding = |name: String, role: &str, subject: Subject| RoleBinding {
        metadata: metadata(&valid.name, name),
        role_ref: role_ref("Role", role),
        subjects: Some(vec![subject]),
    };
    let mut bindings = vec![
        binding(SECRET_READER.to_owned(), SECRET_READER, account_subject(valid, SECRET_READER)),
        binding(LISTENER_ACCOUNT.to_owned(), LISTENER_ACCOUNT, account_subject(valid, LISTENER_ACCOUNT)),
        gateway_binding(metadata(&valid.name, GATEWAY), GATEWAY_AT_LISTENER, settings),
        gateway_binding(metadata(&valid.name, GATEWAY_AT_PAYLOADS), GATEWAY_AT_PAYLOADS, settings),
        dispatcher_binding(valid),
    ];
    let admins = valid.admins.iter();
    bindings.extend(admins.map(|admin| binding(admin.role_binding(), ADMIN_ROLE, user_subject(admin))));
    bindings
}

/// A person.
pub(crate) fn user_subject(user: &AdminEmail) -> Subject {
    Subject {
        api_group: Some("rbac.authorization.k8s.io".to_owned()),
        kind: "User".to_owned(),
        name: user.to_string(),
        namespace: None,
    }
}

/// Lets the gateway work in a namespace, by one of its roles: at a listener it reads webhook secrets, keeps Deliveries and acts as the accounts
/// of triggers; in a tenant of an organization it keeps Deliveries and does nothing else.
pub(crate) fn gateway_binding(metadata: ObjectMeta, role: &str, settings: &Settings) -> RoleBinding {
    let gateway = Subject {
        kind: "ServiceAccount".to_owned(),
        name: GATEWAY.to_owned(),
        namespace: Some(settings.platform_namespace.clone()),
        api_group: None,
    };
    RoleBinding { metadata, role_ref: role_ref("ClusterRole", role), subjects: Some(vec![gateway]) }
}

/// Lets Tekton's own sink act as the accounts of triggers, here and nowhere else.
fn dispatcher_binding(valid: &Valid) -> RoleBinding {
    RoleBinding {
        metadata: metadata(&valid.name, LISTENER_DISPATCHER),
        role_ref: role_ref("ClusterRole", LISTENER_DISPATCHER),
        subjects: Some(vec![account_subject(valid, LISTENER_ACCOUNT)]),
    }
}

/// What a listener reads at cluster scope; it creates nothing itself, each trigger has an account of its own.
pub(super) fn listener_cluster_role(valid: &Valid) -> ClusterRole {
    ClusterRole {
        metadata: cluster_metadata(&valid.name, valid.name.listener_cluster_role()),
        rules: Some(vec![rule(
            "triggers.tekton.dev",
            &["clusterinterceptors", "clustertriggerbindings"],
            &READ,
        )]),
        aggregation_rule: None,
    }
}

/// Tekton's sink reads triggers of all namespaces as soon as its listener selects some (`--is-multi-ns` in tektoncd/triggers,
/// pkg/reconciler/eventlistener/resources/container.go), and does not start without that right.
pub(super) fn listener_cluster_role_bindings(valid: &Valid) -> Vec<ClusterRoleBinding> {
    let binding = |name: String, role: &str| ClusterRoleBinding {
        metadata: cluster_metadata(&valid.name, name),
        role_ref: role_ref("ClusterRole", role),
        subjects: Some(vec![account_subject(valid, LISTENER_ACCOUNT)]),
    };
    let own = valid.name.listener_cluster_role();
    vec![binding(own.clone(), &own), binding(format!("aphex-listener-{}", valid.name), LISTENER_READER)]
}

/// What a listener reads to find its triggers.
pub(crate) fn listener_rules() -> Vec<PolicyRule> {
    let kinds = ["eventlisteners", "triggers", "triggerbindings", "triggertemplates", "interceptors"];
    vec![rule("triggers.tekton.dev", &kinds, &READ)]
}

/// What administrators may do here: keep the shared secrets, see everything else but secrets.
///
/// They may create secrets, since a name cannot limit creation, but read only the shared one: the webhook secrets of
/// bindings lie here too.
fn admin_rules() -> Vec<PolicyRule> {
    vec![
        organization_secrets(&["get", "update", "patch", "delete"]),
        rule("", &["secrets"], &["create"]),
        rule("", &["configmaps", "events", "pods", "pods/log", "serviceaccounts", "services"], &READ),
        rule(
            "triggers.tekton.dev",
            &["eventlisteners", "triggers", "triggerbindings", "triggertemplates", "interceptors"],
            &READ,
        ),
        rule("aphex.io", &["deliveries"], &READ),
    ]
}

fn organization_secrets(verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        resource_names: Some(vec![ORGANIZATION_SECRETS.to_owned()]),
        ..rule("", &["secrets"], verbs)
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn account_subject(valid: &Valid, name: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: Some(valid.name.namespace()),
        api_group: None,
    }
}
