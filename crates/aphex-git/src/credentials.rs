//! What a private repository asks for.

use std::fmt;

/// What a private repository asks for.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// For HTTP.
    Basic {
        /// The user name.
        username: String,
        /// The password, or a token.
        password: String,
    },
    /// For SSH.
    Key {
        /// The private key, as OpenSSH writes it.
        private_key: String,
        /// The keys of hosts, as OpenSSH writes them.
        known_hosts: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Credentials::Basic",
            Self::Key { .. } => "Credentials::Key",
        })
    }
}
