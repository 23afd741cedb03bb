//! A code for tokens, once (RFC 6749 section 4.1.3, RFC 7636 section 4.6).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Given, Proven, new_grant};
use crate::audit::{Action, Actor};
use crate::authorize::AuthorizationCode;
use crate::clients::Client;
use crate::issuer::Issuer;
use crate::oauth::{Error, Parameters};
use crate::secrets;
use crate::storage::{StorageError, Stored};
use crate::web::Request;

pub(super) async fn prove(
    issuer: &Issuer,
    request: &Request,
    client: &Client,
    form: &Parameters,
) -> Result<Proven, Error> {
    let id = secrets::fingerprint(form.required("code")?);
    let code =
        issuer.storage.get::<AuthorizationCode>(&id).map_err(Error::failed("read an authorization code"))?;
    let mut code = code.filter(|code| belongs(&code.value, client, form)).ok_or_else(Error::invalid_grant)?;
    if code.value.used_for.is_some() {
        return replayed(issuer, request, &code).await;
    }
    if code.value.valid_until <= issuer.clock.now() {
        return Err(Error::invalid_grant());
    }
    let given = Given {
        scopes: code.value.scopes.clone(),
        uid: code.value.uid.clone(),
        epoch: code.value.epoch,
        authenticated: code.value.authenticated,
    };
    let (grant_id, grant) = new_grant(issuer, client, given);
    code.value.used_for = Some(grant_id.clone());
    let mut transaction = issuer.storage.transaction();
    transaction.replace(&code).map_err(Error::failed("mark a code as used"))?;
    transaction.create(&grant_id, &grant).map_err(Error::failed("keep a grant"))?;
    match transaction.commit().await {
        Ok(_) => {}
        // Of several who bring a code at once one gets tokens, and loses them: the code is known to more than one.
        Err(StorageError::Conflict { .. }) => {
            let read = issuer.storage.get::<AuthorizationCode>(&id);
            return match read.map_err(Error::failed("read an authorization code"))? {
                Some(code) => replayed(issuer, request, &code).await,
                None => Err(Error::invalid_grant()),
            };
        }
        Err(error) => return Err(Error::failed("keep a grant")(error)),
    }
    let scopes = grant.scopes.clone();
    Ok(Proven { id: grant_id, grant, scopes, nonce: code.value.nonce })
}

/// Whether the code was given to this client, for this redirect URI, and the verifier is its own.
fn belongs(code: &AuthorizationCode, client: &Client, form: &Parameters) -> bool {
    let verified = match (&code.challenge, form.get("code_verifier")) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) => {
            let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
            is_verifier(verifier) && verify_slices_are_equal(challenge.as_bytes(), hash.as_bytes()).is_ok()
        }
        // A verifier where no challenge was: somebody took the challenge out of the request (RFC 9700 section 4.8).
        _ => false,
    };
    verified
        && code.client_id == client.id
        && code.issuer == client.issuer
        && form.get("redirect_uri") == Some(&code.redirect_uri)
}

/// 43 to 128 unreserved characters (RFC 7636 section 4.1).
fn is_verifier(text: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}

/// A code that comes twice takes back what it bought (RFC 6749 section 4.1.2).
async fn replayed(
    issuer: &Issuer,
    request: &Request,
    code: &Stored<AuthorizationCode>,
) -> Result<Proven, Error> {
    if let Some(grant) = &code.value.used_for {
        issuer.revoke(grant).await?;
        let by = Actor::client(&code.value.client_id, Some(request.source));
        issuer.directory.audit().record(Action::TokensReplayed, &by, &code.value.uid, "authorization code");
    }
    Err(Error::invalid_grant())
}
