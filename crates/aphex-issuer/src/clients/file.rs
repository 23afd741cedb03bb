//! The file that clients are written in: Dex's `staticClients`, as a list.
//!
//! At first start a file with the platform's own clients is made, readable for its owner only, because the secrets of
//! those that have one are in it.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::{Client, Clients};
use crate::secrets;
use crate::settings::IssuerUrl;
use crate::storage::write_private;

/// Why clients could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// The file cannot be read.
    #[error("cannot read the clients in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be made.
    #[error("cannot write the clients to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no list of clients.
    #[error(
        "cannot understand the clients in {path}: it must be a list of entries with id, name, redirectURIs and secret, or public: true"
    )]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<serde_saphyr::Error>,
    },
    /// A client is not what it should be.
    #[error("client {id:?} in {path}: {problem}")]
    Client {
        /// The file.
        path: PathBuf,
        /// The client.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A client as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "redirectURIs")]
    redirect_uris: Vec<String>,
    #[serde(default, rename = "postLogoutRedirectURIs")]
    post_logout_redirect_uris: Vec<String>,
    #[serde(default)]
    trusted_peers: Vec<String>,
    #[serde(default)]
    public: bool,
    secret: Option<String>,
    /// Name of an environment variable with the secret, so that the file may be shown.
    secret_env: Option<String>,
    /// File with the secret, as Kubernetes mounts them.
    secret_file: Option<PathBuf>,
}

impl Clients {
    /// The clients in a file.
    pub fn read(path: &Path, issuer: &IssuerUrl) -> Result<Self, ClientsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ClientsError::Read { path: path.to_owned(), source })?;
        let entries: Vec<Entry> = serde_saphyr::from_str(&text)
            .map_err(|source| ClientsError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        let mut clients = Vec::new();
        for entry in entries {
            let id = entry.id.clone();
            let wrong = |problem| ClientsError::Client { path: path.to_owned(), id: id.clone(), problem };
            if clients.iter().any(|client: &Client| client.id == id) {
                return Err(wrong("another client has the same id".to_owned()));
            }
            clients.push(client(entry, issuer).map_err(wrong)?);
        }
        Ok(Self::new(clients))
    }

    /// The clients in a file; the platform's own are written there when there is none.
    pub fn read_or_create(path: &Path, issuer: &IssuerUrl) -> Result<Self, ClientsError> {
        if !path.exists() {
            write_private(path, usual().as_bytes())
                .map_err(|source| ClientsError::Write { path: path.to_owned(), source })?;
        }
        Self::read(path, issuer)
    }
}

fn client(entry: Entry, issuer: &IssuerUrl) -> Result<Client, String> {
    if entry.id.is_empty() {
        return Err("it needs an id".to_owned());
    }
    for uri in entry.redirect_uris.iter().chain(&entry.post_logout_redirect_uris) {
        let url = Url::parse(uri).map_err(|error| format!("redirect URI {uri:?}: {error}"))?;
        if url.fragment().is_some() || matches!(url.scheme(), "javascript" | "data" | "file") {
            return Err(format!("redirect URI {uri:?} leads nowhere that a browser may be sent to"));
        }
    }
    let (public, id) = (entry.public, entry.id.clone());
    let secret = secret(&entry)?;
    match (public, &secret) {
        (true, Some(_)) => return Err("a public client has no secret: remove one of both".to_owned()),
        (false, None) => return Err("it needs secret, secretEnv or secretFile, or public: true".to_owned()),
        _ => {}
    }
    let name = if entry.name.is_empty() { id.clone() } else { entry.name };
    Ok(Client {
        id,
        name,
        redirect_uris: entry.redirect_uris,
        post_logout_redirect_uris: entry.post_logout_redirect_uris,
        trusted_peers: entry.trusted_peers,
        secret,
        issuer: issuer.as_str().to_owned(),
    })
}

fn secret(entry: &Entry) -> Result<Option<SecretString>, String> {
    let secret = match (&entry.secret, &entry.secret_env, &entry.secret_file) {
        (None, None, None) => return Ok(None),
        (Some(secret), None, None) => SecretString::from(secret.as_str()),
        (None, Some(name), None) => {
            SecretString::from(std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?)
        }
        (None, None, Some(path)) => {
            let text = std::fs::read_to_string(path);
            let text =
                text.map_err(|error| format!("cannot read its secret from {}: {error}", path.display()))?;
            SecretString::from(text.trim_end_matches(['\n', '\r']))
        }
        _ => return Err("only one of secret, secretEnv and secretFile can count".to_owned()),
    };
    if secret.expose_secret().is_empty() { Err("its secret is empty".to_owned()) } else { Ok(Some(secret)) }
}

/// The platform's own clients, with fresh secrets for those that can keep one.
fn usual() -> String {
    let (argocd, tekton) = (secrets::random(), secrets::random());
    format!(
        "# Who may ask the issuer for logins, as in Dex's staticClients. It is read at start.\n\
         # Loopback redirect URIs of public clients match with any port.\n\
         - id: kubernetes\n  name: Kubernetes\n  public: true\n  redirectURIs:\n  - http://localhost:8000/callback\n  - http://localhost:18000/callback\n  - http://localhost:8000\n  trustedPeers: [aphex]\n\
         - id: aphex\n  name: Aphex\n  public: true\n  redirectURIs:\n  - http://127.0.0.1/callback\n  - http://localhost/callback\n  - http://[::1]/callback\n\
         - id: argocd\n  name: Argo CD\n  secret: {}\n  redirectURIs:\n  - https://argocd.home.local/auth/callback\n  postLogoutRedirectURIs:\n  - https://argocd.home.local\n\
         - id: tekton-dashboard\n  name: Tekton Dashboard\n  secret: {}\n  redirectURIs:\n  - https://tekton.home.local/auth/callback\n  postLogoutRedirectURIs:\n  - https://tekton.home.local\n",
        argocd.expose_secret(),
        tekton.expose_secret(),
    )
}
