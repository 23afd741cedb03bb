//! Argo CD (`argoproj.io/v1alpha1`): AppProject, and enough of Application to see it go.

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Limits what Applications of a project may deploy, from where, to where.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "argoproj.io",
    version = "v1alpha1",
    kind = "AppProject",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct AppProjectSpec {
    /// What the project is for.
    #[serde(default)]
    pub description: String,
    /// Where its Applications may deploy to.
    #[serde(default)]
    pub destinations: Vec<Destination>,
    /// Repositories its Applications may deploy from.
    #[serde(default)]
    pub source_repos: Vec<String>,
    /// Cluster-scoped kinds its Applications may contain; none when empty.
    #[serde(default)]
    pub cluster_resource_whitelist: Vec<GroupKind>,
    /// Namespaced kinds its Applications may contain.
    #[serde(default)]
    pub namespace_resource_whitelist: Vec<GroupKind>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A cluster and a namespace in it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// Address of the cluster's API server.
    pub server: String,
    /// Namespace; `*` matches any text.
    pub namespace: String,
}

/// A kind of an API group; `*` matches any.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupKind {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

/// Something Argo CD deploys.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "argoproj.io",
    version = "v1alpha1",
    kind = "Application",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    derive = "Default"
)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// The AppProject it belongs to.
    #[serde(default)]
    pub project: String,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}
