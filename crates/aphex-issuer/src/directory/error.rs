//! Why something about users or groups could not be done.

use crate::storage::StorageError;

/// What went wrong; each message says what to do or what rule was broken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such user, group or token.
    #[error("there is no {what} {name}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which name.
        name: String,
    },
    /// A value breaks a rule.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field, as the wire names it.
        field: &'static str,
        /// The rule, and how to keep it.
        problem: String,
    },
    /// A link for the first administrator is unknown, used or too old.
    #[error(
        "this link does not work any more: it was used, replaced or is too old; start the issuer again for a new one"
    )]
    SetupLink,
    /// So many logins are under way that one more would only wait.
    #[error("too many logins at once; try again in a moment")]
    Busy,
    /// A password could not be hashed.
    #[error("cannot hash the password: {problem}")]
    Hash {
        /// What the library said.
        problem: String,
    },
    /// Records could not be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Error {
    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    pub(crate) fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into() }
    }
}
