//! What a token is worth now (RFC 7662), for clients that can keep a secret.

use http::StatusCode;
use serde_json::{Value, json};

use crate::claims::Person;
use crate::issuer::Issuer;
use crate::oauth::{Error, Scopes};
use crate::token;
use crate::web::{self, Request, Response};

/// Answers `POST /token/introspect`.
pub(crate) fn introspect(issuer: &Issuer, request: &Request) -> Response {
    match look(issuer, request) {
        Ok(value) => web::private_json(StatusCode::OK, &value),
        Err(error) => error.into_response(),
    }
}

fn look(issuer: &Issuer, request: &Request) -> Result<Value, Error> {
    let form = token::form(request)?;
    let client = token::authenticate(issuer, request, &form)?;
    if client.is_public() {
        // Whoever finds a token must not learn from it (RFC 7662 section 2.1).
        return Err(Error::invalid_client());
    }
    let token = form.required("token")?;
    if let Some(access) = issuer.access(token)? {
        let claims = &access.claims;
        let mut value = json!({
            "active": true, "token_type": "Bearer", "client_id": claims.client_id, "scope": claims.scope,
            "iss": claims.iss, "aud": claims.aud, "exp": claims.exp, "iat": claims.iat, "jti": claims.jti,
            "username": access.user.username,
        });
        let person = json!(Person::new(&access.user, &Scopes::parse(&claims.scope)?));
        if let (Some(value), Value::Object(person)) = (value.as_object_mut(), person) {
            value.extend(person);
        }
        return Ok(value);
    }
    // Refresh tokens are the business of their own client alone, and old ones are worth nothing.
    if let Some(presented) = issuer.presented(token)? {
        let grant = &presented.grant.value;
        let newest = grant.refresh.as_ref().is_some_and(|refresh| refresh.generation == presented.generation);
        let user = issuer.giver(grant)?.filter(|_| newest && grant.client_id == client.id);
        if let Some(user) = user {
            return Ok(json!({
                "active": true, "token_type": "refresh_token", "client_id": grant.client_id,
                "scope": grant.scopes.to_string(), "iss": grant.issuer, "sub": user.uid,
                "exp": grant.expires.as_second(), "username": user.username,
            }));
        }
    }
    Ok(json!({ "active": false }))
}
