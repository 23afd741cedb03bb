//! Kubeconfigs: for people on this machine, and for the parts of a node.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::pki::Pki;

/// A kubeconfig whose user may do everything. Written as JSON, which is YAML as well.
pub(super) fn kubeconfig(cluster: &str, server: &str, pki: &Pki) -> Value {
    let encode = |text: &str| STANDARD.encode(text);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": cluster,
            "cluster": { "server": server, "certificate-authority-data": encode(&pki.ca) },
        }],
        "users": [{
            "name": "admin",
            "user": {
                "client-certificate-data": encode(&pki.admin.certificate),
                "client-key-data": encode(&pki.admin.key),
            },
        }],
        "contexts": [{ "name": cluster, "context": { "cluster": cluster, "user": "admin" } }],
        "current-context": cluster,
    })
}
