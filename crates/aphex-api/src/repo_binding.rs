//! `RepoBinding` (`rb`): onboards one GitHub repository, and owns the tenant namespace its pipelines run in.
//!
//! Two shapes, told apart by the fields present: an **organization binding** (`aphexOrg`, `pipelineName`, `templateRef`,
//! `pipelineSpec`) or a **standalone tenant** (`tenantName`). Lives in `platform-system` only, which the controller
//! checks: a schema's rules see no namespace.

#![expect(unreachable_pub, reason = "KubeSchema repeats the deriving struct inside a function")]

mod options;

pub use options::{BindingEvent, BindingOptions, Concurrency, ConcurrencyPolicy, Retention};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{GITHUB_OWNER_PATTERN, GITHUB_REPO_PATTERN, LABEL_PATTERN};
use crate::profile::PermissionProfile;
use crate::webhook_secret::SecretRotation;

/// Types of a RepoBinding's conditions.
pub mod condition {
    /// The tenant namespace exists and is this binding's, with its quota and limits.
    pub const NAMESPACE: &str = "NamespaceReady";
    /// The runner's account, roles and bindings exist, and the AppProject.
    pub const RBAC: &str = "RBACReady";
    /// The tenant namespace is closed to others.
    pub const NETWORK_POLICY: &str = "NetworkPolicyReady";
    /// The listener, Trigger and TriggerTemplate exist, and the Pipeline they start.
    pub const EVENT_LISTENER: &str = "EventListenerReady";
    /// Address and secret for GitHub are known.
    pub const WEBHOOK: &str = "WebhookReady";
    /// All of the above.
    pub const READY: &str = "Ready";
}

/// A GitHub repository on the platform.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "aphex.io",
    version = "v1alpha1",
    kind = "RepoBinding",
    namespaced,
    shortname = "rb",
    category = "aphex",
    status = "RepoBindingStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Onboards one GitHub repository: a tenant namespace, its rights and limits, and the trigger that starts its pipeline.",
    selectable = ".spec.aphexOrg",
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("metadata.name must be at most 63 characters: it becomes a label value"),
    printcolumn(name = "Org", type_ = "string", json_path = ".spec.aphexOrg"),
    printcolumn(name = "Repo", type_ = "string", json_path = ".spec.repoName"),
    printcolumn(
        name = "Pipeline",
        type_ = "string",
        json_path = ".spec['pipelineName','tenantName']",
        description = "Name of the Tekton Pipeline and of the tenant; of a standalone tenant, whose Pipeline is cdktf-deploy, the tenant's."
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantName", priority = "1"),
    printcolumn(name = "Webhook URL", type_ = "string", json_path = ".status.webhookURL", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("has(self.aphexOrg) != has(self.tenantName)")
        .message("set either aphexOrg (with pipelineName, templateRef and pipelineSpec) or tenantName"),
    validation = Rule::new("!has(self.aphexOrg) || (has(self.pipelineName) && has(self.templateRef) && has(self.pipelineSpec))")
        .message("pipelineName, templateRef and pipelineSpec are required with aphexOrg"),
    validation = Rule::new("!has(self.tenantName) || !(has(self.pipelineName) || has(self.templateRef) || has(self.pipelineSpec))")
        .message("pipelineName, templateRef and pipelineSpec go with aphexOrg, not with tenantName"),
    validation = Rule::new("!has(self.ingressHost) || has(self.tenantName)").message("ingressHost goes with tenantName"),
    validation = Rule::new("has(self.aphexOrg) == has(oldSelf.aphexOrg) && (!has(self.aphexOrg) || self.aphexOrg == oldSelf.aphexOrg)")
        .message("aphexOrg is immutable"),
    validation = Rule::new("has(self.pipelineName) == has(oldSelf.pipelineName) && (!has(self.pipelineName) || self.pipelineName == oldSelf.pipelineName)")
        .message("pipelineName is immutable"),
    validation = Rule::new("has(self.tenantName) == has(oldSelf.tenantName) && (!has(self.tenantName) || self.tenantName == oldSelf.tenantName)")
        .message("tenantName is immutable"),
    validation = Rule::new("!has(self.allowForks) || !self.allowForks || (has(self.events) && self.events.exists(e, e == 'pull_request'))")
        .message("allowForks goes with the event pull_request")
)]
#[serde(rename_all = "camelCase")]
pub struct RepoBindingSpec {
    /// Name of the Organization; its namespace is `org-<aphexOrg>`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 59), regex(pattern = LABEL_PATTERN))]
    pub aphex_org: Option<String>,
    /// GitHub organization or account.
    #[schemars(length(min = 1, max = 39), regex(pattern = GITHUB_OWNER_PATTERN))]
    pub repo_org: String,
    /// GitHub repository.
    #[schemars(length(min = 1, max = 100), regex(pattern = GITHUB_REPO_PATTERN))]
    pub repo_name: String,
    /// Name of the Tekton Pipeline, and of the tenant namespace. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 55), regex(pattern = LABEL_PATTERN))]
    pub pipeline_name: Option<String>,
    /// Dispatcher template from the catalog, such as `run-pipeline-v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub template_ref: Option<String>,
    /// The Tekton Pipeline as YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 524_288))]
    pub pipeline_spec: Option<String>,
    /// Name of a standalone tenant, and of its namespace. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 55), regex(pattern = LABEL_PATTERN))]
    pub tenant_name: Option<String>,
    /// Host name of a standalone tenant's webhooks; the platform's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub ingress_host: Option<String>,
    /// How much the tenant may do.
    #[serde(default)]
    pub permission_profile: PermissionProfile,
    /// The branch whose pushes start the pipeline.
    #[serde(default = "main_branch")]
    #[schemars(length(min = 1, max = 244), regex(pattern = r"^[^\x00-\x20\x7f~^:?*\[\\]+$"))]
    pub branch: String,
    /// Which events count, and what becomes of the runs.
    #[serde(flatten)]
    pub options: BindingOptions,
}

fn main_branch() -> String {
    "main".to_owned()
}

/// What was found about a RepoBinding.
///
/// The seed API shows the same facts nested and flat. Both are set by [`RepoBindingStatus::set_provisioned`] and
/// [`RepoBindingStatus::set_webhook`], so that they cannot disagree.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RepoBindingStatus {
    /// The conditions in one word.
    #[serde(default)]
    pub phase: RepoBindingPhase,
    /// The conditions in one sentence.
    #[serde(default)]
    pub message: String,
    /// The generation of the spec that the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::schema")]
    pub conditions: Vec<Condition>,
    /// What to enter at GitHub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_configuration: Option<WebhookConfiguration>,
    /// Which objects were seen on the engine.
    #[serde(default)]
    pub provisioned_resources: ProvisionedResources,
    /// Where GitHub is to send webhooks.
    #[serde(rename = "webhookURL", default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// The secret that GitHub is to sign them with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<String>,
    /// The last request for a new secret that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret_rotation: Option<SecretRotation>,
    /// The tenant namespace was seen.
    #[serde(default)]
    pub namespace_created: bool,
    /// The runner's ServiceAccount was seen.
    #[serde(default)]
    pub service_account_created: bool,
    /// All roles and bindings of the runner were seen.
    #[serde(default)]
    pub rbac_created: bool,
    /// ResourceQuota and LimitRange were seen.
    #[serde(default)]
    pub quotas_created: bool,
    /// The NetworkPolicy was seen.
    #[serde(default)]
    pub network_policy_created: bool,
    /// The Secret with the Terraform backend was seen.
    #[serde(default)]
    pub terraform_secret_created: bool,
    /// The EventListener was seen, and listens for this tenant.
    #[serde(default)]
    pub event_listener_created: bool,
    /// The Ingress of a standalone tenant was seen.
    #[serde(default)]
    pub ingress_created: bool,
}

/// What to enter at GitHub.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookConfiguration {
    /// Payload URL.
    pub url: String,
    /// Secret.
    pub secret: String,
    /// Events to send.
    pub events: Vec<String>,
}

/// Which objects were seen on the engine.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionedResources {
    /// The tenant namespace.
    #[serde(default)]
    pub namespace: bool,
    /// The runner's ServiceAccount.
    #[serde(default)]
    pub service_account: bool,
    /// All roles and bindings of the runner.
    #[serde(default)]
    pub rbac: bool,
    /// ResourceQuota and LimitRange.
    #[serde(default)]
    pub resource_quota: bool,
    /// The NetworkPolicy.
    #[serde(default)]
    pub network_policy: bool,
    /// The EventListener, listening for this tenant.
    #[serde(default)]
    pub event_listener: bool,
    /// Pipeline, TriggerTemplate and Trigger.
    #[serde(default)]
    pub pipeline_resources: bool,
}

/// Everything that was looked for, in the one place that both shapes of the status are made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What the nested shape tells.
    pub resources: ProvisionedResources,
    /// The Secret with the Terraform backend.
    pub terraform_secret: bool,
    /// The Ingress of a standalone tenant.
    pub ingress: bool,
}

impl RepoBindingStatus {
    /// Sets the nested and the flat fields from what was seen.
    pub fn set_provisioned(&mut self, seen: Seen) {
        let Seen { resources, terraform_secret, ingress } = seen;
        self.provisioned_resources = resources;
        self.namespace_created = resources.namespace;
        self.service_account_created = resources.service_account;
        self.rbac_created = resources.rbac;
        self.quotas_created = resources.resource_quota;
        self.network_policy_created = resources.network_policy;
        self.terraform_secret_created = terraform_secret;
        self.event_listener_created = resources.event_listener;
        self.ingress_created = ingress;
    }

    /// Sets the nested and the flat fields from what to enter at GitHub.
    pub fn set_webhook(&mut self, webhook: Option<WebhookConfiguration>) {
        self.webhook_url = webhook.as_ref().map(|w| w.url.clone());
        self.webhook_secret = webhook.as_ref().map(|w| w.secret.clone());
        self.webhook_configuration = webhook;
    }
}

/// How far a RepoBinding has come.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RepoBindingPhase {
    /// Waiting for something that `message` names, or being deleted.
    #[default]
    Pending,
    /// Objects are being made.
    Provisioning,
    /// Everything exists; pushes start the pipeline.
    Ready,
    /// Cannot be provisioned; `message` says why.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_and_nested_fields_say_the_same() {
        let mut status = RepoBindingStatus::default();
        let resources =
            ProvisionedResources { rbac: true, event_listener: true, ..ProvisionedResources::default() };
        status.set_provisioned(Seen { resources, terraform_secret: true, ingress: false });
        status.set_webhook(Some(WebhookConfiguration {
            url: "https://a".into(),
            secret: "b".into(),
            events: vec!["push".into()],
        }));
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["rbacCreated"], json["provisionedResources"]["rbac"]);
        assert_eq!(json["eventListenerCreated"], true);
        assert_eq!(json["terraformSecretCreated"], true);
        assert_eq!(json["ingressCreated"], false);
        assert_eq!(json["webhookURL"], json["webhookConfiguration"]["url"]);
        assert_eq!(json["webhookSecret"], "b");
        status.set_webhook(None);
        assert_eq!((status.webhook_url, status.webhook_secret), (None, None));
    }

    #[test]
    fn what_the_schema_defaults_is_also_read_from_a_bare_object() {
        let spec: RepoBindingSpec =
            serde_json::from_value(serde_json::json!({ "repoOrg": "a", "repoName": "b" })).unwrap();
        assert_eq!((spec.branch.as_str(), spec.permission_profile), ("main", PermissionProfile::Standard));
        assert_eq!(spec.options.events, [BindingEvent::Push]);
    }

    #[test]
    fn options_that_are_left_out_leave_the_object_as_it_was() {
        let bare = serde_json::json!({ "repoOrg": "a", "repoName": "b", "branch": "main", "permissionProfile": "standard" });
        let spec: RepoBindingSpec = serde_json::from_value(bare.clone()).unwrap();
        assert_eq!(serde_json::to_value(&spec).unwrap(), bare);
        let half: Retention = serde_json::from_value(serde_json::json!({ "keepFailed": 3 })).unwrap();
        assert_eq!((half.keep_succeeded, half.keep_failed), (10, 3));
    }
}
