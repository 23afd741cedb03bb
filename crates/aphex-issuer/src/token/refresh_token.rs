//! New tokens for a refresh token, which is replaced each time (RFC 6749 section 6, RFC 9700 section 4.14).

use jiff::Timestamp;

use super::Proven;
use crate::audit::{Action, Actor};
use crate::clients::Client;
use crate::grants::Presented;
use crate::issuer::Issuer;
use crate::oauth::{Error, Parameters, Scopes};
use crate::settings::Lifetimes;
use crate::storage::{StorageError, Stored};
use crate::web::Request;

pub(super) async fn prove(
    issuer: &Issuer,
    request: &Request,
    client: &Client,
    form: &Parameters,
) -> Result<Proven, Error> {
    let token = form.required("refresh_token")?;
    let asked = form.get("scope").map(Scopes::parse).transpose()?;
    // A second time, when another request with the same token was faster.
    for _ in 0..2 {
        let presented = issuer.presented(token)?.ok_or_else(Error::invalid_grant)?;
        let grant = &presented.grant.value;
        if grant.client_id != client.id || grant.issuer != client.issuer {
            return Err(Error::invalid_grant());
        }
        let scopes = match &asked {
            Some(asked) if !grant.scopes.covers(asked) => return Err(Error::invalid_scope()),
            Some(asked) => asked.clone(),
            None => grant.scopes.clone(),
        };
        // Before anything is written: the token of somebody disabled is worth nothing, and is not rotated.
        if issuer.giver(grant)?.is_none() {
            issuer.revoke(&presented.grant.id).await?;
            return Err(Error::invalid_grant());
        }
        if let Some(grant) = rotate(issuer, request, presented).await? {
            return Ok(Proven { id: grant.id, grant: grant.value, scopes, nonce: None });
        }
    }
    Err(Error::invalid_grant())
}

/// The grant with its next token; none when another request changed it meanwhile.
async fn rotate(
    issuer: &Issuer,
    request: &Request,
    presented: Presented,
) -> Result<Option<Stored<crate::grants::Grant>>, Error> {
    let Presented { mut grant, generation } = presented;
    let now = issuer.clock.now();
    let Some(refresh) = grant.value.refresh.as_mut() else { return Err(Error::invalid_grant()) };
    if generation == refresh.generation {
        refresh.generation = refresh.generation.saturating_add(1);
        refresh.rotated = now;
        let lifetime = issuer.settings.lifetimes.refresh;
        grant.value.expires = now.saturating_add(lifetime).unwrap_or(Timestamp::MAX);
        return match issuer.storage.replace(&grant).await {
            Ok(_) => Ok(Some(grant)),
            Err(StorageError::Conflict { .. }) => Ok(None),
            Err(error) => Err(Error::failed("rotate a refresh token")(error)),
        };
    }
    let lately = refresh.rotated.saturating_add(Lifetimes::REUSE).is_ok_and(|end| now < end);
    if generation.checked_add(1) == Some(refresh.generation) && lately {
        return Ok(Some(grant));
    }
    // An old token comes back: two have it, and nobody knows which of them is the thief.
    issuer.revoke(&grant.id).await?;
    let by = Actor::client(&grant.value.client_id, Some(request.source));
    issuer.directory.audit().record(Action::TokensReplayed, &by, &grant.value.uid, "refresh token");
    Err(Error::invalid_grant())
}
