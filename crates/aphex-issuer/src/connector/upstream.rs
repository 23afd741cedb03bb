//! Which provider people log in with: a file in the words of Dex's `oidc` connector, or our own other face.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use crate::settings::IssuerUrl;

/// The provider.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// Authentik's face of this issuer: the application `dex`.
    Own,
    /// Another provider.
    Other(Box<Other>),
}

/// Another provider, and who we are there.
#[derive(Clone, Debug)]
pub struct Other {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<SecretString>,
    pub(super) scopes: Vec<String>,
    pub(super) groups_claim: String,
    pub(super) trust_email: bool,
    pub(super) authority: Option<Vec<u8>>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not have the form that it should have.
    #[error(
        "cannot understand the provider in {path}: it needs issuer, clientID, and clientSecret, clientSecretEnv or clientSecretFile"
    )]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<serde_saphyr::Error>,
    },
    /// A value is not what it should be.
    #[error("{path}: {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    issuer: String,
    #[serde(rename = "clientID")]
    client_id: String,
    client_secret: Option<SecretString>,
    client_secret_env: Option<String>,
    client_secret_file: Option<PathBuf>,
    #[serde(default = "usual_scopes")]
    scopes: Vec<String>,
    #[serde(default = "usual_groups")]
    groups_claim: String,
    #[serde(default)]
    insecure_skip_email_verified: bool,
    #[serde(rename = "rootCA")]
    root_ca: Option<PathBuf>,
}

fn usual_scopes() -> Vec<String> {
    ["openid", "profile", "email", "groups"].map(str::to_owned).into()
}

fn usual_groups() -> String {
    "groups".to_owned()
}

impl Upstream {
    /// The provider that a file describes.
    pub fn read(path: &Path) -> Result<Self, UpstreamError> {
        let value = |problem: String| UpstreamError::Value { path: path.to_owned(), problem };
        let text = read(path)?;
        let written: Written = serde_saphyr::from_str(&text)
            .map_err(|source| UpstreamError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        IssuerUrl::parse(&written.issuer).map_err(|error| value(error.to_string()))?;
        if written.client_id.is_empty() {
            return Err(value("clientID must not be empty".to_owned()));
        }
        if !written.scopes.iter().any(|scope| scope == "openid") {
            return Err(value("scopes must have openid among them".to_owned()));
        }
        let client_secret =
            match (written.client_secret, written.client_secret_env, written.client_secret_file) {
                (None, None, None) => None,
                (Some(secret), None, None) => Some(secret),
                (None, Some(name), None) => {
                    let secret =
                        std::env::var(&name).map_err(|_| value(format!("the variable {name} is not set")))?;
                    Some(SecretString::from(secret))
                }
                (None, None, Some(file)) => {
                    Some(SecretString::from(read(&file)?.trim_end_matches(['\n', '\r'])))
                }
                _ => {
                    return Err(value(
                        "only one of clientSecret, clientSecretEnv and clientSecretFile can count".to_owned(),
                    ));
                }
            };
        let authority = written.root_ca.map(|file| read(&file).map(String::into_bytes)).transpose()?;
        Ok(Self::Other(Box::new(Other {
            issuer: written.issuer,
            client_id: written.client_id,
            client_secret,
            scopes: written.scopes,
            groups_claim: written.groups_claim,
            trust_email: written.insecure_skip_email_verified,
            authority,
        })))
    }
}

fn read(path: &Path) -> Result<String, UpstreamError> {
    std::fs::read_to_string(path).map_err(|source| UpstreamError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Upstream, UpstreamError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upstream.yaml");
        std::fs::write(&path, text).unwrap();
        Upstream::read(&path)
    }

    #[test]
    fn a_file_says_who_we_are_there_and_never_shows_the_secret() {
        let good =
            read("issuer: https://id.example.com/o/dex/\nclientID: dex\nclientSecret: hunter2\n").unwrap();
        let Upstream::Other(other) = &good else { panic!("{good:?}") };
        assert_eq!(
            (other.issuer.as_str(), other.groups_claim.as_str()),
            ("https://id.example.com/o/dex/", "groups")
        );
        assert!(!format!("{good:?}").contains("hunter2"));
    }

    #[test]
    fn what_cannot_work_is_told_at_start() {
        for (text, told) in [
            ("issuer: http://id.example.com\nclientID: dex\n", "https"),
            ("issuer: https://id.example.com\n", "clientID"),
            ("issuer: https://id.example.com\nclientID: dex\nscopes: [email]\n", "openid"),
            (
                "issuer: https://id.example.com\nclientID: dex\nclientSecret: a\nclientSecretEnv: B\n",
                "only one",
            ),
            (
                "issuer: https://id.example.com\nclientID: dex\nclientSecretEnv: APHEX_NO_SUCH_VARIABLE\n",
                "not set",
            ),
            ("issuer: https://id.example.com\nclientID: dex\nrootCA: /no/such/file\n", "cannot read"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
