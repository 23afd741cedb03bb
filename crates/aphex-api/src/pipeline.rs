//! `Pipeline` (`platform.dev`): what a developer writes; the platform makes a RepoBinding of it.
//!
//! Not to be confused with Tekton's Pipeline, which is inside its `pipeline` field.

#![expect(unreachable_pub, reason = "KubeSchema repeats the deriving struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{GITHUB_OWNER_PATTERN, GITHUB_REPO_PATTERN, LABEL_PATTERN};
use crate::profile::PermissionProfile;
use crate::repo_binding::{BindingOptions, RepoBindingPhase};

/// A pipeline for one repository, as a developer asks for it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "platform.dev",
    version = "v1alpha1",
    kind = "Pipeline",
    namespaced,
    category = "aphex",
    status = "PipelineStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A pipeline for one repository, as a developer asks for it.",
    validation = Rule::new("size(self.metadata.name) <= 55").message("metadata.name must be at most 55 characters"),
    printcolumn(name = "Organization", type_ = "string", json_path = ".spec.organization"),
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.repository.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Webhook URL", type_ = "string", json_path = ".status.webhookURL", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("!has(self.allowForks) || !self.allowForks || (has(self.events) && self.events.exists(e, e == 'pull_request'))")
        .message("allowForks goes with the event pull_request")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// The organization it belongs to. Immutable.
    #[schemars(length(min = 1, max = 59), regex(pattern = LABEL_PATTERN))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("organization is immutable"))]
    pub organization: String,
    /// The repository it builds.
    pub repository: PipelineRepository,
    /// The branch whose pushes start it.
    #[serde(default = "main_branch")]
    #[schemars(length(min = 1, max = 244), regex(pattern = r"^[^\x00-\x20\x7f~^:?*\[\\]+$"))]
    pub branch: String,
    /// Dispatcher template from the catalog.
    #[serde(default = "default_template")]
    #[schemars(length(min = 1, max = 253))]
    pub template: String,
    /// How much it may do.
    #[serde(default)]
    pub permission_profile: PermissionProfile,
    /// The Tekton Pipeline.
    #[schemars(schema_with = "tekton_pipeline")]
    pub pipeline: Value,
    /// Which events count, and what becomes of the runs.
    #[serde(flatten)]
    pub options: BindingOptions,
}

/// A GitHub repository.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineRepository {
    /// GitHub organization or account.
    #[schemars(length(min = 1, max = 39), regex(pattern = GITHUB_OWNER_PATTERN))]
    pub org: String,
    /// Repository.
    #[schemars(length(min = 1, max = 100), regex(pattern = GITHUB_REPO_PATTERN))]
    pub name: String,
}

/// What was found about a Pipeline: its binding's state, without the webhook secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// The binding's phase.
    #[serde(default)]
    pub phase: RepoBindingPhase,
    /// The binding's message.
    #[serde(default)]
    pub message: String,
    /// Where GitHub is to send webhooks.
    #[serde(rename = "webhookURL", default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// The generation of the spec that the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::schema")]
    pub conditions: Vec<Condition>,
}

fn main_branch() -> String {
    "main".to_owned()
}

fn default_template() -> String {
    "run-pipeline-v1".to_owned()
}

fn tekton_pipeline(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The Tekton Pipeline (tekton.dev/v1 or v1beta1), as an object.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string", "enum": ["tekton.dev/v1", "tekton.dev/v1beta1"] },
            "kind": { "type": "string", "enum": ["Pipeline"] },
            "metadata": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true }
        }
    })
}
