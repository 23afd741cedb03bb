//! Port to whatever makes an organization's webhooks reachable from outside.
//!
//! The Organization controller calls it on every pass, before anything that depends on the answer: `expose` finds before
//! it creates, and goes as far as it can. What must not happen before something is on the engine (a public name before
//! the tunnel's secret is kept) happens on a later pass: the claim says what the engine holds by then.
//!
//! [`Local`] and [`ThroughIngress`] need nothing outside; [`Cloudflare`] needs an account. Where one of the former takes the
//! place of the latter, [`Successor`] takes back what that made.

pub mod cloudflare;
mod credentials;
mod ingress;
mod local;
mod successor;

use aphex_api::names::OrgName;
use async_trait::async_trait;
use jiff::Timestamp;

pub use cloudflare::Cloudflare;
pub use credentials::{CREDENTIALS_KEY, Credentials, stored};
pub use ingress::ThroughIngress;
pub use local::Local;
pub use successor::Successor;

use crate::outcome::Waiting;

/// Who wants to be reachable, and what the engine keeps of earlier passes.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The organization.
    pub organization: &'a OrgName,
    /// The unique id of its object: what carries it outside was made for it and for nobody of the same name.
    pub uid: &'a str,
    /// When its object was created: what is older was not made for it.
    pub since: Option<Timestamp>,
    /// The tunnel's credentials that the engine holds.
    pub stored: Option<&'a Credentials>,
    /// The host name that led to that tunnel when it was noted beside the credentials.
    pub host: Option<&'a str>,
    /// Whether the tunnel's connectors work, as far as the engine knows.
    pub connectors: Connectors,
}

/// Whether a tunnel's connectors work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connectors {
    /// There are none.
    #[default]
    None,
    /// They do.
    Available,
    /// They do not, or not yet.
    Unavailable,
}

/// How webhooks reach an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Where senders post to.
    pub webhook_url: String,
    /// What carries them.
    pub path: Path,
}

/// What lies between a sender and the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// Nothing: the address is the gateway's own.
    Direct,
    /// An Ingress of the cluster, for this host name.
    Ingress {
        /// The host name.
        host: String,
    },
    /// A tunnel with a public host name.
    Tunnel(Tunnel),
}

/// A tunnel that carries an organization's webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The public host name.
    pub host: String,
    /// What its connectors prove themselves with.
    pub credentials: Credentials,
    /// Whether the host name leads to it.
    pub record: Record,
    /// Whether anything of it was made, changed or taken over just now, or may have been.
    pub made: bool,
}

/// Whether a public host name leads to a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// It does.
    Written,
    /// Not yet, and what is being waited for.
    Pending(String),
}

/// Makes organizations reachable.
#[async_trait]
pub trait Tunnels: Send + Sync {
    /// Makes an organization reachable; does nothing when it is.
    async fn expose(&self, claim: Claim<'_>) -> Result<Exposure, TunnelError>;

    /// Takes the public name back; tells what is still there. What is not there counts as taken back.
    async fn unpublish(&self, claim: Claim<'_>) -> Result<Option<Waiting>, TunnelError>;

    /// Takes the rest back, once the connectors are gone; tells what is still there.
    async fn withdraw(&self, claim: Claim<'_>) -> Result<Option<Waiting>, TunnelError>;

    /// Takes back what was made for an organization that was deleted meanwhile, when nobody of its name is there.
    ///
    /// Whoever deleted it looked before this was made, so nobody else will. There are no connectors of its own any more:
    /// what has connections was taken over by a later one of the name, and stays.
    async fn disown(&self, claim: Claim<'_>) -> Result<(), TunnelError>;
}

/// Why an organization cannot be made reachable, or not be withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// A name is in use by something that is not ours; the text says which, by what, and what to do.
    #[error("{0}")]
    Taken(String),
    /// The provider did not do what was asked.
    #[error(transparent)]
    Provider(Box<cloudflare::Error>),
}

impl From<cloudflare::Error> for TunnelError {
    fn from(error: cloudflare::Error) -> Self {
        Self::Provider(Box::new(error))
    }
}
