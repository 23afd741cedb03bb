//! Port to whatever makes an organization's webhooks reachable from outside.
//!
//! The Organization controller calls it before anything that depends on the answer, and again on every pass: `expose`
//! finds before it creates. [`Local`] needs nothing outside; a tunnel provider implements the same trait.

mod local;

use aphex_api::names::OrgName;
use async_trait::async_trait;

pub use local::Local;

/// How webhooks reach an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Where senders post to.
    pub webhook_url: String,
    /// Whether a tunnel carries them.
    pub path: Path,
}

/// What lies between a sender and the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Nothing: the address is the gateway's own.
    Direct,
    /// A tunnel with a public host name.
    Tunnel,
}

/// Makes organizations reachable.
#[async_trait]
pub trait Tunnels: Send + Sync {
    /// Makes an organization reachable; does nothing when it is.
    async fn expose(&self, organization: &OrgName) -> Result<Exposure, TunnelError>;

    /// Takes everything back, in reverse order; what is not there counts as taken back.
    async fn withdraw(&self, organization: &OrgName) -> Result<(), TunnelError>;
}

/// Why an organization cannot be made reachable, or not be withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// A host name is in use by something that is not ours.
    #[error("{host} is in use by something else")]
    Taken {
        /// The host name.
        host: String,
    },
    /// The provider did not do what was asked.
    #[error("the tunnel provider did not {operation}")]
    Provider {
        /// What was asked, as a verb and its object.
        operation: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
