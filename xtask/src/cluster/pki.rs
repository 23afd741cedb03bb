//! Certificates and keys: the same authority code that the embedded API server uses.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Context as _;
use aphex_auth::pki::{Authority, ClientCertificate};
use aphex_auth::tokens::Signer;
use jiff::Timestamp;

use super::state::State;

/// The issuer of service accounts' tokens, as Kubernetes' own tools have it.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc";

/// What clients need to know.
#[derive(Debug)]
pub(super) struct Pki {
    /// The authority's certificate.
    pub(super) ca: String,
    /// Someone who may do everything.
    pub(super) admin: ClientCertificate,
}

/// Makes `pki/`: `ca`, `server`, `admin` (certificate and key each) and `service-account.key`.
pub(super) fn create(state: &State, names: &[String]) -> anyhow::Result<Pki> {
    let folder = state.path("pki");
    let now = Timestamp::now();
    let authority = Authority::load_or_create(&folder, now)?;
    // The settings are for servers in this process; the files they leave are for kube-apiserver.
    authority.server_config(names, now)?;
    Signer::load_or_create(&folder, ISSUER)?;
    let admin = authority.client_certificate("admin", &["system:masters"], now)?;
    for (name, text) in [("admin.crt", &admin.certificate), ("admin.key", &admin.key)] {
        let path = folder.join(name);
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Pki { ca: authority.ca_pem().to_owned(), admin })
}
