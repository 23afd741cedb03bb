//! Where logins are kept: a file each, readable by its owner alone, in the user's configuration folder.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::kubeconfig::{Mode, replace};

/// A login, as it is kept; never printed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) name: String,
    pub(crate) id_token: String,
    pub(crate) refresh_token: Option<String>,
    /// When the ID token ends, and when it was made, in seconds since 1970.
    pub(crate) expires: i64,
    pub(crate) issued: i64,
    pub(crate) certificate_authority: Option<PathBuf>,
}

/// The folder with the logins.
#[derive(Clone, Debug)]
pub(crate) struct Vault {
    folder: PathBuf,
}

impl Vault {
    /// `$XDG_CONFIG_HOME/aphex/sessions`, else `~/.config/aphex/sessions` (XDG Base Directory specification).
    pub(crate) fn of_user() -> anyhow::Result<Self> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
        let base =
            base.context("neither XDG_CONFIG_HOME nor HOME is set: there is no place to keep a login")?;
        Ok(Self { folder: base.join("aphex/sessions") })
    }

    /// The login at an issuer as a client; a file that cannot be read counts as none.
    pub(crate) fn load(&self, issuer: &str, client_id: &str) -> anyhow::Result<Option<Session>> {
        let path = self.path(issuer, client_id, "json");
        match std::fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Every login.
    pub(crate) fn all(&self) -> anyhow::Result<Vec<Session>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", self.folder.display()));
            }
        };
        let mut sessions = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                sessions
                    .extend(std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()));
            }
        }
        Ok(sessions)
    }

    /// Keeps a login in place of the one before.
    pub(crate) fn save(&self, session: &Session) -> anyhow::Result<()> {
        self.create()?;
        let path = self.path(&session.issuer, &session.client_id, "json");
        let bytes = serde_json::to_vec(session)?;
        replace(&path, &bytes, Mode::Private).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Forgets a login.
    pub(crate) fn forget(&self, issuer: &str, client_id: &str) -> anyhow::Result<()> {
        let path = self.path(issuer, client_id, "json");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Waits until no other process changes this login; the lock ends with the file.
    pub(crate) async fn lock(&self, issuer: &str, client_id: &str) -> anyhow::Result<File> {
        self.create()?;
        let path = self.path(issuer, client_id, "lock");
        let taken = tokio::task::spawn_blocking(move || -> anyhow::Result<File> {
            let file = File::options().create(true).append(true).mode(0o600).open(&path);
            let file = file.with_context(|| format!("cannot open {}", path.display()))?;
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            Ok(file)
        });
        taken.await.context("the lock was not waited for")?
    }

    fn create(&self) -> anyhow::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))
    }

    fn path(&self, issuer: &str, client_id: &str, extension: &str) -> PathBuf {
        let digest = digest(&SHA256, format!("{issuer}\n{client_id}").as_bytes());
        let name = URL_SAFE_NO_PAD.encode(digest);
        self.folder.join(format!("{name}.{extension}"))
    }
}
