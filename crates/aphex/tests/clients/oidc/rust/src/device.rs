//! The device flow (RFC 8628): the person answers in a browser while the crate polls.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use openidconnect::core::CoreDeviceAuthorizationResponse;
use openidconnect::{DeviceCodeErrorResponseType, OAuth2TokenResponse as _, RequestTokenError, Scope};

use crate::party::Tokens;
use crate::{SCOPES, Session, ok};

pub(crate) fn check(session: &Session) -> anyhow::Result<()> {
    let tokens = session.answer_a_device("allow")?.context("the provider says that the person said no")?;
    let claims = session.verified(&tokens, None)?;
    session.person(claims)?;
    ensure!(tokens.refresh_token().is_some(), "offline_access gave a device no refresh token");
    ok("a device waits until the person lets it in, and is given the person's tokens");
    if session.answer_a_device("deny")?.is_some() {
        bail!("a device has tokens though the person said no");
    }
    ok("a device that the person refuses is told so");
    Ok(())
}

impl Session {
    /// The tokens of a device, or nothing when it is told that access was denied.
    fn answer_a_device(&self, button: &str) -> anyhow::Result<Option<Tokens>> {
        let begin = self.party.exchange_device_code();
        let begin = begin.add_scopes(SCOPES.map(|scope| Scope::new(scope.to_owned())));
        let details: CoreDeviceAuthorizationResponse = begin.request(&self.http).context("device code")?;
        let page = details.verification_uri_complete().context("no verification_uri_complete")?;
        let page = page.secret().parse()?;
        // The crate waits once it was told `authorization_pending`: that is when the person answers.
        let answered = RefCell::new(None);
        let wait = |_: Duration| {
            let mut answered = answered.borrow_mut();
            if answered.is_none() {
                *answered = Some(self.browser.press(&page, button));
            }
        };
        let patience = Some(Duration::from_secs(20));
        let given = self.party.exchange_device_access_token(&details).request(&self.http, wait, patience);
        answered.into_inner().context("the device was never told to wait")??;
        match given {
            Ok(tokens) => Ok(Some(tokens)),
            Err(RequestTokenError::ServerResponse(said))
                if *said.error() == DeviceCodeErrorResponseType::AccessDenied =>
            {
                Ok(None)
            }
            Err(error) => Err(error).context("device token"),
        }
    }
}
