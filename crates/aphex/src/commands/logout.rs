//! `aphex logout`: ends logins at their issuers, and forgets them here.

use crate::cli::Logout;
use crate::output::{note, say};
use crate::session::provider::Provider;
use crate::session::vault::{Session, Vault};

pub(crate) async fn run(arguments: Logout) -> anyhow::Result<()> {
    let vault = Vault::of_user()?;
    let only = arguments.issuer.as_deref().map(|issuer| issuer.trim_end_matches('/'));
    let sessions = vault
        .all()?
        .into_iter()
        .filter(|session| only.is_none_or(|issuer| session.issuer.trim_end_matches('/') == issuer));
    let mut ended = 0_usize;
    for listed in sessions {
        let (issuer, client_id) = (&listed.issuer, &listed.client_id);
        let _held = vault.lock(issuer, client_id).await?;
        // A refresh may have gone before us: what is to be revoked is the token it got.
        let session = vault.load(issuer, client_id)?.unwrap_or_else(|| listed.clone());
        // Whatever the issuer says, nothing stays here.
        vault.forget(issuer, client_id)?;
        ended += 1;
        match revoke(&session).await {
            Ok(true) => say(&format!("Logged out {} at {issuer}.", session.name)),
            Ok(false) => say(&format!(
                "Logged out {} at {issuer}. The issuer revokes nothing: the last token is good until it runs out.",
                session.name
            )),
            Err(error) => {
                let cause = aphex_runtime::errors::chain(error.as_ref());
                say(&format!("Logged out {} here.", session.name));
                note(&format!("The issuer {issuer} was not told, and its session goes on there: {cause}"));
            }
        }
    }
    if ended == 0 {
        say("Nobody is logged in.");
    }
    Ok(())
}

async fn revoke(session: &Session) -> anyhow::Result<bool> {
    let Some(token) = &session.refresh_token else { return Ok(false) };
    let authority = session.certificate_authority.as_deref();
    let provider = Provider::discover(&session.issuer, &session.client_id, authority).await?;
    Ok(provider.revoke(token).await?)
}
