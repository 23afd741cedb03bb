//! The `github` interceptor: event types, the webhook secret, changed files, owners' approval.
//!
//! The signature was verified before the event was stored; here it counts whether this interceptor's own secret is among
//! those that verified. What GitHub's API is asked is in `files` and `owners`; tokens are Secrets of the trigger's
//! namespace. The API is the one of this gateway's settings: a header of the request never chooses where a token goes.

mod api;
mod files;
mod owners;

use aphex_api::delivery::SecretKeyRef;
use aphex_api::foreign::triggers::TriggerInterceptor;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Context, Rejection, Reply, gitlab, params};
use crate::event::{Event, KIND_HEADER};

/// GitHub Enterprise Server names itself in this header.
const ENTERPRISE_HOST: &str = "X-Github-Enterprise-Host";

/// Where others than GitHub say what an event is, which is not what this interceptor asks for.
const OTHERS: [&str; 2] = [gitlab::GITLAB.event, gitlab::BITBUCKET.event];

/// The interceptor's parameters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Params {
    #[serde(deserialize_with = "params::maybe_object")]
    secret_ref: Option<SecretRef>,
    #[serde(deserialize_with = "params::texts")]
    event_types: Option<Vec<String>>,
    #[serde(deserialize_with = "params::object")]
    add_changed_files: ChangedFiles,
    #[serde(deserialize_with = "params::object")]
    github_owners: owners::Params,
}

impl Params {
    /// Whether a secret is named without its key.
    pub(crate) fn has_empty_key(&self) -> bool {
        self.secret_ref.as_ref().is_some_and(|reference| reference.secret_key.is_empty())
    }
}

/// A key of a Secret in the trigger's namespace.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SecretRef {
    pub(super) secret_name: String,
    pub(super) secret_key: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ChangedFiles {
    enabled: bool,
    #[serde(deserialize_with = "params::maybe_object")]
    personal_access_token: Option<SecretRef>,
}

/// Why GitHub's API gave no answer, as a reply of the interceptor.
type Asked<T> = Result<T, Reply>;

/// The webhook secret that an interceptor asks for.
pub(super) fn secret(interceptor: &TriggerInterceptor, namespace: &str) -> Option<SecretKeyRef> {
    let fields = params::param(interceptor, "secretRef")?.as_object()?;
    // What is no text fails the interceptor as a whole.
    let text = |name: &str| params::field(fields, name).map_or(Some(""), Value::as_str);
    let (name, key) = (text("secretName")?.to_owned(), text("secretKey")?.to_owned());
    (!key.is_empty()).then(|| SecretKeyRef { namespace: namespace.to_owned(), name, key })
}

pub(super) fn key(reference: &SecretRef, namespace: &str) -> SecretKeyRef {
    SecretKeyRef {
        namespace: namespace.to_owned(),
        name: reference.secret_name.clone(),
        key: reference.secret_key.clone(),
    }
}

/// What GitHub says the event is: its header, or the type alone of a Delivery that has no headers.
fn kind(event: &Event) -> &str {
    match event.headers.get(KIND_HEADER) {
        Some(kind) => kind,
        None if OTHERS.iter().any(|other| event.headers.contains_key(*other)) => "",
        None => &event.kind,
    }
}

/// Decides on an event.
pub(super) fn ask(params: &Params, context: &Context<'_>, event: &Event) -> Reply {
    let kind = kind(event);
    if params.event_types.as_ref().is_some_and(|types| !types.iter().any(|known| known == kind)) {
        return Reply::Stop(format!("event type {kind} is not allowed"), Rejection::EventType);
    }
    if let Some(reference) = &params.secret_ref {
        if reference.secret_key.is_empty() {
            return Reply::Fail("github interceptor secretRef.secretKey is empty".to_owned());
        }
        if !context.verified.contains(&key(reference, context.namespace)) {
            return Reply::Stop("payload signature check failed".to_owned(), Rejection::Other);
        }
    }
    // As upstream, owners are not looked at where changed files are added.
    if params.add_changed_files.enabled {
        if !matches!(kind, "push" | "pull_request") {
            return Reply::Continue(Map::new());
        }
        let files = token(params.add_changed_files.personal_access_token.as_ref(), "githubToken", context)
            .and_then(|token| files::changed(kind, context, event, token));
        return match files {
            Ok(files) => Reply::Continue(Map::from_iter([("changed_files".to_owned(), files.into())])),
            Err(reply) => reply,
        };
    }
    if params.github_owners.enabled && matches!(kind, "pull_request" | "issue_comment") {
        return owners::ask(&params.github_owners, kind, context, event).unwrap_or_else(|reply| reply);
    }
    Reply::Continue(Map::new())
}

/// The Secret with a token, where there is to be one; a key that is not there is told now.
fn token(reference: Option<&SecretRef>, field: &str, context: &Context<'_>) -> Asked<Option<SecretKeyRef>> {
    let Some(reference) = reference else { return Ok(None) };
    if reference.secret_key.is_empty() {
        return Err(Reply::Fail(format!("github interceptor {field}.secretKey is empty")));
    }
    let token = key(reference, context.namespace);
    if context.outside.secret(&token).is_none() {
        let message = format!(
            "error getting secret: Secret {}/{} has no key {}",
            token.namespace, token.name, token.key
        );
        return Err(Reply::Fail(message));
    }
    Ok(Some(token))
}
