//! The local exposure: the webhook address is the gateway's own, with the organization as path.

use aphex_api::names::OrgName;
use async_trait::async_trait;

use super::{Exposure, Path, TunnelError, Tunnels};

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
    async fn expose(&self, organization: &OrgName) -> Result<Exposure, TunnelError> {
        let webhook_url = format!("{}/{organization}", self.gateway_url);
        Ok(Exposure { webhook_url, path: Path::Direct })
    }

    async fn withdraw(&self, _: &OrgName) -> Result<(), TunnelError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_address_is_the_gateways_with_the_organization_as_path() {
        let local = Local::new("http://127.0.0.1:8080/");
        let exposure = local.expose(&"acme-corp".parse().unwrap()).await.unwrap();
        assert_eq!(exposure.webhook_url, "http://127.0.0.1:8080/acme-corp");
    }
}
