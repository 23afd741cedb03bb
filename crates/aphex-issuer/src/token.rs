//! The token endpoint: shared phases here; a grant type only proves who gave what to the client.
//!
//! ```text
//! form ──► client ──► grant type: code, refresh token, device code ──► person as of now ──► tokens
//! ```

mod authorization_code;
mod device_code;
mod refresh_token;

use http::StatusCode;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::audit::{Action, Actor};
use crate::claims::{self, ACCESS_TOKEN, AccessToken, ID_TOKEN, IdToken, Person};
use crate::clients::{Client, Credentials};
use crate::directory::User;
use crate::grants::{Grant, Refresh};
use crate::issuer::Issuer;
use crate::oauth::{Code, Error, Parameters, Scope, Scopes};
use crate::secrets;
use crate::throttle::Subject;
use crate::web::{self, Request, Response};

/// The grant type of devices (RFC 8628 section 3.4).
pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The grant types that are served.
pub(crate) const GRANT_TYPES: [&str; 3] = ["authorization_code", "refresh_token", DEVICE_CODE];

/// Somebody gave something to a client, and it is proved.
struct Proven {
    /// The grant's id.
    id: String,
    grant: Grant,
    /// What this answer's tokens are for: the grant's scopes or fewer.
    scopes: Scopes,
    nonce: Option<String>,
}

/// What somebody who logged in a moment ago gives.
struct Given {
    scopes: Scopes,
    uid: String,
    epoch: u64,
    authenticated: Timestamp,
}

/// Answers `POST /token`.
pub(crate) async fn token(issuer: &Issuer, request: &Request) -> Response {
    match exchange(issuer, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn exchange(issuer: &Issuer, request: &Request) -> Result<Response, Error> {
    let form = form(request)?;
    let client = authenticate(issuer, request, &form)?;
    let proven = match form.required("grant_type")? {
        "authorization_code" => authorization_code::prove(issuer, request, &client, &form).await?,
        "refresh_token" => refresh_token::prove(issuer, request, &client, &form).await?,
        DEVICE_CODE => device_code::prove(issuer, &client, &form).await?,
        _ => {
            let text = "Only authorization_code, refresh_token and device_code are supported.";
            return Err(Error::refused(Code::UnsupportedGrantType, text));
        }
    };
    let user = issuer.giver(&proven.grant)?.ok_or_else(Error::invalid_grant)?;
    let response = answer(issuer, &client, &user, &proven)?;
    let by = Actor::user(&user.username, Some(request.source));
    issuer.directory.audit().record(Action::TokensIssued, &by, &client.id, &proven.scopes.to_string());
    Ok(response)
}

/// The form of an endpoint that is for programs.
pub(crate) fn form(request: &Request) -> Result<Parameters, Error> {
    if request.is_form() {
        Parameters::parse(&request.body)
    } else {
        let text = "The content type must be application/x-www-form-urlencoded.";
        Err(Error::refused(Code::InvalidRequest, text))
    }
}

/// The client that sent a form, proved.
pub(crate) fn authenticate(
    issuer: &Issuer,
    request: &Request,
    form: &Parameters,
) -> Result<std::sync::Arc<Client>, Error> {
    let credentials = Credentials::read(request, form)?;
    let client = issuer.client(&credentials.id)?;
    let (subjects, now) = (Subject::client(&credentials.id, request.source), issuer.clock.now());
    // A client without a secret has none that could be guessed: it is not kept waiting for what others do.
    let guessable = credentials.secret.is_some() || client.as_ref().is_none_or(|client| !client.is_public());
    if guessable {
        issuer.throttle.look(&subjects, now).map_err(Error::wait)?;
    }
    if let Some(client) = client.filter(|client| credentials.prove(client)) {
        if guessable {
            issuer.throttle.succeeded(&subjects[..1]);
        }
        return Ok(client);
    }
    // Nothing of the name: clients that are there and those that are not count alike.
    issuer.throttle.attempt(&subjects, now).map_err(Error::wait)?;
    Err(Error::invalid_client())
}

/// A new grant's record, not kept yet.
fn new_grant(issuer: &Issuer, client: &Client, given: Given) -> (String, Grant) {
    let now = issuer.clock.now();
    let lifetimes = issuer.settings.lifetimes;
    let offline = given.scopes.has(Scope::OfflineAccess);
    let lifetime = if offline { lifetimes.refresh.max(lifetimes.token) } else { lifetimes.token };
    let grant = Grant {
        client_id: client.id.clone(),
        issuer: client.issuer.clone(),
        uid: given.uid,
        epoch: given.epoch,
        scopes: given.scopes,
        authenticated: given.authenticated,
        expires: now.saturating_add(lifetime).unwrap_or(Timestamp::MAX),
        refresh: offline.then(|| Refresh::new(now)),
    };
    (secrets::uuid(), grant)
}

/// The answer (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3).
fn answer(issuer: &Issuer, client: &Client, user: &User, proven: &Proven) -> Result<Response, Error> {
    let Proven { id, grant, scopes, nonce } = proven;
    let iat = issuer.clock.now().as_second();
    let seconds = i64::try_from(issuer.settings.lifetimes.token.as_secs()).unwrap_or(i64::MAX);
    let exp = iat.saturating_add(seconds);
    let access = AccessToken {
        iss: grant.issuer.clone(),
        aud: grant.issuer.clone(),
        sub: user.uid.clone(),
        client_id: client.id.clone(),
        scope: scopes.to_string(),
        exp,
        iat,
        jti: secrets::uuid(),
        grant: id.clone(),
    };
    let access = issuer.keys.sign(ACCESS_TOKEN, &access).map_err(Error::failed("sign an access token"))?;
    // Asked again: whom a client may speak for is configuration, and may have changed since.
    let aud = issuer.audiences(client, scopes)?;
    let azp = (aud.as_slice() != [client.id.as_str()]).then(|| client.id.clone());
    let identity = IdToken {
        iss: grant.issuer.clone(),
        aud,
        azp,
        exp,
        iat,
        auth_time: grant.authenticated.as_second(),
        nonce: nonce.clone(),
        at_hash: claims::at_hash(&access),
        person: Person::new(user, scopes),
    };
    let identity = issuer.keys.sign(ID_TOKEN, &identity).map_err(Error::failed("sign an ID token"))?;
    let mut value = json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": seconds,
        "id_token": identity,
        "scope": scopes.to_string(),
    });
    let refresh: Option<SecretString> = grant.refresh.as_ref().map(|refresh| refresh.token(id));
    if let (Some(refresh), Some(value)) = (refresh, value.as_object_mut()) {
        value.insert("refresh_token".to_owned(), refresh.expose_secret().into());
    }
    Ok(web::private_json(StatusCode::OK, &value))
}
