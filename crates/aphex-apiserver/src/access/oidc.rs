//! Tokens of trusted OpenID Connect issuers: their keys are fetched when first needed, kept, and fetched anew.
//!
//! An issuer that cannot be reached refuses its tokens, and delays nobody else's. A token with an unknown key makes
//! the keys be fetched again, but not more often than every [`PAUSE`]: strangers can make up key ids.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aphex_auth::User;
use aphex_auth::oidc::{Issuer, KeySet, Refused, Token, fetchable};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::tokens::Rejected;

/// Between two tries to fetch the keys of an issuer, in seconds.
const PAUSE: i64 = 10;
/// Keys older than this are fetched anew, so that one the issuer withdrew ends, in seconds.
const FRESH: i64 = 15 * 60;
/// How long an issuer may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// No discovery document and no key set is larger.
const LARGEST: usize = 1024 * 1024;
/// How often an issuer may send on.
const REDIRECTS: usize = 3;

/// The trusted issuers.
#[derive(Debug, Default)]
pub(crate) struct Issuers(Vec<Provider>);

/// An issuer with what is known of its keys.
#[derive(Debug)]
struct Provider {
    issuer: Arc<Issuer>,
    http: OnceCell<reqwest::Client>,
    known: Mutex<Known>,
    /// Held while keys are fetched.
    fetching: tokio::sync::Mutex<()>,
}

/// Keys, and when they were asked for.
#[derive(Clone, Debug, Default)]
struct Known {
    keys: Arc<KeySet>,
    /// When they were fetched; nothing before the first time.
    fetched: Option<Timestamp>,
    /// When that was tried last, with or without success.
    tried: Option<Timestamp>,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    /// The client could not be made: the certificate authority is the usual reason.
    #[error("cannot make a client for the issuer: check issuer.certificateAuthority")]
    Client(#[source] reqwest::Error),
    /// The issuer was not reached, or broke off.
    #[error("cannot fetch {url}: is the issuer running, and its certificate trusted?")]
    Http {
        /// What was asked for.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The document is not what it should be.
    #[error("{url} cannot be used: {problem}")]
    Document {
        /// Where it was found.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuers {
    pub(crate) fn new(issuers: &[Arc<Issuer>]) -> Self {
        Self(issuers.iter().map(|issuer| Provider::new(Arc::clone(issuer))).collect())
    }

    /// The user that a token stands for; [`Rejected::Unknown`] when none of the issuers claims it.
    pub(crate) async fn accept(&self, token: &str, now: Timestamp) -> Result<User, Rejected> {
        // Most servers trust no issuer: nothing is parsed then.
        if self.0.is_empty() {
            return Err(Rejected::Unknown);
        }
        let token = Token::parse(token).ok_or(Rejected::Unknown)?;
        let provider = self.0.iter().find(|provider| provider.issuer.settings.url == token.issuer());
        let provider = provider.ok_or(Rejected::Unknown)?;
        provider.accept(&token, now).await.map_err(|refused| Rejected::Invalid(refused.to_string()))
    }
}

impl Provider {
    fn new(issuer: Arc<Issuer>) -> Self {
        let (http, known) = (OnceCell::new(), Mutex::default());
        Self { issuer, http, known, fetching: tokio::sync::Mutex::default() }
    }

    async fn accept(&self, token: &Token<'_>, now: Timestamp) -> Result<User, Refused> {
        let known = self.known();
        let stale = known.fetched.is_some_and(|at| now.as_second() - at.as_second() > FRESH);
        if stale && let Ok(_held) = self.fetching.try_lock() {
            // One request takes it on itself; the others go on with the keys they have.
            self.refresh(now).await;
        }
        match self.issuer.accept(token, &self.known().keys, now) {
            Err(Refused::UnknownKey) => {}
            other => return other,
        }
        let _held = self.fetching.lock().await;
        // Whoever waited for another's fetch finds its time too recent to fetch again.
        self.refresh(now).await;
        self.issuer.accept(token, &self.known().keys, now)
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Fetches the keys unless that was tried a moment ago.
    async fn refresh(&self, now: Timestamp) {
        let recent = |at: Timestamp| now.as_second() - at.as_second() < PAUSE;
        if self.known().tried.is_some_and(recent) {
            return;
        }
        self.learn(|known| known.tried = Some(now));
        match self.fetch().await {
            Ok(keys) => {
                tracing::debug!(issuer = %self.issuer, keys = keys.len(), "the issuer's keys were fetched");
                self.learn(|known| (known.keys, known.fetched) = (Arc::new(keys), Some(now)));
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(issuer = %self.issuer, %error, cause, "the issuer's keys could not be fetched; its tokens are refused");
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let http = self.http.get_or_try_init(|| async { client(&self.issuer) }).await?;
        let url = self.issuer.discovery_url();
        let unusable = |url: &str, problem: String| FetchError::Document { url: url.to_owned(), problem };
        let document = get(http, &url).await?;
        let discovery: Discovery =
            serde_json::from_slice(&document).map_err(|error| unusable(&url, error.to_string()))?;
        // Discovery, section 4.3: they must be the same to the letter.
        if discovery.issuer != self.issuer.settings.url {
            let problem = format!(
                "it is of the issuer {:?}, and {:?} is configured",
                discovery.issuer, self.issuer.settings.url
            );
            return Err(unusable(&url, problem));
        }
        let keys = discovery.jwks_uri;
        if !fetchable(&keys) {
            return Err(unusable(&url, format!("its jwks_uri {keys:?} is not https")));
        }
        let document = get(http, &keys).await?;
        KeySet::parse(&document).map_err(|problem| unusable(&keys, problem))
    }
}

fn client(issuer: &Issuer) -> Result<reqwest::Client, FetchError> {
    // Without one the builder panics; a program that has chosen its own keeps it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let secure = issuer.discovery_url().starts_with("https://");
    let redirects = if secure {
        reqwest::redirect::Policy::limited(REDIRECTS)
    } else {
        reqwest::redirect::Policy::none()
    };
    let mut builder = reqwest::Client::builder()
        .timeout(PATIENCE)
        .user_agent(concat!("aphex/", env!("CARGO_PKG_VERSION")))
        .https_only(secure)
        .redirect(redirects);
    let authority = issuer.settings.certificate_authority.as_bytes();
    if !authority.is_empty() {
        let certificates = reqwest::Certificate::from_pem_bundle(authority).map_err(FetchError::Client)?;
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(FetchError::Client)
}

async fn get(http: &reqwest::Client, url: &str) -> Result<Vec<u8>, FetchError> {
    let failed = |source| FetchError::Http { url: url.to_owned(), source };
    let answer = http.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(failed)?;
    let mut document = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        document.extend_from_slice(&chunk);
        if document.len() > LARGEST {
            let problem = format!("it is larger than {LARGEST} bytes");
            return Err(FetchError::Document { url: url.to_owned(), problem });
        }
    }
    Ok(document)
}
