//! Logging in elsewhere: Dex's face as a relying party of another OpenID provider, which may be our own other face.
//!
//! ```text
//! browser ─ /auth ─► here ─ 302 ─► provider ─ login ─► 302 ─ /callback ─► here ─ 302 ─► client
//!                                      ▲ code, verifier                     │
//!                                      └──────────── tokens, keys ──────────┘
//! ```
//!
//! Code flow with PKCE, state bound to the browser by a cookie, nonce, and an ID token that is checked
//! (OpenID Connect Core section 3.1.3.7). What is under way is kept in memory, bounded: strangers begin logins.

mod identity;
mod pending;
mod provider;
mod upstream;

use http::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use self::pending::Pending;
use self::pending::Pendings;
pub use self::provider::ConnectorError;
use self::provider::Provider;
pub use self::upstream::{Upstream, UpstreamError};
use crate::directory::{self, User};
use crate::issuer::Issuer;
use crate::oauth::{Error, Parameters};
use crate::pages;
use crate::secrets;
use crate::sessions;
use crate::web::{self, Request, Response};
use crate::{audit, login};

/// Where the provider sends the browser back to, as Dex has it.
pub(crate) const CALLBACK: &str = "/callback";

const LOST: &str =
    "This login took too long, or was finished before. Go back to the application and begin again.";
const BUSY: &str = "Too many logins are under way. Try again in a few minutes.";
const FAILED: &str = "The provider that people log in with cannot be used now; the issuer's log says why.";
const REFUSED: &str = "The provider did not log you in.";
const DISABLED: &str = "You may not log in here. Ask an administrator.";

/// The way to the other provider.
#[derive(Debug)]
pub(crate) struct Connector {
    provider: Provider,
    pendings: Pendings,
}

/// What the wish asks of the login there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner<'a> {
    /// The person has to log in again.
    pub(crate) again: bool,
    /// Who is expected.
    pub(crate) hint: Option<&'a str>,
}

impl Connector {
    pub(crate) fn new(upstream: Upstream) -> Result<Self, ConnectorError> {
        Ok(Self { provider: Provider::new(upstream)?, pendings: Pendings::default() })
    }

    /// Forgets logins that nobody finished.
    pub(crate) fn tend(&self, issuer: &Issuer) {
        self.pendings.forget(issuer.clock.now());
    }

    /// Sends the browser to the provider; after the login it goes on to `next`, a path of ours.
    pub(crate) async fn begin(
        &self,
        issuer: &Issuer,
        request: &Request,
        next: &str,
        manner: Manner<'_>,
    ) -> Response {
        let metadata = match self.provider.metadata(issuer).await {
            Ok(metadata) => metadata,
            Err(error) => return unusable(issuer, &error),
        };
        let client = match self.provider.client(issuer) {
            Ok(client) => client,
            Err(error) => return unusable(issuer, &error),
        };
        let name = sessions::cookie_name(issuer, "upstream");
        let known = request.cookie(&name).filter(|value| value.len() == 43);
        let fresh = secrets::random();
        let browser = known.unwrap_or_else(|| fresh.expose_secret());
        let Some(begun) = self.pendings.begin(browser, next, issuer.clock.now()) else {
            return pages::problem(issuer, StatusCode::SERVICE_UNAVAILABLE, BUSY);
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([
            ("client_id", client.id.as_str()),
            ("redirect_uri", &issuer.settings.url.join(CALLBACK)),
            ("response_type", "code"),
            ("scope", &client.scopes.join(" ")),
            ("state", begun.state.expose_secret()),
            ("nonce", &begun.nonce),
            ("code_challenge", &begun.challenge),
            ("code_challenge_method", "S256"),
        ]);
        if manner.again {
            query.append_pair("prompt", "login");
        }
        if let Some(hint) = manner.hint {
            query.append_pair("login_hint", hint);
        }
        let endpoint = &metadata.authorization_endpoint;
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        let response = web::redirect(&request.method, &format!("{endpoint}{joint}{}", query.finish()));
        if known.is_some() {
            return response;
        }
        web::with_cookie(response, &sessions::cookie(issuer, &name, browser, Some(pending::PATIENCE)))
    }

    /// Answers `GET /callback`.
    pub(crate) async fn callback(&self, issuer: &Issuer, request: &Request) -> Response {
        let answer = match Parameters::parse(request.query.as_bytes()) {
            Ok(answer) => answer,
            Err(error) => return pages::problem(issuer, StatusCode::BAD_REQUEST, error.tell().1),
        };
        let name = sessions::cookie_name(issuer, "upstream");
        let browser = request.cookie(&name).unwrap_or_default();
        let state = answer.get("state").unwrap_or_default();
        let Some(pending) = self.pendings.finish(state, browser, issuer.clock.now()) else {
            return pages::problem(issuer, StatusCode::BAD_REQUEST, LOST);
        };
        if let Some(error) = answer.get("error") {
            let by = audit::Actor::anonymous(Some(request.source));
            let detail = format!("the provider answered {}", known_code(error));
            issuer.directory.audit().record(audit::Action::LoginRefused, &by, "", &detail);
            return pages::problem(issuer, StatusCode::FORBIDDEN, REFUSED);
        }
        let user = match self.user(issuer, request, &answer, &pending).await {
            Ok(user) => user,
            Err(ConnectorError::Person(error @ directory::Error::Invalid { .. })) => {
                return pages::problem(issuer, StatusCode::FORBIDDEN, &error.to_string());
            }
            Err(error) => return unusable(issuer, &error),
        };
        if !user.active {
            let by = audit::Actor::user(&user.username, Some(request.source));
            issuer.directory.audit().record(audit::Action::LoginRefused, &by, &user.username, "disabled");
            return pages::problem(issuer, StatusCode::FORBIDDEN, DISABLED);
        }
        let detail = format!("at {}", self.provider.issuer(issuer));
        let recorded = issuer.directory.record_login(&user.uid, Some(request.source), &detail).await;
        if let Err(error) = recorded {
            return pages::failure(issuer, &Error::failed("note a login")(error));
        }
        match issuer.begin_session(user, request).await {
            Ok((login, cookie)) => {
                web::with_cookie(login::go_on(issuer, request, &pending.next, &login).await, &cookie)
            }
            Err(error) => pages::failure(issuer, &error),
        }
    }

    /// Who logged in there, as a user of ours.
    async fn user(
        &self,
        issuer: &Issuer,
        request: &Request,
        answer: &Parameters,
        pending: &Pending,
    ) -> Result<User, ConnectorError> {
        let metadata = self.provider.metadata(issuer).await?;
        // An answer of another provider must not be redeemed at this one (RFC 9207 section 2.4).
        match answer.get("iss") {
            Some(iss) if iss != metadata.issuer => {
                return Err(ConnectorError::wrong("the answer is another issuer's"));
            }
            None if metadata.authorization_response_iss_parameter_supported => {
                return Err(ConnectorError::wrong("the answer names no issuer, and this provider's do"));
            }
            _ => {}
        }
        let code = answer.get("code").ok_or_else(|| ConnectorError::wrong("the answer has no code"))?;
        let tokens =
            self.provider.redeem(issuer, &metadata, &SecretString::from(code), &pending.verifier).await?;
        let arrival = self.provider.identify(issuer, &metadata, &tokens, &pending.nonce).await?;
        if self.provider.is_own() {
            let user = issuer.directory.by_uid(&arrival.subject).map_err(ConnectorError::Person)?;
            return user.ok_or_else(|| ConnectorError::wrong("the person is gone"));
        }
        issuer.directory.arrive(arrival, Some(request.source)).await.map_err(ConnectorError::Person)
    }
}

/// What a stranger may write into the log: codes that providers have.
fn known_code(code: &str) -> &str {
    let plain = code.len() <= 40 && code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    if plain { code } else { "an error" }
}

fn unusable(issuer: &Issuer, error: &ConnectorError) -> Response {
    tracing::error!(error = aphex_runtime::errors::chain(error), "a login at the other provider failed");
    pages::problem(issuer, StatusCode::BAD_GATEWAY, FAILED)
}

/// Whether somebody who has to log in for this client does so at the other provider.
///
/// Clients of Authentik's face do not: it is the end of the chain.
pub(crate) fn for_client<'a>(issuer: &'a Issuer, client_issuer: &str) -> Option<&'a Connector> {
    issuer.connector.as_ref().filter(|_| client_issuer == issuer.settings.url.as_str())
}

/// Whether a request is one that comes back from the other provider.
pub(crate) fn is_callback(request: &Request) -> bool {
    request.method == Method::GET && request.path == CALLBACK
}
