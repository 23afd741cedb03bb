//! Objects that clients look for in every cluster and that kube-apiserver itself keeps there.

use std::sync::Arc;

use aphex_auth::User;
use serde_json::{Value, json};

use crate::request::Verb;
use crate::server::ApiServer;
use crate::status::Status;
use crate::write::{self, Change};

/// The first address of kube-apiserver's default Service range, `10.96.0.0/16` in most clusters.
const CLUSTER_IP: &str = "10.96.0.1";
const PORT: u16 = 443;
const TARGET_PORT: u16 = 6443;

/// Creates them unless they are there, and puts right what depends on how this server was started.
pub async fn bootstrap(server: &Arc<ApiServer>) -> Result<(), Status> {
    let user = User::new("system:apiserver", ["system:masters"]);
    write::ensure(server, &user, service()).await?;
    write::ensure(server, &user, token_tracking(server)).await?;
    let Some(ca) = &server.config.client_ca else { return Ok(()) };
    let trust = trust(ca);
    write::ensure(server, &user, trust.clone()).await?;
    let call = write::internal_call(server, &user, Verb::Update, &trust)?;
    let options = write::internal_options();
    let current = |live: &Value| {
        let mut new = live.clone();
        new["data"] = trust["data"].clone();
        Ok(new)
    };
    write::modify(&call, &options, Change::Plain, current).await.map(drop)
}

/// The Service under which workloads look for this server; nothing routes to it here, clients only want to find it.
fn service() -> Value {
    json!({
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
    })
}

/// Whom to trust: other servers of the control plane read there which CA vouches for this server's users.
fn trust(client_ca: &str) -> Value {
    config_map("extension-apiserver-authentication", &json!({"client-ca-file": client_ca}))
}

/// Since when the use of tokens kept in Secrets is recorded, which their cleaner wants to know.
fn token_tracking(server: &ApiServer) -> Value {
    let since = server.timestamp().strftime("%Y-%m-%d").to_string();
    config_map("kube-apiserver-legacy-service-account-token-tracking", &json!({"since": since}))
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "kube-system"},
        "data": data,
    })
}
