//! The authorization endpoint: a browser comes with a client's wish and goes back with a code.
//!
//! ```text
//! parameters ──► client, redirect URI ──► the wish ──► who is logged in ──► code
//!                     │ wrong                │ wrong        │ nobody
//!                     ▼                      ▼              ▼
//!                   a page           error to the client   login page, then here again
//! ```
//!
//! Nothing is kept of a request until somebody has logged in: the login page carries it along. Where people log in
//! elsewhere, the `connector` sends them there.

mod wish;

use http::{Method, StatusCode};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use self::wish::{Problem, Wish};
use crate::connector;
use crate::issuer::Issuer;
use crate::oauth::{Code, Error, Parameters, Scopes};
use crate::pages;
use crate::secrets;
use crate::sessions::Login;
use crate::settings::Lifetimes;
use crate::storage::{Expires, Record};
use crate::web::{self, Request, Response};

/// The endpoint's path.
pub(crate) const PATH: &str = "/auth";

/// A code, kept under its fingerprint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AuthorizationCode {
    pub(crate) client_id: String,
    pub(crate) issuer: String,
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Scopes,
    pub(crate) nonce: Option<String>,
    /// What the verifier must hash to (RFC 7636).
    pub(crate) challenge: Option<String>,
    pub(crate) uid: String,
    pub(crate) epoch: u64,
    pub(crate) authenticated: Timestamp,
    /// From then on it buys nothing.
    pub(crate) valid_until: Timestamp,
    /// The record outlives the code, so that using it again is noticed.
    pub(crate) expires: Timestamp,
    /// The grant that it bought.
    pub(crate) used_for: Option<String>,
}

impl Record for AuthorizationCode {
    const KIND: &'static str = "code";
}

impl Expires for AuthorizationCode {
    fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Answers `GET /auth`, and `POST /auth` with the same as a form (OpenID Connect Core section 3.1.2.1).
pub(crate) async fn authorize(issuer: &Issuer, request: &Request) -> Response {
    let text = if request.method == Method::POST { request.body.as_ref() } else { request.query.as_bytes() };
    match Parameters::parse(text) {
        Ok(parameters) => proceed(issuer, request, &parameters, None).await,
        Err(error) => pages::problem(issuer, StatusCode::BAD_REQUEST, error.tell().1),
    }
}

/// Goes on with a wish; `just` is the person who logged in for it a moment ago.
pub(crate) async fn proceed(
    issuer: &Issuer,
    request: &Request,
    parameters: &Parameters,
    just: Option<&Login>,
) -> Response {
    let wish = match Wish::read(issuer, parameters) {
        Ok(wish) => wish,
        Err(Problem::Page(problem)) => return pages::problem(issuer, StatusCode::BAD_REQUEST, &problem),
        Err(Problem::Client(back, error)) => return back.error(&request.method, &error),
    };
    match decide(issuer, request, &wish, just).await {
        Ok(Some(code)) => wish.back.send(&request.method, &[("code", &code)]),
        Ok(None) if wish.silent => {
            let error = Error::refused(Code::LoginRequired, "Nobody is logged in in this browser.");
            wish.back.error(&request.method, &error)
        }
        Ok(None) => {
            let next = format!("{PATH}?{}", parameters.to_query());
            match connector::for_client(issuer, &wish.client.issuer) {
                Some(connector) => connector.begin(issuer, request, &next, wish.manner()).await,
                None => ask_to_log_in(issuer, request, &next, &wish),
            }
        }
        Err(error) => wish.back.error(&request.method, &error),
    }
}

/// Shows the login page; after it, the browser goes on to `next`.
fn ask_to_log_in(issuer: &Issuer, request: &Request, next: &str, wish: &Wish) -> Response {
    let asks = pages::Asks {
        next,
        client: Some(&wish.client.name),
        redirect: Some(&wish.back.uri),
        hint: wish.hint.as_deref(),
    };
    pages::login(issuer, request, &asks, None)
}

/// A code for the person who is logged in; none when somebody has to log in first.
async fn decide(
    issuer: &Issuer,
    request: &Request,
    wish: &Wish,
    just: Option<&Login>,
) -> Result<Option<String>, Error> {
    let login = match just {
        Some(login) => Some(login.clone()),
        None => issuer.login_of(request)?.filter(|login| wish.accepts(login, issuer.clock.now())),
    };
    match login {
        Some(login) => Ok(Some(give_code(issuer, wish, login).await?)),
        None => Ok(None),
    }
}

async fn give_code(issuer: &Issuer, wish: &Wish, login: Login) -> Result<String, Error> {
    let now = issuer.clock.now();
    let after = |lifetime| now.saturating_add(lifetime).unwrap_or(Timestamp::MAX);
    let record = AuthorizationCode {
        client_id: wish.client.id.clone(),
        issuer: wish.client.issuer.clone(),
        redirect_uri: wish.back.uri.clone(),
        scopes: wish.scopes.clone(),
        nonce: wish.nonce.clone(),
        challenge: wish.challenge.clone(),
        uid: login.user.uid,
        epoch: login.user.session_epoch,
        authenticated: login.authenticated,
        valid_until: after(Lifetimes::CODE),
        expires: after(Lifetimes::USED_CODE),
        used_for: None,
    };
    let code = secrets::random();
    let kept = issuer.storage.create(&secrets::fingerprint(code.expose_secret()), &record).await;
    kept.map_err(Error::failed("keep an authorization code"))?;
    Ok(code.expose_secret().to_owned())
}

/// Where the browser goes back to.
#[derive(Clone, Debug)]
pub(crate) struct Back {
    pub(crate) uri: String,
    pub(crate) state: Option<String>,
    /// The issuer that the client knows.
    pub(crate) issuer: String,
}

impl Back {
    fn error(&self, method: &Method, error: &Error) -> Response {
        let (code, description) = error.tell();
        self.send(method, &[("error", code.as_str()), ("error_description", description)])
    }

    /// Sends the browser back. The issuer's name goes with the answer, so that a client of several providers knows which
    /// of them it is from (RFC 9207).
    fn send(&self, method: &Method, answer: &[(&str, &str)]) -> Response {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(answer);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &self.issuer);
        let joint = if self.uri.contains('?') { '&' } else { '?' };
        // The URI is one of the client's own, character by character.
        web::redirect(method, &format!("{}{joint}{}", self.uri, query.finish()))
    }
}
