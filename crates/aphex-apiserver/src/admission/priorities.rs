//! The priority classes that every cluster has.

use std::sync::Arc;

use aphex_auth::User;
use serde_json::json;

use crate::server::ApiServer;
use crate::status::Status;
use crate::write;

/// Name, value and description of each (`pkg/apis/scheduling/v1/helpers.go` of Kubernetes 1.35).
const SYSTEM: &[(&str, i64, &str)] = &[
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

/// Creates those that are missing.
pub async fn bootstrap(server: &Arc<ApiServer>) -> Result<(), Status> {
    let user = User::new("system:apiserver", ["system:masters"]);
    for (name, value, description) in SYSTEM {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
        });
        write::ensure(server, &user, class).await?;
    }
    Ok(())
}
