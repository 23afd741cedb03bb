//! Bearer tokens: those this server signed, as long as what they are bound to exists.
//!
//! `kubernetes/pkg/serviceaccount/claims.go` (Validate): the account, and the secret, pod or node, must still be
//! there under the same uid, and not be deleted for longer than clocks may differ.

use std::sync::Arc;

use aphex_auth::tokens::{BoundTo, ObjectRef, Signer, Verified};
use aphex_store::Store;
use jiff::Timestamp;
use serde_json::Value;

use crate::object;
use crate::resource::storage_prefix;

/// How long a deleted object still counts, in seconds.
const LEEWAY: i64 = 60;
const INVALIDATED: &str = "service account token has been invalidated";

/// Checks bearer tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    store: Store,
    signer: Option<Arc<Signer>>,
}

/// Why a token is not accepted; the text is what a TokenReview answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    /// Nobody here knows such tokens.
    #[error("invalid bearer token")]
    Unknown,
    /// It is one of ours but not valid.
    #[error("[invalid bearer token, {0}]")]
    Invalid(String),
}

impl Tokens {
    pub(crate) fn new(store: Store, signer: Option<Arc<Signer>>) -> Self {
        Self { store, signer }
    }

    /// The signer, if the server has one.
    pub(crate) fn signer(&self) -> Option<&Signer> {
        self.signer.as_deref()
    }

    /// Accepts a token for one of the audiences (none: the server's own).
    pub(crate) fn accept(
        &self,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Verified, Rejected> {
        let signer = self.signer().ok_or(Rejected::Unknown)?;
        let verified = signer.verify(token, audiences, now).map_err(|error| match error {
            aphex_auth::tokens::TokenError::Foreign => Rejected::Unknown,
            error => Rejected::Invalid(error.to_string()),
        })?;
        self.check_alive(&verified, now).map_err(Rejected::Invalid)?;
        Ok(verified)
    }

    fn check_alive(&self, verified: &Verified, now: Timestamp) -> Result<(), String> {
        let (namespace, account) = (&verified.namespace, &verified.account);
        let Some(found) = self.find("serviceaccounts", namespace, &account.name) else {
            return Err(format!("serviceaccounts {:?} not found", account.name));
        };
        let uid = object::uid(&found);
        if uid != account.uid {
            return Err(format!("service account UID ({uid}) does not match claim ({})", account.uid));
        }
        if is_gone(&found, now) {
            return Err(format!("service account {namespace}/{} has been deleted", account.name));
        }
        match &verified.bound_to {
            BoundTo::Account => Ok(()),
            BoundTo::Secret(bound) => self.check_bound("secret", "secrets", namespace, bound, now),
            BoundTo::Pod { pod, .. } => self.check_bound("pod", "pods", namespace, pod, now),
            BoundTo::Node(bound) => self.check_bound("node", "nodes", "", bound, now),
        }
    }

    fn check_bound(
        &self,
        kind: &str,
        plural: &str,
        namespace: &str,
        bound: &ObjectRef,
        now: Timestamp,
    ) -> Result<(), String> {
        let found = self.find(plural, namespace, &bound.name).ok_or(INVALIDATED)?;
        let uid = object::uid(&found);
        if uid != bound.uid {
            return Err(format!(
                "{kind} UID ({uid}) does not match service account {kind} ref claim ({})",
                bound.uid
            ));
        }
        if is_gone(&found, now) { Err(INVALIDATED.to_owned()) } else { Ok(()) }
    }

    /// A stored object of the core group.
    pub(crate) fn find(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let prefix = storage_prefix("", plural);
        let key = if namespace.is_empty() {
            format!("{prefix}{name}")
        } else {
            format!("{prefix}{namespace}/{name}")
        };
        serde_json::from_slice(&self.store.get(&key)?.value).ok()
    }
}

/// Deleted for longer than clocks may differ.
fn is_gone(object: &Value, now: Timestamp) -> bool {
    let deleted = object::meta_str(object, "deletionTimestamp");
    deleted.parse::<Timestamp>().is_ok_and(|deleted| deleted.as_second() < now.as_second() - LEEWAY)
}
