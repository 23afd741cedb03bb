//! The provider: what it is made of, and what it does besides answering.

use std::sync::Arc;
use std::time::Duration;

use aphex_runtime::{Clock, Shutdown, errors};

use crate::authorize::AuthorizationCode;
use crate::clients::{Client, Clients};
use crate::device::{DeviceGrant, Polls, UserCode};
use crate::directory::Directory;
use crate::forms::Forms;
use crate::grants::Grant;
use crate::keys::{KeyError, Keys};
use crate::sessions::Session;
use crate::settings::Settings;
use crate::storage::{Expires, Storage};
use crate::throttle::Throttle;

/// Between two looks at what has expired.
const TEND: Duration = Duration::from_mins(5);

/// What an issuer works with.
#[derive(Debug)]
pub struct Config {
    /// URL, algorithm, lifetimes.
    pub settings: Settings,
    /// The relying parties.
    pub clients: Clients,
    /// Where sessions, grants and keys are kept.
    pub storage: Storage,
    /// The people.
    pub directory: Directory,
    /// The time.
    pub clock: Clock,
}

/// An OpenID provider over a directory.
#[derive(Debug)]
pub struct Issuer {
    pub(crate) settings: Settings,
    pub(crate) clients: Clients,
    pub(crate) keys: Keys,
    pub(crate) storage: Storage,
    pub(crate) directory: Directory,
    pub(crate) clock: Clock,
    pub(crate) throttle: Throttle,
    pub(crate) forms: Forms,
    pub(crate) polls: Polls,
}

impl Issuer {
    /// An issuer that answers; its first start makes a signing key.
    pub async fn start(config: Config) -> Result<Arc<Self>, KeyError> {
        let Config { settings, clients, storage, directory, clock } = config;
        let keys = Keys::load(storage.clone(), settings.algorithm, clock.clone()).await?;
        let forms = Forms::new().map_err(|error| KeyError::Make(error.to_string()))?;
        let issuer = Self {
            settings,
            clients,
            keys,
            storage,
            directory,
            clock,
            throttle: Throttle::default(),
            forms,
            polls: Polls::default(),
        };
        issuer.tend().await;
        Ok(Arc::new(issuer))
    }

    /// A client of Dex's face.
    pub(crate) fn client(&self, id: &str) -> Option<Arc<Client>> {
        self.clients.get(id)
    }

    /// Drops what has expired and changes the signing key when it is due, until shutdown.
    pub(crate) async fn tend_until(&self, shutdown: &Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(TEND) => self.tend().await,
                () = shutdown.triggered() => return,
            }
        }
    }

    /// Drops what has expired and changes the signing key when it is due.
    pub async fn tend(&self) {
        let lifetimes = self.settings.lifetimes;
        if let Err(error) = self.keys.tend(lifetimes.key, lifetimes.token).await {
            tracing::error!(error = %errors::chain(&error), "signing keys cannot be tended");
        }
        self.sweep::<Session>("sessions").await;
        self.sweep::<AuthorizationCode>("authorization codes").await;
        self.sweep::<Grant>("grants").await;
        self.sweep::<DeviceGrant>("device codes").await;
        self.sweep::<UserCode>("user codes").await;
        self.polls.forget_before(self.clock.now());
    }

    async fn sweep<T: Expires>(&self, what: &'static str) {
        if let Err(error) = self.storage.sweep::<T>(self.clock.now()).await {
            tracing::error!(what, error = %errors::chain(&error), "what has expired cannot be dropped");
        }
    }
}
