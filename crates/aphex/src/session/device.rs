//! Logging in with a browser elsewhere: a code is entered there (RFC 8628).

use std::time::Duration;

use serde::Deserialize;

use super::provider::{GrantError, Provider, Tokens};
use crate::exit;
use crate::output::note;

#[derive(Deserialize)]
struct Started {
    device_code: String,
    user_code: String,
    verification_uri: Option<String>,
    /// The name before RFC 8628; some give both.
    verification_url: Option<String>,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

/// Begins a login on another device, and waits for it; nothing where the issuer has no such thing for this client.
pub(crate) async fn login(provider: &Provider, patience: Duration) -> anyhow::Result<Option<Tokens>> {
    let Some(endpoint) = &provider.document.device_authorization_endpoint else { return Ok(None) };
    let scopes = provider.scopes();
    let started: Started = match provider.ask(endpoint, &[("scope", &scopes)]).await {
        Ok(started) => started,
        Err(GrantError::Refused { .. } | GrantError::Odd { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let page = started.verification_uri_complete.as_ref().or(started.verification_uri.as_ref());
    let Some(page) = page.or(started.verification_url.as_ref()) else { return Ok(None) };
    note(&format!(
        "Log in with a browser on any machine: open\n\n  {page}\n\nand enter the code {} when it asks for it.",
        started.user_code
    ));
    let deadline = tokio::time::Instant::now() + patience.min(Duration::from_secs(started.expires_in));
    let mut interval = Duration::from_secs(started.interval.unwrap_or(5).clamp(1, 60));
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", &started.device_code),
    ];
    loop {
        tokio::time::sleep(interval).await;
        match provider.grant(&form).await {
            Ok(tokens) => {
                provider.verify(&tokens, None).await?;
                return Ok(Some(tokens));
            }
            Err(error) if error.is("authorization_pending") => {}
            Err(error) if error.is("slow_down") => interval += Duration::from_secs(5),
            // A network that is away for a moment ends no login.
            Err(GrantError::Unreachable { .. }) => interval = (interval * 2).min(Duration::from_mins(1)),
            Err(error) => return Err(refused(&error)),
        }
        if tokio::time::Instant::now() > deadline {
            let message =
                "nobody entered the code in time: begin again with `aphex login --no-browser`".to_owned();
            return Err(exit::Coded { code: exit::TIMED_OUT, message }.into());
        }
    }
}

fn refused(error: &GrantError) -> anyhow::Error {
    let message = format!("the login was refused: {error}");
    exit::Coded { code: exit::REFUSED, message }.into()
}
