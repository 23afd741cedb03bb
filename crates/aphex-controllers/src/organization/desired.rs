//! Everything an Organization wants on the engine.

mod event_listener;
mod ingress;
mod namespace;
mod rbac;
mod secret_store;
mod tunnel;

pub(crate) use event_listener::push_params;
pub(crate) use rbac::{gateway_binding, listener_rules, user_subject};

use aphex_api::foreign::external_secrets::ClusterSecretStore;
use aphex_api::foreign::triggers::{EventListener, TriggerBinding};
use aphex_api::labels;
use aphex_api::names::OrgName;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::core::ObjectMeta;

use super::validate::Valid;
use crate::apply::{Owned, desired_set};
use crate::context::Settings;

/// The Secret with the organization's own webhook secret.
pub const WEBHOOK_SECRET: &str = "github-webhook-secret";
/// The EventListener, and its ServiceAccount below.
pub(crate) const LISTENER: &str = "github-listener";
/// The ServiceAccount the listener runs as.
pub(super) const LISTENER_ACCOUNT: &str = "eventlistener";
/// The ServiceAccount, Role and RoleBinding by which External Secrets reads the organization's secrets.
pub(super) const SECRET_READER: &str = "eso-secrets-reader";
/// The Secret in which an organization keeps what it shares with its tenants.
pub(super) const ORGANIZATION_SECRETS: &str = "org-secrets";
/// The TriggerBinding that every push trigger of the organization uses.
pub(crate) const PUSH_BINDING: &str = "github-push-binding";
/// The gateway's ServiceAccount, in the platform's namespace, and the RoleBinding that lets it work here.
pub(crate) const GATEWAY: &str = "aphex-gateway";
/// The gateway's Service in the platform's namespace, and its port's name.
const GATEWAY_SERVICE: &str = "aphex-gateway";
const GATEWAY_PORT: &str = "http";
/// The ClusterRole that the RoleBinding gives; part of the platform's manifests.
pub(crate) const GATEWAY_AT_LISTENER: &str = "aphex-gateway-listener";
/// The RoleBinding beside it, and the ClusterRole by which it looks for parts of tenants' payloads that nobody needs.
pub(super) const GATEWAY_AT_PAYLOADS: &str = "aphex-gateway-payloads";
/// The ClusterRole by which it keeps Deliveries in the namespaces of tenants.
pub(crate) const GATEWAY_AT_TENANT: &str = "aphex-gateway-tenant";
/// The RoleBinding that lets Tekton's own sink, where there is one, act as the accounts of triggers; and what it gives.
pub(super) const LISTENER_DISPATCHER: &str = "aphex-listener-dispatcher";
/// What Tekton's own sink reads in all namespaces once a listener selects some; part of the platform's manifests.
pub(super) const LISTENER_READER: &str = "aphex-listener-reader";
/// The Role of administrators.
pub(super) const ADMIN_ROLE: &str = "organization-admin";

desired_set! {
    /// Everything an Organization wants, in the order in which it is applied.
    pub struct Desired {
        /// First, for everything else is in it.
        pub namespace: Namespace,
    } then {
        /// Closed before anything runs in it.
        pub network_policy: NetworkPolicy,
        /// Before the listener that may refer to it.
        pub webhook_secret: Secret,
        /// As soon as there is a tunnel: its secret is kept before a public name leads to it.
        pub tunnel_credentials: Secret,
        /// Before the connectors that read it.
        pub tunnel_config: ConfigMap,
        /// Accounts before the listener that runs as one.
        pub accounts: ServiceAccount,
        /// Who may do what in the namespace.
        pub roles: Role,
        /// What the listener reads at cluster scope.
        pub cluster_role: ClusterRole,
        /// Before the triggers of bindings, which refer to it.
        pub trigger_binding: TriggerBinding,
    } then {
        /// For the secret reader, the listener, the gateway, and each administrator; pruned when one leaves.
        pub role_bindings: RoleBinding,
        /// Grants the listener's account what it reads at cluster scope, and what Tekton's own sink reads besides.
        pub cluster_role_bindings: ClusterRoleBinding,
    } then {
        /// Once its reader may read.
        pub secret_store: ClusterSecretStore,
        /// Connects while the rest is made: the public name is known when all of it is there.
        pub tunnel_connector: Deployment,
        /// From here on webhooks are answered.
        pub event_listener: EventListener,
    } then {
        /// Once there is something to lead to, where no tunnel does.
        pub ingress: Ingress,
    }
}

pub(super) fn desired(valid: &Valid, settings: &Settings) -> Desired {
    Desired {
        namespace: Owned::one(namespace::namespace(valid)),
        network_policy: Owned::one(namespace::network_policy(valid, settings)),
        webhook_secret: Owned::optional(namespace::webhook_secret(valid)),
        tunnel_credentials: Owned::optional(tunnel::credentials(valid)),
        tunnel_config: Owned::optional(tunnel::config(valid, settings)),
        accounts: Owned(rbac::accounts(valid)),
        roles: Owned(rbac::roles(valid)),
        role_bindings: Owned(rbac::role_bindings(valid, settings)),
        secret_store: Owned::one(secret_store::secret_store(valid)),
        tunnel_connector: Owned::optional(tunnel::connector(valid, settings)),
        cluster_role: Owned::one(rbac::listener_cluster_role(valid)),
        cluster_role_bindings: Owned(rbac::listener_cluster_role_bindings(valid)),
        trigger_binding: Owned::one(event_listener::push_binding(valid)),
        event_listener: Owned::one(event_listener::event_listener(valid)),
        ingress: Owned::optional(ingress::ingress(valid, settings)),
    }
}

/// Name and labels of an object at cluster scope.
fn cluster_metadata(organization: &OrgName, name: impl Into<String>) -> ObjectMeta {
    let labels = [
        (labels::ORGANIZATION.to_owned(), organization.to_string()),
        (labels::MANAGED_BY.to_owned(), labels::ORGANIZATION_CONTROLLER.to_owned()),
    ];
    ObjectMeta { name: Some(name.into()), labels: Some(labels.into()), ..ObjectMeta::default() }
}

/// Name and labels of an object in the organization's namespace.
fn metadata(organization: &OrgName, name: impl Into<String>) -> ObjectMeta {
    ObjectMeta { namespace: Some(organization.namespace()), ..cluster_metadata(organization, name) }
}
