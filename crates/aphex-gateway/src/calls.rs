//! Asks what evaluation wants to know: services that tenants named, and GitHub's API.
//!
//! A service is called only at addresses that are allowed: the machine's own, loopback, link-local and the like are the
//! gateway's own neighbourhood (a cloud's metadata service among them), and no tenant's business. The address is looked at after the
//! name was resolved, so no name leads there either. Redirects are not followed; time and size have limits.

mod rules;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aphex_api::delivery::SecretKeyRef;
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, ClientBuilder, Url, redirect};
use secrecy::{ExposeSecret as _, SecretSlice};
use thiserror::Error;

use crate::bindings::canonical_header;
use crate::interceptors::outside::{Question, Response, Whom};
use crate::secrets::SecretCache;

pub use rules::{Rule, RuleError};

/// How long a service may take, as long as Tekton's sink gives a webhook interceptor.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER_MAX: usize = 8 * 1024 * 1024;
/// Questions of one evaluation that are asked at once.
const PARALLEL: usize = 16;
/// How many clients are kept, one for each set of authorities.
const CLIENTS: usize = 256;
/// GitHub's public API.
pub const GITHUB_API: &str = "https://api.github.com";

/// Whom the gateway may call.
#[derive(Debug, Clone)]
pub struct Calls {
    /// Addresses and names that services may have although they are near.
    pub allowed: Vec<Rule>,
    /// GitHub's API, without a slash at the end.
    pub github_api: String,
}

impl Default for Calls {
    fn default() -> Self {
        Self { allowed: Vec::new(), github_api: GITHUB_API.to_owned() }
    }
}

/// A question was not answered.
#[derive(Debug, Error)]
enum CallError {
    #[error("{0} is not an address that can be called")]
    Url(String),
    #[error("{0} is not allowed: the gateway was not started with --allow-interceptor-address {0}")]
    Forbidden(String),
    #[error("the caBundle has no certificate that can be read")]
    Authorities(#[source] reqwest::Error),
    #[error("cannot set up a client")]
    Client(#[source] reqwest::Error),
    #[error("a header of the request cannot be sent")]
    Header,
    #[error("the token cannot be sent in a header")]
    Token,
    #[error("no answer")]
    Send(#[source] reqwest::Error),
    #[error("the answer broke off")]
    Read(#[source] reqwest::Error),
    #[error("the answer is larger than 8 MiB")]
    TooLarge,
}

impl CallError {
    /// Whether it is the address itself that is not called.
    fn is_of_the_address(&self) -> bool {
        let forbidden = |error: &(dyn std::error::Error + 'static)| {
            matches!(error.downcast_ref(), Some(Self::Forbidden(_) | Self::Url(_)))
        };
        // What a name leads to is looked at in the midst of the client.
        std::iter::successors(Some(self as &(dyn std::error::Error + 'static)), |error| error.source())
            .any(forbidden)
    }
}

/// Why nothing arrived.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// The address is not called.
    Never(String),
    /// It did not answer.
    Now(String),
}

/// Calls out; cheap to share.
pub struct Caller {
    settings: Calls,
    secrets: SecretCache,
    clients: Mutex<HashMap<(Whom, Option<String>), reqwest::Client>>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Caller {
    /// A caller that takes tokens from these Secrets.
    pub fn new(settings: Calls, secrets: SecretCache) -> Self {
        Self { settings, secrets, clients: Mutex::default() }
    }

    /// GitHub's API.
    pub fn github_api(&self) -> &str {
        &self.settings.github_api
    }

    /// Asks all questions; an error is a sentence for the Delivery's status.
    pub async fn ask(&self, questions: Vec<Question>) -> HashMap<Question, Result<Response, String>> {
        let ask = |question: Question| async move {
            let answer = self.one(&question).await.map_err(|error| aphex_runtime::errors::chain(&error));
            (question, answer)
        };
        futures::stream::iter(questions.into_iter().map(ask)).buffer_unordered(PARALLEL).collect().await
    }

    /// Sends once.
    pub(crate) async fn post(&self, question: &Question) -> Result<Response, Unsent> {
        self.one(question).await.map_err(|error| {
            let why = aphex_runtime::errors::chain(&error);
            if error.is_of_the_address() { Unsent::Never(why) } else { Unsent::Now(why) }
        })
    }

    async fn one(&self, question: &Question) -> Result<Response, CallError> {
        let url = Url::parse(&question.url).map_err(|_| CallError::Url(question.url.clone()))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(CallError::Url(question.url.clone()));
        }
        if question.whom == Whom::Service {
            // A client asks no resolver for an address that is written out.
            let address = host.trim_matches(['[', ']']).parse();
            if address.is_ok_and(|address| !rules::may_call(&self.settings.allowed, &host, address)) {
                return Err(CallError::Forbidden(host));
            }
        }
        let client = self.client(question)?;
        let mut request = match &question.body {
            Some(body) => client.post(url).body(body.to_string()),
            None => client.get(url),
        };
        for (name, value) in &question.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| CallError::Header)?;
            request = request.header(name, HeaderValue::from_str(value).map_err(|_| CallError::Header)?);
        }
        if let Some(token) = &question.token {
            request = request.header(http::header::AUTHORIZATION, self.bearer(token)?);
        }
        let response = request.send().await.map_err(|error| CallError::Send(error.without_url()))?;
        read(response).await
    }

    fn bearer(&self, token: &SecretKeyRef) -> Result<HeaderValue, CallError> {
        let token = self.secrets.current(token).ok_or(CallError::Token)?;
        let text = SecretSlice::from([b"Bearer ".as_slice(), token.expose_secret().trim_ascii()].concat());
        let mut value = HeaderValue::from_bytes(text.expose_secret()).map_err(|_| CallError::Token)?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn client(&self, question: &Question) -> Result<reqwest::Client, CallError> {
        let key = (question.whom, question.ca_bundle.clone());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(question)?;
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, question: &Question) -> Result<reqwest::Client, CallError> {
        let mut builder = ClientBuilder::new()
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("aphex/", env!("CARGO_PKG_VERSION")));
        if question.whom == Whom::Service {
            let allowed = self.settings.allowed.clone();
            // A proxy would resolve names itself, behind the rules' back.
            builder = builder.no_proxy().dns_resolver(Arc::new(Guarded { allowed }));
        }
        if let Some(bundle) = &question.ca_bundle {
            let authorities =
                Certificate::from_pem_bundle(bundle.as_bytes()).map_err(CallError::Authorities)?;
            builder = builder.tls_certs_only(authorities);
        }
        builder.build().map_err(CallError::Client)
    }
}

async fn read(mut response: reqwest::Response) -> Result<Response, CallError> {
    let status = response.status().as_u16();
    let mut headers = std::collections::BTreeMap::new();
    for name in response.headers().keys() {
        let values = response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        headers.insert(canonical_header(name.as_str()), values.collect::<Vec<_>>().join(","));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| CallError::Read(error.without_url()))? {
        if body.len() + piece.len() > ANSWER_MAX {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Response { status, headers, body: String::from_utf8_lossy(&body).into() })
}

/// Resolves names to those of their addresses that may be called.
struct Guarded {
    allowed: Vec<Rule>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.allowed.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let found: Vec<SocketAddr> =
                found.filter(|address| rules::may_call(&allowed, &host, address.ip())).collect();
            if found.is_empty() {
                return Err(CallError::Forbidden(host).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
