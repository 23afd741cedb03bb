//! Why a remote cannot be asked. Every message can be shown to the user whose repository it is.

use std::time::Duration;

/// The client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up HTTPS for git")]
pub struct ClientError(#[source] pub(crate) reqwest::Error);

/// A remote gave no answer that says where its branches are.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The platform does not ask this host.
    #[error("the platform does not ask host {0}")]
    Host(String),
    /// The platform does not ask without encryption.
    #[error("the platform asks over https alone, not over {0}")]
    Plain(&'static str),
    /// The platform does not ask hosts at this address.
    #[error("{host} is at {address}, and the platform asks public addresses alone")]
    Address {
        /// The host.
        host: String,
        /// Its address.
        address: String,
    },
    /// The host's name has no address.
    #[error("cannot find the address of {host}")]
    Resolve {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No connection.
    #[error("cannot connect to {host}")]
    Connect {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long.
    #[error("{host} did not answer within {seconds} s")]
    Timeout {
        /// The host.
        host: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It wants to know who asks.
    #[error("the server asks for credentials: name a Secret with them in secretRef")]
    Anonymous,
    /// It does not accept who asks.
    #[error("the server refused the credentials")]
    Refused,
    /// It cannot be entered with this key.
    #[error("{0}")]
    Key(&'static str),
    /// Nobody says which key the host has.
    #[error(
        "known_hosts has no line with an ed25519 or ECDSA key for {0} (names that are hashed are not read)"
    )]
    UnknownHost(String),
    /// The host is not the one it was.
    #[error("host {0} shows another key than known_hosts says")]
    HostKey(String),
    /// Nothing is there, or not for whoever asks.
    #[error("no repository is there, or it is private")]
    NotFound,
    /// It is asked too often.
    #[error("the server asks to be left alone for a while")]
    Busy {
        /// For how long, when it said so.
        retry_after: Option<Duration>,
    },
    /// Another HTTP status.
    #[error("the server answered with HTTP status {0}")]
    Status(u16),
    /// It sends elsewhere than it may.
    #[error("the server redirects {0}")]
    Redirect(&'static str),
    /// The answer broke off.
    #[error("the server's answer broke off")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is too large.
    #[error("the server's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The answer is not git's.
    #[error("the server's answer is not git's: {0}")]
    Protocol(&'static str),
    /// git on the other side says why not.
    #[error("git on the server says: {0}")]
    Said(String),
}

impl RemoteError {
    /// Whether it is trouble of the whole host, which its other repositories have too.
    #[must_use]
    pub fn is_of_host(&self) -> bool {
        matches!(self, Self::Resolve { .. } | Self::Connect { .. } | Self::Timeout { .. } | Self::Busy { .. })
    }

    /// For how long the server wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } => *retry_after,
            _ => None,
        }
    }
}
