//! How the command line on this machine reaches a running issuer: its address, and a bearer token.
//!
//! Both are in one file of the data folder for its owner only: who may read that folder may administer anyway.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::audit::Actor;
use crate::directory::{self, Directory, Kind, NewToken, NewUser, Scope};
use crate::storage::write_private;

/// The file in the issuer's data folder.
const FILE: &str = "admin.json";
/// The service account that the command line acts as, and the identifier of its token.
const ACCOUNT: &str = "aphex-command-line";

/// Where a running issuer is, and what opens it.
#[derive(Debug)]
pub struct Access {
    /// Base URL of the issuer.
    pub url: String,
    /// PEM file with the authority of its certificate, where it is no public one.
    pub certificate_authority: Option<PathBuf>,
    /// A bearer token with all scopes.
    pub token: SecretString,
}

/// Why the file could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file is not there: no issuer was started on this folder.
    #[error("{path} is missing: no issuer was started on this data folder yet")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what the issuer wrote.
    #[error("{path} is damaged; start the issuer again to have it written anew")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The token cannot be made.
    #[error("cannot make the token of the command line")]
    Token(#[source] directory::Error),
}

/// As written; no `Debug`, since it has the token.
#[derive(Deserialize, Serialize)]
struct Written {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority: Option<PathBuf>,
    token: String,
}

impl Access {
    /// What the issuer of this data folder wrote at its last start.
    pub fn read(folder: &Path) -> Result<Self, AccessError> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(AccessError::Missing { path });
            }
            Err(source) => return Err(AccessError::Read { path, source }),
        };
        // What serde says of a damaged file could repeat the token.
        let Ok(written) = serde_json::from_slice::<Written>(&text) else {
            return Err(AccessError::Damaged { path });
        };
        Ok(Self {
            url: written.url,
            certificate_authority: written.certificate_authority,
            token: SecretString::from(written.token),
        })
    }

    /// Writes the file, with the token that is in it as long as that is good, else with a new one.
    pub async fn publish(
        directory: &Directory,
        folder: &Path,
        url: &str,
        certificate_authority: Option<&Path>,
    ) -> Result<(), AccessError> {
        let kept = Self::read(folder).ok().map(|access| access.token);
        let good = match &kept {
            Some(token) => is_good(directory, token).map_err(AccessError::Token)?,
            None => false,
        };
        let token = match kept {
            Some(token) if good => token,
            _ => new_token(directory).await.map_err(AccessError::Token)?,
        };
        let written = Written {
            url: url.to_owned(),
            certificate_authority: certificate_authority.map(Path::to_owned),
            token: token.expose_secret().to_owned(),
        };
        let path = folder.join(FILE);
        let failed = |source: io::Error| AccessError::Write { path: path.clone(), source };
        let text = serde_json::to_vec(&written).map_err(|error| failed(error.into()))?;
        write_private(&path, &text).map_err(failed)
    }
}

fn is_good(directory: &Directory, token: &SecretString) -> Result<bool, directory::Error> {
    let principal = directory.authenticate(token)?;
    Ok(principal.is_some_and(|principal| Scope::ALL.into_iter().all(|scope| principal.may(scope))))
}

/// The token of before ends: its file is gone, or somebody changed what it may.
async fn new_token(directory: &Directory) -> Result<SecretString, directory::Error> {
    let by = Actor::system();
    if let Some(before) = directory.by_login(ACCOUNT)? {
        directory.delete_user(&before.uid, &by).await?;
    }
    let new = NewUser {
        username: ACCOUNT.to_owned(),
        name: "The command line on the issuer's machine".to_owned(),
        active: true,
        kind: Kind::ServiceAccount,
        ..NewUser::default()
    };
    let account = directory.create_user(new, &by).await?;
    let new = NewToken { identifier: ACCOUNT.to_owned(), scopes: Scope::ALL.into(), ..NewToken::default() };
    Ok(directory.create_token(&account.uid, new, &by).await?.1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use aphex_runtime::Clock;

    use super::*;
    use crate::audit::Audit;
    use crate::storage::Storage;

    #[tokio::test]
    async fn the_token_stays_over_restarts_and_is_replaced_when_it_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Access::read(folder.path()), Err(AccessError::Missing { .. })));
        let audit = Audit::traced(Clock::system());
        let directory = Directory::open(Storage::memory().unwrap(), Clock::system(), audit).await.unwrap();
        let publish = async |url: &str| {
            Access::publish(&directory, folder.path(), url, None).await.unwrap();
            let access = Access::read(folder.path()).unwrap();
            assert_eq!(access.url, url);
            access.token
        };
        let first = publish("http://127.0.0.1:1").await;
        let again = publish("http://127.0.0.1:2").await;
        assert_eq!(first.expose_secret(), again.expose_secret());
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{\"token\":").unwrap();
        assert!(matches!(Access::read(folder.path()), Err(AccessError::Damaged { .. })));
        let new = publish("http://127.0.0.1:3").await;
        assert!(directory.authenticate(&new).unwrap().is_some());
        assert!(directory.authenticate(&first).unwrap().is_none(), "the lost token opens nothing");
    }
}
