//! The `gitlab` and `bitbucket` interceptors: event types and the webhook secret.
//!
//! Whether the sender knows the secret was found out before the event was stored (see [`crate::signature::proofs`]);
//! here it counts whether this interceptor's secret is among those. After `pkg/interceptors/{gitlab,bitbucket}`.

use serde::Deserialize;

use super::github::{SecretRef, key};
use super::{Context, Rejection, Reply, params};
use crate::event::Event;

/// The interceptor's parameters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Params {
    #[serde(deserialize_with = "params::maybe_object")]
    secret_ref: Option<SecretRef>,
    #[serde(deserialize_with = "params::texts")]
    event_types: Option<Vec<String>>,
}

impl Params {
    /// Whether a secret is named without its key.
    pub(crate) fn has_empty_key(&self) -> bool {
        self.secret_ref.as_ref().is_some_and(|reference| reference.secret_key.is_empty())
    }
}

/// What tells the two apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    name: &'static str,
    pub(super) event: &'static str,
    refused: &'static str,
}

pub(super) const GITLAB: Host =
    Host { name: "gitlab", event: "X-Gitlab-Event", refused: "Invalid X-GitLab-Token" };
pub(super) const BITBUCKET: Host = Host {
    name: "bitbucket",
    event: "X-Event-Key",
    refused: "error validating signature: payload signature check failed",
};

/// Decides on an event.
pub(super) fn ask(host: Host, params: &Params, context: &Context<'_>, event: &Event) -> Reply {
    if let Some(types) = &params.event_types {
        let kind = event.headers.get(host.event).map(String::as_str).unwrap_or_default();
        if !types.iter().any(|known| known == kind) {
            return Reply::Stop(format!("event type {kind} is not allowed"), Rejection::EventType);
        }
    }
    if let Some(reference) = &params.secret_ref {
        if reference.secret_key.is_empty() {
            return Reply::Fail(format!("{} interceptor secretRef.secretKey is empty", host.name));
        }
        if !context.verified.contains(&key(reference, context.namespace)) {
            return Reply::Stop(host.refused.to_owned(), Rejection::Other);
        }
    }
    Reply::Continue(serde_json::Map::new())
}
