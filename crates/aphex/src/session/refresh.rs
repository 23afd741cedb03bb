//! A token that is good now: that which is kept, or a new one for it, fetched by one process at a time.

use jiff::Timestamp;

use super::provider::{GrantError, Identity, Provider, Tokens};
use super::vault::{Session, Vault};
use crate::exit;

/// A token is replaced this long before its end, or in the last quarter of its time, in seconds.
const AHEAD: i64 = 60;

impl Session {
    /// What is kept of tokens that an issuer gave.
    pub(crate) fn new(
        provider: &Provider,
        tokens: Tokens,
        identity: &Identity,
        certificate_authority: Option<std::path::PathBuf>,
    ) -> Self {
        Self {
            issuer: provider.issuer.clone(),
            client_id: provider.client_id.clone(),
            name: identity.name.clone(),
            id_token: tokens.id_token,
            refresh_token: tokens.refresh_token,
            expires: identity.expires,
            issued: identity.issued,
            certificate_authority,
        }
    }

    /// Until when the token can be used without being replaced.
    pub(crate) fn fresh_until(&self) -> i64 {
        let lifetime = self.expires.saturating_sub(self.issued).max(0);
        self.expires - AHEAD.min(lifetime / 4)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        now.as_second() < self.fresh_until()
    }

    fn is_good(&self, now: Timestamp) -> bool {
        now.as_second() < self.expires
    }
}

/// The login at an issuer with a token that is good for a while.
pub(crate) async fn current(vault: &Vault, issuer: &str, client_id: &str) -> anyhow::Result<Session> {
    let session =
        vault.load(issuer, client_id)?.ok_or_else(|| ended(&format!("not logged in at {issuer}")))?;
    if session.is_fresh(Timestamp::now()) {
        return Ok(session);
    }
    // A refresh token is good once: who comes second must see what the first one got.
    let _held = vault.lock(issuer, client_id).await?;
    let session =
        vault.load(issuer, client_id)?.ok_or_else(|| ended(&format!("not logged in at {issuer}")))?;
    if session.is_fresh(Timestamp::now()) {
        return Ok(session);
    }
    match renewed(&session).await {
        Ok(new) => {
            vault.save(&new)?;
            Ok(new)
        }
        Err(error) if is_final(&error) => {
            let message =
                format!("the login of {} at {issuer} has ended: it ran out or was revoked", session.name);
            Err(error.context(ended(&message)))
        }
        // The issuer may be back before the token ends.
        Err(error) if session.is_good(Timestamp::now()) => {
            tracing::warn!(error = %aphex_runtime::errors::chain(error.as_ref()), "the token could not be replaced yet");
            Ok(session)
        }
        Err(error) => Err(error.context(format!("the login at {issuer} cannot be renewed now"))),
    }
}

async fn renewed(session: &Session) -> anyhow::Result<Session> {
    let Some(refresh_token) = &session.refresh_token else {
        return Err(
            ended(&format!("the login at {} has ended, and cannot be renewed", session.issuer)).into()
        );
    };
    let authority = session.certificate_authority.clone();
    let provider = Provider::discover(&session.issuer, &session.client_id, authority.as_deref()).await?;
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    let mut tokens = provider.grant(&form).await?;
    let identity = provider.verify(&tokens, None).await?;
    // One that is not rotated stays good.
    tokens.refresh_token = tokens.refresh_token.or_else(|| Some(refresh_token.clone()));
    Ok(Session::new(&provider, tokens, &identity, authority))
}

/// Whether trying again is of no use.
fn is_final(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<GrantError>().is_some_and(|error| {
        ["invalid_grant", "invalid_client", "unauthorized_client"].iter().any(|code| error.is(code))
    });
    refused || error.downcast_ref::<exit::Coded>().is_some_and(|coded| coded.code == exit::REFUSED)
}

fn ended(what: &str) -> exit::Coded {
    exit::Coded { code: exit::REFUSED, message: format!("{what}: run `aphex login`") }
}
