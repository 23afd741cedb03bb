//! What can go wrong with Cloudflare, in words for the user.

use std::fmt;

use super::calls::Call;

/// A request that did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API token cannot be read.
    #[error("cannot read the Cloudflare API token from {path}")]
    Token {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The API token has characters that no token has.
    #[error("the Cloudflare API token is not one: it must be one line of visible characters")]
    TokenForm,
    /// The HTTP client cannot be made.
    #[error("cannot set up requests to Cloudflare")]
    Setup(#[source] reqwest::Error),
    /// No answer came.
    #[error("cannot reach Cloudflare to {call}")]
    Unreachable {
        /// What was asked.
        call: Call,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// Too much was asked lately.
    #[error("Cloudflare wants to be left alone for {seconds} s before it is asked to {call}")]
    RateLimited {
        /// What was, or would have been, asked.
        call: Call,
        /// How long to wait.
        seconds: u64,
    },
    /// Cloudflare has trouble of its own.
    #[error("Cloudflare could not {call}: status {status}{problems}")]
    Failed {
        /// What was asked.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// What it said.
        problems: Problems,
    },
    /// Cloudflare understood and refuses.
    #[error("Cloudflare refused to {call}: status {status}{problems}{}", hint(.problems))]
    Refused {
        /// What was asked.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// What it said.
        problems: Problems,
    },
    /// The answer is not what the API documents.
    #[error("cannot read Cloudflare's answer when asked to {call} (status {status}, {place})")]
    Unreadable {
        /// What was asked.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// Where reading ended; never a part of the answer, which may hold a secret.
        place: String,
    },
    /// No zone is for the platform's domain.
    #[error(
        "the Cloudflare API token sees no active zone for {domain}: add Zone/Zone/Read for it to the token, or set the zone and account ids"
    )]
    NoZone {
        /// The platform's domain.
        domain: String,
    },
    /// The system gave no random numbers.
    #[error("cannot make a tunnel secret")]
    Random(#[source] rand::rand_core::OsError),
}

/// Codes of Cloudflare's API that have a meaning here.
pub(super) mod code {
    /// An A, AAAA or CNAME record of that name exists.
    pub(in super::super) const RECORD_EXISTS: [i64; 4] = [81053, 81054, 81057, 81058];
    /// A tunnel of that name exists.
    pub(in super::super) const TUNNEL_EXISTS: i64 = 1013;
    /// The tunnel has live connections.
    pub(in super::super) const TUNNEL_CONNECTED: i64 = 1022;
    /// The token is not valid, or lacks a permission.
    pub(in super::super) const NOT_ALLOWED: [i64; 6] = [1000, 6003, 6111, 9106, 9109, 10000];
}

impl Error {
    /// Whether the same request may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::RateLimited { .. }
                | Self::Failed { .. }
                | Self::Unreadable { .. }
        )
    }

    /// Whether what was asked about does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the token is not valid or lacks a permission.
    #[must_use]
    pub fn is_not_allowed(&self) -> bool {
        matches!(self, Self::Refused { status: 401 | 403, .. }) || self.says(&code::NOT_ALLOWED)
    }

    /// Whether Cloudflare gave one of these codes.
    pub(super) fn says(&self, codes: &[i64]) -> bool {
        match self {
            Self::Refused { problems, .. } => problems.0.iter().any(|problem| codes.contains(&problem.code)),
            _ => false,
        }
    }
}

/// What Cloudflare says is wrong, as its answers list it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Problem {
    /// For programs.
    #[serde(default)]
    pub code: i64,
    /// For people.
    #[serde(default)]
    pub message: String,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            write!(f, ", {} (code {})", problem.message.trim_end_matches('.'), problem.code)?;
        }
        Ok(())
    }
}

/// What to do about a token that is not enough.
fn hint(problems: &Problems) -> &'static str {
    if problems.0.iter().any(|problem| code::NOT_ALLOWED.contains(&problem.code)) {
        "; the API token must be valid and have Account/Cloudflare Tunnel/Edit, Zone/DNS/Edit and Zone/Zone/Read \
         (`aphex doctor` says what is missing)"
    } else {
        ""
    }
}
