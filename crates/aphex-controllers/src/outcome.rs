//! How one pass over an object ended. An outcome is a value, not an error.

use std::fmt;
use std::time::Duration;

use aphex_api::conditions::Reason;

use crate::apply::ApplyError;

/// How one pass over an object ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything wanted is on the engine.
    Applied,
    /// Everything wanted was asked for, and something must still answer.
    Unsettled(Waiting),
    /// Something it needs is not there yet; nothing was changed.
    Waiting(Waiting),
    /// The user must change something; nothing was changed.
    Rejected(Rejection),
    /// The object is being deleted, and something must go first.
    Deleting(Waiting),
    /// A step failed; it will be tried again.
    Failed(StepError),
}

impl Outcome {
    /// The outcome in one word, for metrics and logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unsettled(_) => "unsettled",
            Self::Waiting(_) => "waiting",
            Self::Rejected(_) => "rejected",
            Self::Deleting(_) => "deleting",
            Self::Failed(_) => "failed",
        }
    }

    /// Why it ended so: the reason of the condition Ready.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Applied => Reason::Provisioned,
            Self::Unsettled(_) => Reason::Provisioning,
            Self::Waiting(_) => Reason::WaitingFor,
            Self::Rejected(rejection) => rejection.reason,
            Self::Deleting(_) => Reason::Deleting,
            Self::Failed(_) => Reason::ProvisioningFailed,
        }
    }

    /// What is missing or wrong, for people; nothing when everything is in place.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Applied => None,
            Self::Unsettled(waiting) | Self::Waiting(waiting) | Self::Deleting(waiting) => {
                Some(waiting.to_string())
            }
            Self::Rejected(rejection) => Some(rejection.message.clone()),
            Self::Failed(error) => Some(aphex_runtime::errors::chain(error)),
        }
    }
}

/// What is being waited for, in a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting(pub String);

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a spec cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// For programs.
    pub reason: Reason,
    /// For the user: names the field and the rule.
    pub message: String,
}

impl Rejection {
    /// The spec breaks a rule.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { reason: Reason::InvalidSpec, message: message.into() }
    }

    /// The object's namespace may not ask for this.
    #[must_use]
    pub fn not_allowed(message: impl Into<String>) -> Self {
        Self { reason: Reason::NotAllowed, message: message.into() }
    }

    /// A name belongs to somebody else.
    #[must_use]
    pub fn taken(message: impl Into<String>) -> Self {
        Self { reason: Reason::NameTaken, message: message.into() }
    }
}

/// Why `validate` lets a pass go no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Something it needs is not there yet.
    Waiting(Waiting),
    /// The user must change something.
    Rejected(Rejection),
}

impl Stop {
    /// Stops to wait for something, named in a sentence.
    #[must_use]
    pub fn waiting(message: impl Into<String>) -> Self {
        Self::Waiting(Waiting(message.into()))
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// A step that did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Reading from the engine.
    #[error("cannot read {what}")]
    Read {
        /// What was to be read.
        what: String,
        /// Why not.
        #[source]
        source: Box<kube::Error>,
    },
    /// Writing to the engine.
    #[error("cannot provision")]
    Apply(#[source] ApplyError),
    /// Deleting from the engine.
    #[error("cannot delete {what}")]
    Delete {
        /// What was to be deleted.
        what: String,
        /// Why not.
        #[source]
        source: Box<kube::Error>,
    },
    /// Changing the object's own finalizers.
    #[error("cannot change the finalizers")]
    Finalizer(#[source] Box<kube::Error>),
    /// Writing the object's status.
    #[error("cannot write the status")]
    Status(#[source] Box<kube::Error>),
    /// Making the organization reachable.
    #[error("cannot expose the webhook address")]
    Tunnel(#[source] crate::tunnels::TunnelError),
    /// The object was deleted while this pass was on its way.
    #[error("it was deleted meanwhile; what was made for it is taken back")]
    Gone,
    /// Making a secret.
    #[error("cannot make a webhook secret")]
    Random(#[source] rand::rand_core::OsError),
}

impl StepError {
    /// Whether somebody else wrote at the same time, so that what was read is not true any more.
    #[must_use]
    pub fn is_race(&self) -> bool {
        let conflict = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 409);
        match self {
            Self::Apply(ApplyError::Outdated(_)) | Self::Gone => true,
            Self::Finalizer(source) | Self::Status(source) => conflict(source),
            _ => false,
        }
    }

    /// How long the engine wants to be left alone, where it says so (`Retry-After`).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            let boxed = error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
            if let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>().or(boxed) {
                let seconds = status.details.as_ref()?.retry_after_seconds;
                return (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
            }
            next = error.source();
        }
        None
    }

    /// A read that failed.
    pub(crate) fn read(what: impl Into<String>, source: kube::Error) -> Self {
        Self::Read { what: what.into(), source: Box::new(source) }
    }

    /// A deletion that failed.
    pub(crate) fn delete(what: impl Into<String>, source: kube::Error) -> Self {
        Self::Delete { what: what.into(), source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::response::Status;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_engine_that_asks_to_be_left_alone_is_heard_through_every_cause() {
        let busy = json!({ "code": 429, "details": { "retryAfterSeconds": 7 } });
        let busy: Status = serde_json::from_value(busy).unwrap();
        let read = StepError::read("RepoBindings", kube::Error::Api(Box::new(busy)));
        assert_eq!(read.retry_after(), Some(Duration::from_secs(7)));
        let plain = kube::Error::Api(Box::new(Status { code: 500, ..Status::default() }));
        assert_eq!(StepError::read("RepoBindings", plain).retry_after(), None);
    }
}
