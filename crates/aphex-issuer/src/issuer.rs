//! The provider: what it is made of, and what it does besides answering.

use std::sync::Arc;
use std::time::Duration;

use aphex_runtime::{Clock, Shutdown, errors};

use crate::authentik::{self, Authentik};
use crate::authorize::AuthorizationCode;
use crate::clients::{Client, Clients};
use crate::connector::{self, Connector, ConnectorError, Upstream};
use crate::device::{DeviceGrant, Polls, UserCode};
use crate::directory::Directory;
use crate::forms::Forms;
use crate::grants::Grant;
use crate::keys::{KeyError, Keys};
use crate::oauth::{Error, Scopes};
use crate::providers::{ClientType, ProviderError, Providers};
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
    pub(crate) providers: Providers,
    pub(crate) authentik: Authentik,
    pub(crate) connector: Option<Connector>,
    pub(crate) keys: Keys,
    pub(crate) storage: Storage,
    pub(crate) directory: Directory,
    pub(crate) clock: Clock,
    pub(crate) throttle: Throttle,
    pub(crate) forms: Forms,
    pub(crate) polls: Polls,
}

/// Why an issuer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no key to sign with.
    #[error(transparent)]
    Keys(KeyError),
    /// The relying parties of Authentik's face cannot be read or made.
    #[error("cannot read or make the OAuth2 providers")]
    Providers(#[source] ProviderError),
    /// The way to the provider that people log in with cannot be made.
    #[error(transparent)]
    Connector(ConnectorError),
}

impl Issuer {
    /// An issuer that answers; its first start makes a signing key and the provider of Authentik's face.
    pub async fn start(config: Config) -> Result<Arc<Self>, StartError> {
        let Config { settings, clients, storage, directory, clock } = config;
        let keys =
            Keys::load(storage.clone(), settings.algorithm, clock.clone()).await.map_err(StartError::Keys)?;
        let forms = Forms::new().map_err(|error| StartError::Keys(KeyError::Make(error.to_string())))?;
        let audit = directory.audit().clone();
        let providers = Providers::open(storage.clone(), audit, settings.url.as_str()).await;
        let providers = providers.map_err(StartError::Providers)?;
        if matches!(settings.upstream, Some(Upstream::Own)) {
            let callback = settings.url.join(connector::CALLBACK);
            providers.follow(&callback).await.map_err(StartError::Providers)?;
        }
        let authentik = Authentik::new(directory.clone(), providers.clone());
        let connector =
            settings.upstream.clone().map(Connector::new).transpose().map_err(StartError::Connector)?;
        let issuer = Self {
            settings,
            clients,
            providers,
            authentik,
            connector,
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

    /// A client of either face: one of the configuration, or an OAuth2 provider's.
    ///
    /// What is configured goes first: nobody who may write providers can stand in for it.
    pub(crate) fn client(&self, id: &str) -> Result<Option<Arc<Client>>, Error> {
        if let Some(client) = self.clients.get(id) {
            return Ok(Some(client));
        }
        let provider = self.providers.by_client_id(id).map_err(Error::failed("read the providers"))?;
        Ok(provider.map(|provider| {
            let path = authentik::applications::issuer_path(&provider.slug);
            let confidential = provider.client_type == ClientType::Confidential;
            Arc::new(Client {
                id: provider.client_id,
                name: provider.name,
                redirect_uris: provider.redirect_uris,
                post_logout_redirect_uris: Vec::new(),
                trusted_peers: Vec::new(),
                secret: confidential.then_some(provider.client_secret),
                issuer: self.settings.url.join(&path),
            })
        }))
    }

    /// For whom an ID token is that a client asks for; refused where one of them does not trust the client.
    pub(crate) fn audiences(&self, client: &Client, scopes: &Scopes) -> Result<Vec<String>, Error> {
        let asked = scopes.audiences();
        if asked.is_empty() {
            return Ok(vec![client.id.clone()]);
        }
        for id in asked.iter().filter(|id| **id != client.id) {
            let peer = self.client(id)?.filter(|peer| peer.issuer == client.issuer);
            if !peer.is_some_and(|peer| peer.trusted_peers.contains(&client.id)) {
                return Err(Error::invalid_scope());
            }
        }
        Ok(asked.to_vec())
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
        if let Some(connector) = &self.connector {
            connector.tend(self);
        }
        self.polls.forget_before(self.clock.now());
    }

    async fn sweep<T: Expires>(&self, what: &'static str) {
        if let Err(error) = self.storage.sweep::<T>(self.clock.now()).await {
            tracing::error!(what, error = %errors::chain(&error), "what has expired cannot be dropped");
        }
    }
}
