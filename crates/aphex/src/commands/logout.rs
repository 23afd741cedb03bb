//! `aphex logout`: ends logins at their issuers, and forgets them here.

use serde_json::json;

use crate::cli::{Format, Global, Logout};
use crate::output::{self, note, say};
use crate::session::provider::Provider;
use crate::session::vault::{Session, Vault};

pub(crate) async fn run(global: &Global, arguments: Logout) -> anyhow::Result<()> {
    let vault = Vault::of_user()?;
    let only = arguments.issuer.as_deref().map(|issuer| issuer.trim_end_matches('/'));
    let sessions = vault
        .all()?
        .into_iter()
        .filter(|session| only.is_none_or(|issuer| session.issuer.trim_end_matches('/') == issuer));
    let mut ended = Vec::new();
    for listed in sessions {
        let (issuer, client_id) = (&listed.issuer, &listed.client_id);
        let _held = vault.lock(issuer, client_id).await?;
        // A refresh may have gone before us: what is to be revoked is the token it got.
        let session = vault.load(issuer, client_id)?.unwrap_or_else(|| listed.clone());
        // Whatever the issuer says, nothing stays here.
        vault.forget(issuer, client_id)?;
        let revoked = revoke(&session).await;
        if global.output.is_for_people() {
            tell(&session, &revoked);
        }
        let problem = revoked.as_ref().err().map(|error| aphex_runtime::errors::chain(error.as_ref()));
        ended.push(json!({
            "issuer": issuer, "client": client_id, "username": session.name,
            "revoked": revoked.unwrap_or(false), "problem": problem,
        }));
    }
    let names: Vec<&str> = ended.iter().filter_map(|one| one["username"].as_str()).collect();
    if global.output == Format::Name && names.is_empty() {
        return Ok(());
    }
    output::answer(&global.output, &json!({ "sessions": ended }), &names.join("\n"), || {
        if ended.is_empty() {
            say("Nobody is logged in.");
        }
    })
}

fn tell(session: &Session, revoked: &anyhow::Result<bool>) {
    let (name, issuer) = (&session.name, &session.issuer);
    match revoked {
        Ok(true) => say(&format!("Logged out {name} at {issuer}.")),
        Ok(false) => say(&format!(
            "Logged out {name} at {issuer}. The issuer revokes nothing: the last token is good until it runs out."
        )),
        Err(error) => {
            let cause = aphex_runtime::errors::chain(error.as_ref());
            say(&format!("Logged out {name} here."));
            note(&format!("The issuer {issuer} was not told, and its session goes on there: {cause}"));
        }
    }
}

async fn revoke(session: &Session) -> anyhow::Result<bool> {
    let Some(token) = &session.refresh_token else { return Ok(false) };
    let authority = session.certificate_authority.as_deref();
    let provider = Provider::discover(&session.issuer, &session.client_id, authority).await?;
    Ok(provider.revoke(token).await?)
}
