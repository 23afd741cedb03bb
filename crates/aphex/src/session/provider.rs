//! The issuer as its client: discovery, tokens, revocation (OpenID Connect Discovery; RFC 6749, 7009).

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use aphex_auth::oidc::{Configuration, KeySet, Token, fetchable};
use jiff::Timestamp;
use serde::Deserialize;

use crate::exit;

const PATIENCE: Duration = Duration::from_secs(20);
/// What the engine reads out of the token, and leave to refresh it.
const SCOPES: &[&str] = &["openid", "profile", "email", "groups", "offline_access"];

/// An issuer, with the client that is logged in at it.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) document: Discovery,
    /// Another client that tokens have to be for as well.
    audience: Option<String>,
    http: reqwest::Client,
}

/// What an issuer tells about itself.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Discovery {
    issuer: String,
    pub(crate) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    pub(crate) device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// What an issuer gives; never printed.
#[derive(Clone, Deserialize)]
pub(crate) struct Tokens {
    #[serde(default)]
    pub(crate) id_token: String,
    pub(crate) refresh_token: Option<String>,
}

/// What is in a token that can be told.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    /// When the token ends and was made, in seconds since 1970.
    pub(crate) expires: i64,
    pub(crate) issued: i64,
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    /// The issuer answered, and says no.
    #[error("the issuer says {}", .description.as_deref().map_or(error.clone(), |text| format!("{text} ({error})")))]
    Refused { error: String, description: Option<String> },
    /// The issuer did not answer as issuers do.
    #[error("{url} answered {status}, which is no answer of an OpenID Connect issuer")]
    Odd { url: String, status: u16 },
    /// It was not reached.
    #[error("{url} cannot be reached")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
}

impl GrantError {
    /// Whether the issuer refused with this error code.
    pub(crate) fn is(&self, code: &str) -> bool {
        matches!(self, Self::Refused { error, .. } if error == code)
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

impl Provider {
    /// Asks an issuer who it is.
    pub(crate) async fn discover(
        issuer: &str,
        client_id: &str,
        authority: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let issuer = issuer.trim_end_matches('/');
        if !fetchable(issuer) {
            let message =
                format!("the issuer {issuer:?} must be an https:// URL (http only on this machine)");
            return Err(exit::Coded { code: exit::USAGE, message }.into());
        }
        let mut builder = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE / 4)
            .user_agent(concat!("aphex/", env!("CARGO_PKG_VERSION")))
            // Codes and tokens are for the addresses of the discovery document, and for no other.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = authority {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} holds no PEM certificates", path.display()))?;
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder.build().context("cannot make an HTTP client")?;
        let url = format!("{issuer}/.well-known/openid-configuration");
        let answer = http.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        let answer = answer.map_err(|error| unreachable(issuer, &error))?;
        let document: Discovery = answer
            .json()
            .await
            .with_context(|| format!("{url} is no discovery document: is it the issuer's URL?"))?;
        // Discovery, section 4.3.
        anyhow::ensure!(
            document.issuer.trim_end_matches('/') == issuer,
            "the issuer at {issuer} calls itself {:?}: give that URL with --issuer",
            document.issuer
        );
        let endpoints = [&document.authorization_endpoint, &document.token_endpoint, &document.jwks_uri];
        for endpoint in endpoints
            .into_iter()
            .chain(&document.device_authorization_endpoint)
            .chain(&document.revocation_endpoint)
        {
            anyhow::ensure!(
                fetchable(endpoint),
                "the issuer {issuer} names an endpoint that is not https: {endpoint}"
            );
        }
        let (issuer, client_id) = (document.issuer.clone(), client_id.to_owned());
        Ok(Self { issuer, client_id, document, audience: None, http })
    }

    /// The same, with tokens that are for another client as well: the one that the Kubernetes API knows.
    pub(crate) fn for_audience(self, audience: Option<String>) -> Self {
        Self { audience: audience.filter(|audience| *audience != self.client_id), ..self }
    }

    /// What is asked for: of what we want, all that the issuer knows.
    pub(crate) fn scopes(&self) -> String {
        let supported = &self.document.scopes_supported;
        let known = |scope: &&&str| supported.is_empty() || supported.iter().any(|known| known == **scope);
        let mut scopes = SCOPES.iter().filter(known).copied().collect::<Vec<_>>().join(" ");
        // Dex's way to say it; in no issuer's list, because any client's id may stand behind it.
        if let Some(audience) = &self.audience {
            for client in [audience, &self.client_id] {
                scopes.push_str(" audience:server:client_id:");
                scopes.push_str(client);
            }
        }
        scopes
    }

    /// Asks the token endpoint.
    pub(crate) async fn grant(&self, form: &[(&str, &str)]) -> Result<Tokens, GrantError> {
        self.ask(&self.document.token_endpoint, form).await
    }

    /// Asks for something as this client.
    pub(super) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        url: &str,
        form: &[(&str, &str)],
    ) -> Result<T, GrantError> {
        let unreachable = |source| GrantError::Unreachable { url: url.to_owned(), source };
        let form: Vec<(&str, &str)> = form.iter().copied().chain([("client_id", &*self.client_id)]).collect();
        let answer = self.http.post(url).form(&form).send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unreachable)?;
        let odd = GrantError::Odd { url: url.to_owned(), status: status.as_u16() };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| odd);
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(Refusal { error, error_description }) => {
                Err(GrantError::Refused { error, description: error_description })
            }
            Err(_) => Err(odd),
        }
    }

    /// Ends a refresh token, where the issuer can; tells whether it did.
    pub(crate) async fn revoke(&self, refresh_token: &str) -> Result<bool, GrantError> {
        let Some(url) = &self.document.revocation_endpoint else { return Ok(false) };
        let form =
            [("token", refresh_token), ("token_type_hint", "refresh_token"), ("client_id", &*self.client_id)];
        let answer = self.http.post(url).form(&form).send().await;
        let answer = answer.map_err(|source| GrantError::Unreachable { url: url.clone(), source })?;
        let status = answer.status();
        if status.is_success() {
            Ok(true)
        } else {
            Err(GrantError::Odd { url: url.clone(), status: status.as_u16() })
        }
    }

    /// Checks an ID token as Core, section 3.1.3.7, has it; gives who it is of.
    pub(crate) async fn verify(&self, tokens: &Tokens, nonce: Option<&str>) -> anyhow::Result<Identity> {
        anyhow::ensure!(
            !tokens.id_token.is_empty(),
            "the issuer gave no ID token: is `openid` among its scopes?"
        );
        let url = &self.document.jwks_uri;
        let answer = self.http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let keys =
            answer.with_context(|| format!("cannot fetch the issuer's keys from {url}"))?.bytes().await?;
        let keys = KeySet::parse(&keys).map_err(|why| anyhow::anyhow!("{url} is no key set: {why}"))?;
        let mut configuration = Configuration::of_platform(&self.issuer, &[&self.client_id]);
        for jwt in &mut configuration.jwt {
            // Who has no e-mail address is somebody all the same.
            "sub".clone_into(&mut jwt.claim_mappings.username.claim);
        }
        let issuers = configuration.issuers(&[])?;
        let token = Token::parse(&tokens.id_token).context("the issuer gave an ID token that is none")?;
        anyhow::ensure!(token.issuer() == self.issuer, "the issuer gave a token of another issuer");
        anyhow::ensure!(
            nonce.is_none() || token.text("nonce") == nonce,
            "the issuer's token does not belong to this login: begin again with `aphex login`"
        );
        for issuer in issuers {
            issuer
                .accept(&token, &keys, Timestamp::now())
                .context("the issuer gave a token that is not good")?;
        }
        Ok(Identity::of(&token))
    }
}

impl Identity {
    /// What a token says, believed or not.
    pub(crate) fn of(token: &Token<'_>) -> Self {
        let name = token.text("email").or_else(|| token.text("sub")).unwrap_or_default().to_owned();
        let expires = token.time("exp").unwrap_or_default();
        Self { name, groups: token.texts("groups"), expires, issued: token.time("iat").unwrap_or_default() }
    }
}

fn unreachable(issuer: &str, error: &reqwest::Error) -> anyhow::Error {
    let mut cause = aphex_runtime::errors::chain(error);
    if cause.is_empty() {
        "no cause is known".clone_into(&mut cause);
    }
    let message = format!(
        "no issuer answers at {issuer} ({cause}): is it running (`aphex up` serves one), and is its certificate trusted (--certificate-authority)? Name another with --issuer"
    );
    exit::Coded { code: exit::UNREACHABLE, message }.into()
}
