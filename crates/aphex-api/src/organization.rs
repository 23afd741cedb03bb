//! `Organization` (`org`): a customer, with a namespace and a webhook address of its own.
//!
//! Lives in `platform-system` only. A schema's rules see no namespace, so the controller refuses an Organization that
//! lies elsewhere; an admission policy can refuse it earlier.

#![expect(unreachable_pub, reason = "KubeSchema repeats the deriving struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::EMAIL_PATTERN;
use crate::webhook_secret::SecretRotation;

/// Types of an Organization's conditions.
pub mod condition {
    /// The namespace exists, and nothing else holds its name.
    pub const NAMESPACE: &str = "NamespaceReady";
    /// Administrators, listener and secret reader have their rights.
    pub const RBAC: &str = "RBACReady";
    /// The secret store exists.
    pub const SECRET_STORE: &str = "SecretStoreReady";
    /// The EventListener exists.
    pub const EVENT_LISTENER: &str = "EventListenerReady";
    /// Webhooks can reach the organization.
    pub const WEBHOOK: &str = "WebhookReady";
    /// All of the above.
    pub const READY: &str = "Ready";
    /// Only while something is left of an exposure before, which is being taken back.
    pub const FORMER_EXPOSURE: &str = "FormerExposure";
}

/// A customer of the platform.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "aphex.io",
    version = "v1alpha1",
    kind = "Organization",
    namespaced,
    shortname = "org",
    category = "aphex",
    status = "OrganizationStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A customer of the platform: a namespace, a webhook address, a secret store, and its administrators.",
    validation = Rule::new("size(self.metadata.name) <= 59 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be at most 59 lower-case letters, digits and hyphens: the namespace is org-<name>"),
    printcolumn(name = "Display Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".status.namespace"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Webhook URL", type_ = "string", json_path = ".status.webhookURL", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationSpec {
    /// Name for people.
    #[schemars(length(min = 1, max = 256))]
    pub display_name: String,
    /// E-mail addresses of the administrators, which are their user names.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 254), regex(pattern = EMAIL_PATTERN)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(a, self.exists_one(b, a.lowerAscii() == b.lowerAscii()))")
            .message("adminUsers must not name anyone twice (upper and lower case count as the same)")
    )]
    pub admin_users: Vec<String>,
    /// Secret for webhooks of the whole organization; when empty, one is made and kept in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self == '' || size(self) >= 16").message("webhookSecret must have at least 16 characters"))]
    pub webhook_secret: Option<String>,
}

/// What was found about an Organization.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationStatus {
    /// The conditions in one word.
    #[serde(default)]
    pub phase: OrganizationPhase,
    /// The conditions in one sentence.
    #[serde(default)]
    pub message: String,
    /// The organization's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Where webhooks are to be sent.
    #[serde(rename = "webhookURL", default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// The last request for a new webhook secret that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret_rotation: Option<SecretRotation>,
    /// The generation of the spec that the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::schema")]
    pub conditions: Vec<Condition>,
}

/// How far an Organization has come.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OrganizationPhase {
    /// Being set up, waiting, or being deleted.
    #[default]
    Pending,
    /// Everything exists.
    Active,
    /// Cannot be set up; `message` says why.
    Failed,
}
