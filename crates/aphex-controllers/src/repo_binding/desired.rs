//! Everything a RepoBinding wants on the engine.

mod app_project;
mod namespace;
mod network_policy;
mod pipeline;
mod quota;
mod rbac;
mod standalone;
mod terraform;
mod trigger;

use aphex_api::foreign::argocd::AppProject;
use aphex_api::foreign::tekton::Pipeline;
use aphex_api::foreign::triggers::{EventListener, Trigger, TriggerBinding, TriggerTemplate};
use aphex_api::labels;
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::core::ObjectMeta;

use super::validate::Valid;
use crate::apply::{Owned, desired_set};
use crate::context::Settings;

/// The ServiceAccount, Role and RoleBinding that pipelines run with.
pub(super) const RUNNER: &str = "pipeline-runner";
/// The Role and RoleBinding by which the trigger makes runs in the tenant namespace.
pub(super) const DISPATCHER: &str = "trigger-dispatcher";
/// The Role and RoleBinding by which administrators of the organization see the tenant's Deliveries.
pub(super) const DELIVERY_READER: &str = "delivery-reader";
/// The ResourceQuota.
pub(super) const QUOTA: &str = "tenant-quota";
/// The LimitRange.
pub(super) const LIMITS: &str = "tenant-limits";
/// The NetworkPolicy.
pub(super) const ISOLATION: &str = "tenant-isolation";
/// The Secret with the Terraform backend.
pub(super) const TERRAFORM: &str = "terraform-backend-config";
/// The Role and RoleBinding by which a standalone tenant's listener finds its triggers.
pub(super) const LISTENER_READER: &str = "eventlistener";
/// The Ingress of a standalone tenant, and the Service it leads to.
pub(super) const WEBHOOK: &str = "github-webhook";

desired_set! {
    /// Everything a RepoBinding wants, in the order in which it is applied.
    pub struct Desired {
        /// First, for most else is in it.
        pub namespace: Namespace,
    } then {
        /// Before the runs of it; a standalone tenant brings its own.
        pub pipeline: Pipeline,
        /// The runner, and the account that makes runs.
        pub accounts: ServiceAccount,
        /// What runner and trigger may do in the tenant namespace.
        pub roles: Role,
        /// What the runner may read at cluster scope.
        pub cluster_role: ClusterRole,
        /// What the tenant's Applications may do.
        pub app_project: AppProject,
        /// How much the namespace may use.
        pub quota: ResourceQuota,
        /// Limits of containers that name none, so that the quota admits them.
        pub limits: LimitRange,
        /// Closes the namespace.
        pub network_policy: NetworkPolicy,
        /// Terraform's backend in the tenant namespace, and the webhook secret beside the listener.
        pub secrets: Secret,
        /// Before the listener of a standalone tenant, which refers to it.
        pub trigger_binding: TriggerBinding,
        /// Before the trigger that uses it.
        pub trigger_template: TriggerTemplate,
    } then {
        /// Grants the roles: who binds a role must hold its rights, so the role has to be there.
        pub role_bindings: RoleBinding,
        /// Grants the cluster role.
        pub cluster_role_binding: ClusterRoleBinding,
        /// The gateway, by a name in the tenant namespace.
        pub service: Service,
    } then {
        /// Last in an organization: from here on pushes start runs.
        pub trigger: Trigger,
        /// What a standalone tenant has instead.
        pub event_listener: EventListener,
    } then {
        /// The way in from outside, once there is something behind it.
        pub ingress: Ingress,
    }
}

pub(super) fn desired(valid: &Valid, settings: &Settings) -> Desired {
    let mut secrets = vec![terraform::backend(valid)];
    secrets.extend(trigger::webhook_secret(valid));
    Desired {
        namespace: Owned::one(namespace::namespace(valid)),
        pipeline: Owned::optional(pipeline::pipeline(valid)),
        accounts: Owned(std::iter::once(rbac::runner(valid)).chain(trigger::account(valid)).collect()),
        roles: Owned(rbac::roles(valid)),
        role_bindings: Owned(rbac::role_bindings(valid, settings)),
        cluster_role: Owned::one(rbac::cluster_role(valid)),
        cluster_role_binding: Owned::one(rbac::cluster_role_binding(valid)),
        app_project: Owned::one(app_project::app_project(valid, settings)),
        quota: Owned::one(quota::resource_quota(valid)),
        limits: Owned::one(quota::limit_range(valid)),
        network_policy: Owned::one(network_policy::network_policy(valid)),
        secrets: Owned(secrets),
        trigger_binding: Owned::optional(standalone::push_binding(valid)),
        trigger_template: Owned::one(trigger::trigger_template(valid)),
        trigger: Owned::optional(trigger::trigger(valid)),
        event_listener: Owned::optional(standalone::event_listener(valid)),
        service: Owned::optional(standalone::service(valid, settings)),
        ingress: Owned::optional(standalone::ingress(valid, settings)),
    }
}

/// Name and labels of an object at cluster scope.
fn cluster_metadata(valid: &Valid, name: impl Into<String>) -> ObjectMeta {
    let labels = [
        (labels::TENANT.to_owned(), valid.tenant.to_string()),
        (labels::PIPELINE.to_owned(), valid.tenant.to_string()),
        (labels::MANAGED_BY.to_owned(), labels::PLATFORM_CONTROLLER.to_owned()),
    ];
    ObjectMeta { name: Some(name.into()), labels: Some(labels.into()), ..ObjectMeta::default() }
}

/// Name and labels of an object in the tenant namespace.
fn metadata(valid: &Valid, name: impl Into<String>) -> ObjectMeta {
    ObjectMeta { namespace: Some(valid.tenant.namespace()), ..cluster_metadata(valid, name) }
}

/// Name and labels of an object beside the listener.
fn shared_metadata(valid: &Valid, name: impl Into<String>) -> ObjectMeta {
    let mut metadata =
        ObjectMeta { namespace: Some(valid.listener_namespace()), ..cluster_metadata(valid, name) };
    let organization = valid.organization().map(|name| (labels::ORGANIZATION.to_owned(), name.to_string()));
    metadata.labels.get_or_insert_default().extend(organization);
    metadata
}
