//! An engine to play a session on: where it is, how to get in, and the in-process one.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aphex_testkit::Cluster;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Where an engine answers, with an administrator's certificate.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) server: String,
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Access {
    /// What a kubeconfig with one of everything says.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let config: Value = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
        let text = |at: &str| {
            let value = config.pointer(at).and_then(Value::as_str);
            value.map(str::to_owned).with_context(|| format!("the kubeconfig has no {at}"))
        };
        let decoded = |at: &str| Ok::<_, anyhow::Error>(String::from_utf8(STANDARD.decode(text(at)?)?)?);
        Ok(Self {
            server: text("/clusters/0/cluster/server")?,
            ca: decoded("/clusters/0/cluster/certificate-authority-data")?,
            certificate: decoded("/users/0/user/client-certificate-data")?,
            key: decoded("/users/0/user/client-key-data")?,
        })
    }

    /// A kubeconfig whose commands are for a namespace.
    pub(crate) fn kubeconfig(&self, namespace: &str) -> String {
        let encode = |text: &str| STANDARD.encode(text);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "session", "cluster": { "server": self.server, "certificate-authority-data": encode(&self.ca) } }],
            "users": [{ "name": "session", "user": { "client-certificate-data": encode(&self.certificate), "client-key-data": encode(&self.key) } }],
            "contexts": [{ "name": "session", "context": { "cluster": "session", "user": "session", "namespace": namespace } }],
            "current-context": "session",
        })
        .to_string()
    }
}

/// The embedded engine, for one session.
pub(crate) async fn embedded() -> anyhow::Result<(Cluster, Access)> {
    let cluster = Cluster::start().await?;
    let kubeconfig: PathBuf = cluster.serve().await?;
    let access = Access::read(&kubeconfig)?;
    Ok((cluster, access))
}
