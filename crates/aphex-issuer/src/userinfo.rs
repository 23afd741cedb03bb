//! Who the holder of an access token stands for (OpenID Connect Core section 5.3), and the check of such tokens.

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::claims::{ACCESS_TOKEN, AccessToken, Person};
use crate::directory::User;
use crate::grants::Grant;
use crate::issuer::Issuer;
use crate::oauth::{Code, Error, Scopes};
use crate::storage::Stored;
use crate::token;
use crate::web::{self, Request, Response};

/// An access token that holds now.
pub(crate) struct Access {
    pub(crate) claims: AccessToken,
    pub(crate) grant: Stored<Grant>,
    pub(crate) user: User,
}

/// Answers `GET` and `POST /userinfo`.
pub(crate) fn userinfo(issuer: &Issuer, request: &Request) -> Response {
    match person(issuer, request) {
        Ok(person) => web::private_json(StatusCode::OK, &json!(person)),
        Err(error) => refuse(&error),
    }
}

fn person(issuer: &Issuer, request: &Request) -> Result<Person, Error> {
    let token = bearer(request)?;
    let access = issuer.access(&token)?.ok_or_else(|| {
        Error::refused(Code::InvalidToken, "The access token is invalid, expired, or revoked.")
    })?;
    let scopes = Scopes::parse(&access.claims.scope)?;
    Ok(Person::new(&access.user, &scopes))
}

/// The token, from the header or from a form (RFC 6750 section 2).
fn bearer(request: &Request) -> Result<String, Error> {
    if let Some(value) = request.header(&header::AUTHORIZATION)
        && let Some((scheme, token)) = value.split_once(' ')
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return Ok(token.trim().to_owned());
    }
    let form =
        if request.method == Method::POST && request.is_form() { token::form(request).ok() } else { None };
    let token = form.and_then(|form| form.get("access_token").map(str::to_owned));
    token.ok_or_else(|| Error::refused(Code::InvalidRequest, "An access token is needed."))
}

/// 401 with a challenge; without a token it names no error (RFC 6750 section 3.1).
fn refuse(error: &Error) -> Response {
    let (code, description) = error.tell();
    let (status, challenge) = match code {
        Code::InvalidRequest => (StatusCode::UNAUTHORIZED, "Bearer"),
        Code::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "Bearer"),
        _ => (StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\""),
    };
    let body = json!({ "error": code.as_str(), "error_description": description });
    let mut response = web::private_json(status, &body);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

impl Issuer {
    /// What an access token stands for; none when it holds no more.
    pub(crate) fn access(&self, token: &str) -> Result<Option<Access>, Error> {
        let Some(claims) = self.keys.verify::<AccessToken>(ACCESS_TOKEN, token) else { return Ok(None) };
        if claims.exp <= self.clock.now().as_second() {
            return Ok(None);
        }
        let grant = self.grant(&claims.grant)?;
        let Some(grant) = grant.filter(|grant| grant.value.issuer == claims.iss) else { return Ok(None) };
        let user = self.giver(&grant.value)?;
        Ok(user.map(|user| Access { claims, grant, user }))
    }
}
