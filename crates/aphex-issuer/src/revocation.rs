//! Taking tokens back (RFC 7009): with any token of a grant the whole grant goes.

use http::StatusCode;

use crate::audit::{Action, Actor};
use crate::issuer::Issuer;
use crate::oauth::Error;
use crate::token;
use crate::web::{self, Request, Response};

/// Answers `POST /token/revoke`.
pub(crate) async fn revoke(issuer: &Issuer, request: &Request) -> Response {
    match take_back(issuer, request).await {
        Ok(()) => web::no_store(web::empty(StatusCode::OK)),
        Err(error) => error.into_response(),
    }
}

async fn take_back(issuer: &Issuer, request: &Request) -> Result<(), Error> {
    let form = token::form(request)?;
    let client = token::authenticate(issuer, request, &form)?;
    let token = form.required("token")?;
    let grant = match issuer.presented(token)? {
        Some(presented) => Some(presented.grant),
        None => issuer.access(token)?.map(|access| access.grant),
    };
    // A token that is worth nothing, or another client's, is answered like one that went (RFC 7009 section 2.2).
    let Some(grant) = grant.filter(|grant| grant.value.client_id == client.id) else { return Ok(()) };
    issuer.revoke(&grant.id).await?;
    let by = Actor::client(&client.id, Some(request.source));
    issuer.directory.audit().record(Action::TokensRevoked, &by, &grant.value.uid, "");
    Ok(())
}
