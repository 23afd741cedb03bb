//! Where an engine answers, and how to get in.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// An engine's address, with an administrator's certificate.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its URL.
    pub server: String,
    /// Certificate of its authority, PEM.
    pub ca: String,
    /// The administrator's certificate, PEM.
    pub certificate: String,
    /// The administrator's private key, PEM.
    pub key: String,
}

impl Access {
    /// What a kubeconfig with one of everything says.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
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
    pub fn kubeconfig(&self, namespace: &str) -> String {
        let encode = |text: &str| STANDARD.encode(text);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": { "server": self.server, "certificate-authority-data": encode(&self.ca) } }],
            "users": [{ "name": "test", "user": { "client-certificate-data": encode(&self.certificate), "client-key-data": encode(&self.key) } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": namespace } }],
            "current-context": "test",
        })
        .to_string()
    }
}
