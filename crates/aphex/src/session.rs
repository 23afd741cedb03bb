//! Being logged in: what is kept of it, how it is begun, how it goes on.
//!
//! ```text
//! login ─► provider (discovery) ─► browser | device | paste ─► tokens ─► vault
//! token ─► vault ─► still good? ─► else provider (refresh), one process at a time ─► vault
//! ```
//!
//! Tokens never reach logs, errors or arguments: they go from the issuer into the vault, and from there to kubectl.

pub(crate) mod browser;
pub(crate) mod device;
pub(crate) mod paste;
pub(crate) mod provider;
pub(crate) mod refresh;
pub(crate) mod vault;

use anyhow::Context as _;
use aphex_auth::pkce;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use provider::{Provider, Tokens};

/// The issuer that `aphex up` serves.
pub(crate) const LOCAL_ISSUER: &str = "http://127.0.0.1:5556";
/// The client that this program is, and that of kubelogin, as in the seed.
pub(crate) const CLIENT: &str = "aphex";
pub(crate) const KUBERNETES_CLIENT: &str = "kubernetes";

/// A login under way: what its answer must fit (RFC 6749, 7636; OpenID Connect Core).
pub(crate) struct Attempt {
    redirect: String,
    state: String,
    nonce: String,
    verifier: String,
}

/// What a browser comes back with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReturnError {
    /// It is the answer to something else.
    #[error("this is not the answer to this login: begin again with `aphex login`")]
    Other,
    /// The issuer says no.
    #[error("the issuer refused the login: {0}")]
    Refused(String),
    /// The issuer is another one (RFC 9207).
    #[error("the answer is of another issuer than was asked: {0}")]
    Mixed(String),
}

impl Attempt {
    /// A new attempt that ends at an address.
    pub(crate) fn new(redirect: String) -> Self {
        let random = || URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        Self { redirect, state: random(), nonce: random(), verifier: random() }
    }

    /// The address to open in a browser.
    pub(crate) fn address(&self, provider: &Provider) -> anyhow::Result<Url> {
        let endpoint = &provider.document.authorization_endpoint;
        let mut url = Url::parse(endpoint)
            .with_context(|| format!("the issuer's authorization endpoint {endpoint:?} is no URL"))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("scope", &provider.scopes())
            .append_pair("state", &self.state)
            .append_pair("nonce", &self.nonce)
            .append_pair("code_challenge", &pkce::challenge(&self.verifier))
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// The code in the query that a browser came back with.
    pub(crate) fn code(&self, provider: &Provider, query: &str) -> Result<String, ReturnError> {
        let (mut code, mut state, mut error, mut description, mut issuer) = (None, None, None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let slot = match &*name {
                "code" => &mut code,
                "state" => &mut state,
                "error" => &mut error,
                "error_description" => &mut description,
                "iss" => &mut issuer,
                _ => continue,
            };
            *slot = Some(value.into_owned());
        }
        if state.as_ref() != Some(&self.state) {
            return Err(ReturnError::Other);
        }
        if let Some(issuer) = issuer.filter(|issuer| *issuer != provider.issuer) {
            return Err(ReturnError::Mixed(issuer));
        }
        if let Some(error) = error {
            let said = description.map_or(error.clone(), |description| format!("{description} ({error})"));
            return Err(ReturnError::Refused(said));
        }
        code.filter(|code| !code.is_empty()).ok_or(ReturnError::Other)
    }

    /// Tokens for the code.
    pub(crate) async fn redeem(self, provider: &Provider, code: &str) -> anyhow::Result<Tokens> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect),
            ("code_verifier", &self.verifier),
        ];
        let tokens = provider.grant(&form).await.context("the login was not completed")?;
        provider.verify(&tokens, Some(&self.nonce)).await?;
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests;
