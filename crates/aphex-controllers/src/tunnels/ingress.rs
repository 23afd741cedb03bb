//! The exposure through an Ingress of the cluster: each organization has a host name below the platform's domain.
//!
//! That the domain leads to the cluster's ingress controller is not ours to do: one wildcard record does it.

use async_trait::async_trait;

use super::{Claim, Exposure, Path, TunnelError, Tunnels};
use crate::outcome::Waiting;

/// One Ingress an organization.
#[derive(Clone, Debug)]
pub struct ThroughIngress {
    domain: String,
}

impl ThroughIngress {
    /// The exposure below a domain that leads to the cluster's ingress controller.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self { domain: domain.to_owned() }
    }
}

#[async_trait]
impl Tunnels for ThroughIngress {
    async fn expose(&self, claim: Claim<'_>) -> Result<Exposure, TunnelError> {
        let host = claim.organization.host(&self.domain);
        Ok(Exposure { webhook_url: format!("https://{host}"), path: Path::Ingress { host } })
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
