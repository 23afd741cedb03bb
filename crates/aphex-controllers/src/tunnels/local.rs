//! The local exposure: the webhook address is the gateway's own, with the organization as path.

use async_trait::async_trait;

use super::{Claim, Exposure, Path, TunnelError, Tunnels};
use crate::outcome::Waiting;

/// No tunnel at all.
#[derive(Clone, Debug)]
pub struct Local {
    gateway_url: String,
}

impl Local {
    /// The exposure through a gateway that senders can reach themselves.
    #[must_use]
    pub fn new(gateway_url: &str) -> Self {
        Self { gateway_url: gateway_url.trim_end_matches('/').to_owned() }
    }
}

#[async_trait]
impl Tunnels for Local {
    async fn expose(&self, claim: Claim<'_>) -> Result<Exposure, TunnelError> {
        let webhook_url = format!("{}/{}", self.gateway_url, claim.organization);
        Ok(Exposure { webhook_url, path: Path::Direct })
    }

    async fn unpublish(&self, _: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        Ok(None)
    }

    async fn withdraw(&self, _: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        Ok(None)
    }

    async fn disown(&self, _: Claim<'_>) -> Result<(), TunnelError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Connectors;
    use super::*;

    #[tokio::test]
    async fn the_address_is_the_gateways_with_the_organization_as_path() {
        let local = Local::new("http://127.0.0.1:8080/");
        let organization = "acme-corp".parse().unwrap();
        let claim = Claim {
            organization: &organization,
            uid: "1",
            since: None,
            stored: None,
            host: None,
            connectors: Connectors::None,
        };
        let exposure = local.expose(claim).await.unwrap();
        assert_eq!(exposure.webhook_url, "http://127.0.0.1:8080/acme-corp");
    }
}
