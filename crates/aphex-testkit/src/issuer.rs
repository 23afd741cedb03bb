//! An OpenID Connect issuer for tests: real keys, real signatures, real HTTP, and one person who always agrees.
//!
//! It has the endpoints that signing in needs (discovery, keys, `/auth` with PKCE, `/token` with rotated refresh
//! tokens, the device flow, revocation), and it signs whatever claims a test asks for.

mod endpoints;
mod keys;
mod state;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use aphex_auth::pki::Authority;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use keys::{Key, Kind};

use state::State;

/// A running issuer; gone when dropped.
pub struct Issuer {
    url: String,
    ca: String,
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
}

impl Issuer {
    /// Starts it over HTTP on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        Self::serve(None, String::new()).await
    }

    /// Starts it over HTTPS, with a certificate of an authority of its own.
    pub async fn start_tls() -> anyhow::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (folder, now) = (tempfile::tempdir()?, jiff::Timestamp::now());
        let authority = Authority::load_or_create(folder.path(), now)?;
        let tls = authority.server_config(&["localhost".to_owned(), "127.0.0.1".to_owned()], now)?;
        Self::serve(Some(TlsAcceptor::from(tls)), authority.ca_pem().to_owned()).await
    }

    async fn serve(tls: Option<TlsAcceptor>, ca: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{}", listener.local_addr()?.port());
        let state = Arc::new(Mutex::new(State::new(&url)?));
        let stop = CancellationToken::new();
        let (served, ended) = (Arc::clone(&state), stop.clone());
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = ended.run_until_cancelled(listener.accept()).await {
                let (state, tls) = (Arc::clone(&served), tls.clone());
                let connection = async move {
                    match tls {
                        None => connection(stream, state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, state).await;
                            }
                        }
                    }
                };
                let ended = ended.clone();
                tokio::spawn(async move { ended.run_until_cancelled(connection).await });
            }
        });
        Ok(Self { url, ca, state, stop })
    }

    /// Its URL, the `iss` of its tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of its authority, as PEM; empty without TLS.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The claims of a good token for an audience, valid for an hour.
    pub fn claims(&self, audience: &str) -> Value {
        self.state().claims(audience)
    }

    /// Signs claims with the newest key of that kind.
    pub fn sign(&self, kind: Kind, claims: &Value) -> anyhow::Result<String> {
        let state = self.state();
        let key = state.keys.iter().rev().find(|key| key.kind == kind).context("no key of that kind")?;
        key.sign(claims)
    }

    /// A good token for an audience.
    pub fn token(&self, audience: &str) -> anyhow::Result<String> {
        self.sign(Kind::Rsa, &self.claims(audience))
    }

    /// Replaces every key.
    pub fn rotate(&self) -> anyhow::Result<()> {
        let keys = state::keys()?;
        self.state().keys = keys;
        Ok(())
    }

    /// The public key of a kind, as PEM.
    pub fn public_pem(&self, kind: Kind) -> anyhow::Result<String> {
        let state = self.state();
        let key = state.keys.iter().rev().find(|key| key.kind == kind).context("no key of that kind")?;
        Ok(key.public_pem())
    }

    /// Puts an entry into its key set that is none of its own keys.
    pub fn publish(&self, key: Value) {
        self.state().foreign_keys.push(key);
    }

    /// Who signs in.
    pub fn sign_in(&self, email: &str, groups: &[&str]) {
        let mut state = self.state();
        email.clone_into(&mut state.email);
        state.groups = groups.iter().map(|group| (*group).to_owned()).collect();
    }

    /// What its discovery document says, changed.
    pub fn change_discovery(&self, field: &str, value: Value) {
        self.state().discovery.insert(field.to_owned(), value);
    }

    /// How often its keys were fetched.
    pub fn key_fetches(&self) -> usize {
        self.state().key_fetches
    }

    /// How often a token was refreshed.
    pub fn refreshes(&self) -> usize {
        self.state().refreshes
    }

    /// Refresh tokens that are good now.
    pub fn sessions(&self) -> usize {
        self.state().refresh_tokens.len()
    }

    /// Ends every session, as an administrator would.
    pub fn revoke_all(&self) {
        self.state().refresh_tokens.clear();
    }

    /// Answers what the person at the other device would: enters this code and agrees.
    pub fn approve(&self, user_code: &str) -> bool {
        self.state().approve(user_code)
    }

    /// A configuration by which an API server trusts it, as kube-apiserver's file has it.
    pub fn configuration(&self, audiences: &[&str]) -> Value {
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [{
                "issuer": {
                    "url": self.url,
                    "certificateAuthority": self.ca,
                    "audiences": audiences,
                    "audienceMatchPolicy": "MatchAny",
                },
                "claimMappings": {
                    "username": { "claim": "email", "prefix": "" },
                    "groups": { "claim": "groups", "prefix": "" },
                },
            }],
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connection<S>(stream: S, state: Arc<Mutex<State>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| endpoints::handle(Arc::clone(&state), request));
    // A client that goes away ends it with an error; so it should.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}
