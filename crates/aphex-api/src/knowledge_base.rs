//! `KnowledgeBase` (`kb`): documentation in several repositories, tracked together.

#![expect(unreachable_pub, reason = "KubeSchema repeats the deriving struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Types of a KnowledgeBase's conditions.
pub mod condition {
    /// The spec can be carried out, and at the last look one repository at least was reached and has the branch.
    pub const READY: &str = "Ready";
    /// Every repository was reached at the last look, and has the branch.
    pub const REACHABLE: &str = "RepositoriesReachable";
}

/// Documentation in several repositories.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "aphex.io",
    version = "v1alpha1",
    kind = "KnowledgeBase",
    namespaced,
    shortname = "kb",
    category = "aphex",
    status = "KnowledgeBaseStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Documentation in several repositories, tracked together.",
    printcolumn(name = "Display Name", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Reachable",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='RepositoriesReachable')].status"
    ),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct KnowledgeBaseSpec {
    /// Name for people.
    #[schemars(length(min = 1, max = 256))]
    pub display_name: String,
    /// What this knowledge base is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// The repositories to track.
    #[schemars(length(min = 1, max = 1000))]
    pub repositories: Vec<TrackedRepository>,
}

/// A repository to track.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TrackedRepository {
    /// Its address, `https://github.com/<org>/<repo>`, or `git@github.com:<org>/<repo>` with a key in `secretRef`; other
    /// hosts, `http://` and `git://` as far as the platform's configuration allows them.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("['https://', 'ssh://', 'http://', 'git://'].exists(scheme, self.startsWith(scheme)) || self.matches('^[^/:]+@[^/:]+:')")
            .message("URL must be https://host/path, ssh://user@host/path or user@host:path (http:// and git:// only where the platform allows them), such as https://github.com/org/repo"),
        validation = Rule::new("!self.matches('^(https?|git)://[^/?#]*@') && !self.matches('^ssh://[^/?#@]*:[^/?#]*@')")
            .message("URL must not carry credentials: name a Secret with them in secretRef")
    )]
    pub url: String,
    /// The branch to track.
    #[serde(default = "main_branch")]
    #[schemars(length(min = 1, max = 244), regex(pattern = r"^[^\x00-\x20\x7f~^:?*\[\\]+$"))]
    pub branch: String,
    /// Where in the repository the documentation is.
    #[serde(default = "documentation_paths")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(
        validation = Rule::new("self.all(path, path == '.kiro/docs' || path.startsWith('.kiro/docs/'))").message("path must start with .kiro/docs"),
        validation = Rule::new("self.all(path, !path.contains('..'))").message("path must not contain '..'")
    )]
    pub paths: Vec<String>,
    /// Secret in the same namespace, for a private repository: of type `kubernetes.io/basic-auth` for https, or
    /// `kubernetes.io/ssh-auth` with the key `known_hosts` for ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
}

/// Names a Secret in the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

fn main_branch() -> String {
    "main".to_owned()
}

fn documentation_paths() -> Vec<String> {
    vec![".kiro/docs".to_owned()]
}

/// What was found about a KnowledgeBase.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KnowledgeBaseStatus {
    /// The conditions in one word.
    #[serde(default)]
    pub phase: KnowledgeBasePhase,
    /// The conditions in one sentence.
    #[serde(default)]
    pub message: String,
    /// When a look at the repositories last found something new; it moves every hour at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_reconcile_time: Option<Time>,
    /// The generation of the spec that the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is known, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::schema")]
    pub conditions: Vec<Condition>,
    /// What was found in each repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<ObservedRepository>,
}

/// What was found in a repository.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ObservedRepository {
    /// Its address.
    pub url: String,
    /// The branch.
    pub branch: String,
    /// The commit that the branch points at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// When it was first seen there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub observed_time: Option<Time>,
    /// Why nothing newer is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far a KnowledgeBase has come.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KnowledgeBasePhase {
    /// Not looked at yet.
    #[default]
    Pending,
    /// Its repositories are tracked, or some of them: `repositories` says which.
    Ready,
    /// Its spec cannot be carried out, or none of its repositories answers; `message` says why.
    Failed,
}

fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "nullable": true })
}
