//! Requests to the other provider: metadata, keys, tokens. Our own other face is asked without a socket.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use super::identity;
use super::upstream::{Other, Upstream};
use crate::authentik::applications;
use crate::directory::{self, Arrival};
use crate::issuer::Issuer;
use crate::providers::{DEX_SLUG, ProviderError};
use crate::settings::is_loopback;
use crate::web::Request;
use crate::{token, userinfo};

/// How long the provider may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Metadata and keys are asked for again after so long.
const FRESH: Duration = Duration::from_hours(1);
/// An unknown key id is a reason to ask again, but not for whoever makes key ids up.
const PAUSE: Duration = Duration::from_secs(10);
/// No answer is larger.
const MOST_BYTES: usize = 1 << 20;

/// Why a login at the other provider came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client for the provider that people log in with")]
    Client(#[source] reqwest::Error),
    /// The certificate of its authority cannot be read.
    #[error("rootCA of the provider that people log in with holds no PEM certificates")]
    Authority(#[source] reqwest::Error),
    /// The provider does not answer.
    #[error("{url} does not answer")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The provider answers what it should not.
    #[error("{url} answered {problem}")]
    Answer {
        /// What was asked.
        url: String,
        /// What came back, without its values.
        problem: String,
    },
    /// What the provider says does not hold.
    #[error("the login is not believed: {problem}")]
    Wrong {
        /// Which check failed.
        problem: String,
    },
    /// The application that stands before Dex is gone.
    #[error("there is no OAuth2 provider with the slug dex; create one, or start without the chain")]
    NoApplication,
    /// The relying parties of our other face cannot be read.
    #[error(transparent)]
    Providers(ProviderError),
    /// The person cannot be a user here.
    #[error(transparent)]
    Person(directory::Error),
}

impl ConnectorError {
    pub(super) fn wrong(problem: impl Into<String>) -> Self {
        Self::Wrong { problem: problem.into() }
    }
}

/// What a provider says of itself (OpenID Connect Discovery section 3), as far as it is needed.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// Who we are there.
pub(super) struct Client {
    pub(super) id: String,
    secret: Option<SecretString>,
    pub(super) scopes: Vec<String>,
}

/// What a code was exchanged for.
#[derive(Deserialize)]
pub(super) struct Tokens {
    id_token: SecretString,
    access_token: SecretString,
}

type Cached<T> = Mutex<Option<(Timestamp, Arc<T>)>>;

/// The provider.
#[derive(Debug)]
pub(super) struct Provider {
    upstream: Upstream,
    http: reqwest::Client,
    metadata: Cached<Metadata>,
    keys: Cached<JwkSet>,
}

impl Provider {
    pub(super) fn new(upstream: Upstream) -> Result<Self, ConnectorError> {
        // Without one the builder panics; a program that has chosen its own keeps it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .timeout(PATIENCE)
            .user_agent(concat!("aphex/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none());
        if let Upstream::Other(other) = &upstream {
            if Url::parse(&other.issuer).is_ok_and(|url| is_loopback(&url)) {
                builder = builder.no_proxy();
            }
            for certificate in other.certificates()? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build().map_err(ConnectorError::Client)?;
        Ok(Self { upstream, http, metadata: Mutex::default(), keys: Mutex::default() })
    }

    pub(super) fn is_own(&self) -> bool {
        matches!(self.upstream, Upstream::Own)
    }

    /// The name under which the provider signs.
    pub(super) fn issuer(&self, issuer: &Issuer) -> String {
        match &self.upstream {
            Upstream::Own => issuer.settings.url.join(&applications::issuer_path(DEX_SLUG)),
            Upstream::Other(other) => other.issuer.clone(),
        }
    }

    /// Who we are there; for our own other face as its providers say now.
    pub(super) fn client(&self, issuer: &Issuer) -> Result<Client, ConnectorError> {
        match &self.upstream {
            Upstream::Other(other) => Ok(Client {
                id: other.client_id.clone(),
                secret: other.client_secret.clone(),
                scopes: other.scopes.clone(),
            }),
            Upstream::Own => {
                let found = issuer.providers.by_slug(DEX_SLUG).map_err(ConnectorError::Providers)?;
                let provider = found.ok_or(ConnectorError::NoApplication)?;
                let scopes = ["openid", "profile", "email", "groups"].map(str::to_owned).into();
                Ok(Client { id: provider.client_id, secret: Some(provider.client_secret), scopes })
            }
        }
    }

    pub(super) async fn metadata(&self, issuer: &Issuer) -> Result<Arc<Metadata>, ConnectorError> {
        let Upstream::Other(other) = &self.upstream else { return own_metadata(issuer) };
        let now = issuer.clock.now();
        let mut cached = self.metadata.lock().await;
        if let Some((since, metadata)) = &*cached
            && is_younger(*since, FRESH, now)
        {
            return Ok(Arc::clone(metadata));
        }
        let url = format!("{}/.well-known/openid-configuration", other.issuer.trim_end_matches('/'));
        let metadata: Metadata = self.fetch(self.http.get(&url), &url).await?;
        if metadata.issuer != other.issuer {
            // OpenID Connect Discovery section 4.3.
            let problem = format!("issuer {:?}, and not {:?}", metadata.issuer, other.issuer);
            return Err(ConnectorError::Answer { url, problem });
        }
        let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        for endpoint in endpoints.into_iter().chain(&metadata.userinfo_endpoint) {
            let safe = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
            if !Url::parse(endpoint).as_ref().is_ok_and(safe) {
                return Err(ConnectorError::Answer {
                    url,
                    problem: format!("endpoint {endpoint:?}, which is not https"),
                });
            }
        }
        let metadata = Arc::new(metadata);
        *cached = Some((now, Arc::clone(&metadata)));
        Ok(metadata)
    }

    /// The provider's keys; asked for again when one is wanted that is not among them.
    pub(super) async fn keys(
        &self,
        issuer: &Issuer,
        metadata: &Metadata,
        wanted: Option<&str>,
    ) -> Result<Arc<JwkSet>, ConnectorError> {
        let url = &metadata.jwks_uri;
        if self.is_own() {
            return read(issuer.keys.jwks().to_string().as_bytes(), url).map(Arc::new);
        }
        let now = issuer.clock.now();
        let mut cached = self.keys.lock().await;
        if let Some((since, keys)) = &*cached {
            let known = wanted.is_none_or(|id| keys.find(id).is_some());
            if is_younger(*since, if known { FRESH } else { PAUSE }, now) {
                return Ok(Arc::clone(keys));
            }
        }
        let keys: Arc<JwkSet> = Arc::new(self.fetch(self.http.get(url), url).await?);
        *cached = Some((now, Arc::clone(&keys)));
        Ok(keys)
    }

    /// Exchanges the code (RFC 6749 section 4.1.3).
    pub(super) async fn redeem(
        &self,
        issuer: &Issuer,
        metadata: &Metadata,
        code: &SecretString,
        verifier: &SecretString,
    ) -> Result<Tokens, ConnectorError> {
        let redirect = issuer.settings.url.join(super::CALLBACK);
        let (body, authorization) = exchange(&self.client(issuer)?, metadata, &redirect, code, verifier);
        let url = &metadata.token_endpoint;
        if self.is_own() {
            let request = own_request(Method::POST, body, authorization.as_ref());
            return read(&bytes_of(token::token(issuer, &request).await).await, url);
        }
        let mut request =
            self.http.post(url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::from_str(authorization.expose_secret())
                .map_err(|_| ConnectorError::wrong("the client's secret cannot be sent"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        self.fetch(request.body(body), url).await
    }

    /// Who the tokens speak of: the ID token, and what it leaves out from the userinfo endpoint.
    pub(super) async fn identify(
        &self,
        issuer: &Issuer,
        metadata: &Metadata,
        tokens: &Tokens,
        nonce: &str,
    ) -> Result<Arrival, ConnectorError> {
        let client = self.client(issuer)?;
        let id_token = tokens.id_token.expose_secret();
        let keys = self.keys(issuer, metadata, identity::key_id(id_token).as_deref()).await?;
        let expected = identity::Expected {
            issuer: &metadata.issuer,
            client_id: &client.id,
            nonce,
            now: issuer.clock.now(),
        };
        let mut claims = identity::verify(id_token, &keys, &expected)?;
        let (groups_claim, trust_email) = match &self.upstream {
            Upstream::Own => ("groups", false),
            Upstream::Other(other) => (other.groups_claim.as_str(), other.trust_email),
        };
        let complete = claims.get("email").is_some() && claims.get(groups_claim).is_some();
        if !complete && let Some(url) = &metadata.userinfo_endpoint {
            let more = self.userinfo(issuer, url, &tokens.access_token).await?;
            // The answer could be about somebody else (OpenID Connect Core section 5.3.2).
            if more.get("sub") != claims.get("sub") {
                return Err(ConnectorError::wrong("userinfo speaks of another person than the ID token"));
            }
            if let (Value::Object(more), Some(claims)) = (more, claims.as_object_mut()) {
                for (name, value) in more {
                    claims.entry(name).or_insert(value);
                }
            }
        }
        identity::arrival(&claims, &metadata.issuer, groups_claim, trust_email)
    }

    async fn userinfo(
        &self,
        issuer: &Issuer,
        url: &str,
        token: &SecretString,
    ) -> Result<Value, ConnectorError> {
        if self.is_own() {
            let bearer = SecretString::from(format!("Bearer {}", token.expose_secret()));
            let request = own_request(Method::GET, String::new(), Some(&bearer));
            return read(&bytes_of(userinfo::userinfo(issuer, &request)).await, url);
        }
        self.fetch(self.http.get(url).bearer_auth(token.expose_secret()), url).await
    }

    async fn fetch<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        url: &str,
    ) -> Result<T, ConnectorError> {
        let unreachable = |source: reqwest::Error| ConnectorError::Unreachable {
            url: url.to_owned(),
            source: source.without_url(),
        };
        let mut response =
            request.header(header::ACCEPT, "application/json").send().await.map_err(unreachable)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if body.len() + part.len() > MOST_BYTES {
                return Err(ConnectorError::Answer {
                    url: url.to_owned(),
                    problem: "more than 1 MiB".to_owned(),
                });
            }
            body.extend_from_slice(&part);
        }
        if !status.is_success() {
            let code = serde_json::from_slice::<Value>(&body).ok();
            let code = code
                .as_ref()
                .and_then(|body| body["error"].as_str())
                .map(super::known_code)
                .unwrap_or_default();
            return Err(ConnectorError::Answer { url: url.to_owned(), problem: format!("{status} {code}") });
        }
        read(&body, url)
    }
}

impl Other {
    fn certificates(&self) -> Result<Vec<reqwest::Certificate>, ConnectorError> {
        match &self.authority {
            None => Ok(Vec::new()),
            Some(pem) => reqwest::Certificate::from_pem_bundle(pem).map_err(ConnectorError::Authority),
        }
    }
}

/// Reads JSON; what is wrong with it is told without its values, which may be tokens.
fn read<T: DeserializeOwned>(body: &[u8], url: &str) -> Result<T, ConnectorError> {
    serde_json::from_slice(body).map_err(|error| ConnectorError::Answer {
        url: url.to_owned(),
        problem: format!(
            "JSON of another form than expected, at line {} column {}",
            error.line(),
            error.column()
        ),
    })
}

fn is_younger(since: Timestamp, age: Duration, now: Timestamp) -> bool {
    since.saturating_add(age).is_ok_and(|end| now < end)
}

/// `Basic`, each part form-encoded (RFC 6749 section 2.3.1).
fn basic(id: &str, secret: &SecretString) -> SecretString {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(id), encode(secret.expose_secret()));
    SecretString::from(format!("Basic {}", STANDARD.encode(pair)))
}

/// The form that exchanges a code, and the header that proves us.
fn exchange(
    client: &Client,
    metadata: &Metadata,
    redirect: &str,
    code: &SecretString,
    verifier: &SecretString,
) -> (String, Option<SecretString>) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([
        ("grant_type", "authorization_code"),
        ("code", code.expose_secret()),
        ("redirect_uri", redirect),
        ("code_verifier", verifier.expose_secret()),
    ]);
    // RFC 6749 section 2.3.1: every provider takes the header, unless it says otherwise.
    let methods = metadata.token_endpoint_auth_methods_supported.as_ref();
    let by_header =
        methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
    let authorization = client.secret.as_ref().filter(|_| by_header).map(|secret| basic(&client.id, secret));
    if authorization.is_none() {
        form.append_pair("client_id", &client.id);
        if let Some(secret) = &client.secret {
            form.append_pair("client_secret", secret.expose_secret());
        }
    }
    (form.finish(), authorization)
}

fn own_metadata(issuer: &Issuer) -> Result<Arc<Metadata>, ConnectorError> {
    let found = issuer.providers.by_slug(DEX_SLUG).map_err(ConnectorError::Providers)?;
    let provider = found.ok_or(ConnectorError::NoApplication)?;
    let document = applications::document(issuer, &provider);
    read(document.to_string().as_bytes(), "the application dex").map(Arc::new)
}

fn own_request(method: Method, body: String, authorization: Option<&SecretString>) -> Request {
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form);
    if let Some(value) = authorization.and_then(|text| HeaderValue::from_str(text.expose_secret()).ok()) {
        headers.insert(header::AUTHORIZATION, value);
    }
    Request {
        method,
        path: String::new(),
        query: String::new(),
        headers,
        body: Bytes::from(body),
        source: std::net::Ipv4Addr::LOCALHOST.into(),
    }
}

async fn bytes_of(response: crate::web::Response) -> Bytes {
    match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    }
}
