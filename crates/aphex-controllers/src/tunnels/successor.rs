//! A way in that needs nothing outside, in the place of tunnels that there may have been before.
//!
//! What the engine still holds of a tunnel is its credentials. While it holds them the tunnel and its name are taken back
//! at the provider; without them the provider is never asked for anything.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Claim, Credentials, Exposure, TunnelError, Tunnels};
use crate::outcome::Waiting;

/// One way in, and the provider of the tunnels before it.
pub struct Successor {
    now: Arc<dyn Tunnels>,
    before: Option<Arc<dyn Tunnels>>,
}

impl Successor {
    /// A way in, with the provider of former tunnels where its API token is known.
    #[must_use]
    pub fn new(now: Arc<dyn Tunnels>, before: Option<Arc<dyn Tunnels>>) -> Self {
        Self { now, before }
    }

    /// The provider of an organization's former tunnel; nothing when there is none to take back.
    fn before(&self, claim: &Claim<'_>) -> Option<Result<&Arc<dyn Tunnels>, Waiting>> {
        let stored = claim.stored?;
        Some(self.before.as_ref().ok_or_else(|| out_of_reach(claim, stored)))
    }
}

/// What a person has to do without the provider's token.
fn out_of_reach(claim: &Claim<'_>, stored: &Credentials) -> Waiting {
    let name = claim.host.map(|host| format!(" and DNS record {host}")).unwrap_or_default();
    Waiting(format!(
        "Tunnel {} ({}){name} of the exposure before are still at Cloudflare: give the controllers the API token, and they \
         are taken back; or delete them there, and then Secret {}/{}",
        claim.organization.tunnel(),
        stored.tunnel,
        claim.organization.namespace(),
        claim.organization.tunnel_credentials()
    ))
}

#[async_trait]
impl Tunnels for Successor {
    async fn expose(&self, claim: Claim<'_>) -> Result<Exposure, TunnelError> {
        self.now.expose(claim).await
    }

    async fn unpublish(&self, claim: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        match self.before(&claim) {
            None => self.now.unpublish(claim).await,
            Some(Ok(before)) => before.unpublish(claim).await,
            Some(Err(waiting)) => Ok(Some(waiting)),
        }
    }

    async fn withdraw(&self, claim: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        match self.before(&claim) {
            None => self.now.withdraw(claim).await,
            Some(Ok(before)) => before.withdraw(claim).await,
            Some(Err(waiting)) => Ok(Some(waiting)),
        }
    }

    async fn disown(&self, claim: Claim<'_>) -> Result<(), TunnelError> {
        self.now.disown(claim).await
    }
}
