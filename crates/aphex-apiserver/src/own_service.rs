//! The Service under which workloads look for this server: `kubernetes` in the default namespace.

use std::sync::Arc;

use aphex_auth::User;
use serde_json::json;

use crate::server::ApiServer;
use crate::status::Status;
use crate::write;

/// The first address of kube-apiserver's default Service range, `10.96.0.0/16` in most clusters.
const CLUSTER_IP: &str = "10.96.0.1";
const PORT: u16 = 443;
const TARGET_PORT: u16 = 6443;

/// Creates the Service unless it is there; nothing routes to it here, clients only want to find it.
pub async fn bootstrap(server: &Arc<ApiServer>) -> Result<(), Status> {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": CLUSTER_IP,
            "clusterIPs": [CLUSTER_IP],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": PORT, "protocol": "TCP", "targetPort": TARGET_PORT}],
        },
    });
    write::ensure(server, &User::new("system:apiserver", ["system:masters"]), service).await
}
