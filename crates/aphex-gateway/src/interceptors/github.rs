//! The `github` interceptor: event types, the webhook secret, changed files of a push.
//!
//! The signature was verified before the event was stored; here it counts whether this interceptor's own secret is among
//! those that verified. What needs GitHub's API (files of a pull request, owners' approval) fails: nothing is called.

use aphex_api::delivery::SecretKeyRef;
use aphex_api::foreign::triggers::TriggerInterceptor;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Context, Rejection, Reply, params};

/// The interceptor's parameters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Params {
    secret_ref: Option<SecretRef>,
    event_types: Option<Vec<String>>,
    add_changed_files: Switch,
    github_owners: Switch,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretRef {
    secret_name: String,
    secret_key: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Switch {
    enabled: bool,
}

/// The webhook secrets that a chain of interceptors asks for.
pub fn secrets<'a>(
    chain: &'a [TriggerInterceptor],
    namespace: &'a str,
) -> impl Iterator<Item = SecretKeyRef> + use<'a> {
    let github = chain.iter().filter(|interceptor| interceptor.reference.name == "github");
    github.filter_map(move |interceptor| {
        let reference = params::<Params>(interceptor).ok()?.secret_ref?;
        (!reference.secret_key.is_empty()).then(|| key(&reference, namespace))
    })
}

fn key(reference: &SecretRef, namespace: &str) -> SecretKeyRef {
    SecretKeyRef {
        namespace: namespace.to_owned(),
        name: reference.secret_name.clone(),
        key: reference.secret_key.clone(),
    }
}

/// Decides on an event.
pub(crate) fn ask(params: &Params, context: &Context<'_>) -> Reply {
    let event = context.event;
    if params.event_types.as_ref().is_some_and(|types| !types.contains(&event.kind)) {
        return Reply::Stop(format!("event type {} is not allowed", event.kind), Rejection::EventType);
    }
    if let Some(reference) = &params.secret_ref {
        if reference.secret_key.is_empty() {
            return Reply::Fail("github interceptor secretRef.secretKey is empty".to_owned());
        }
        if !context.verified.contains(&key(reference, context.namespace)) {
            return Reply::Stop("payload signature check failed".to_owned(), Rejection::Other);
        }
    }
    if params.add_changed_files.enabled {
        return match event.kind.as_str() {
            "push" => changed_files(&event.body).map_or_else(Reply::Fail, |files| {
                Reply::Continue(Map::from_iter([("changed_files".to_owned(), files.into())]))
            }),
            "pull_request" => Reply::Fail(no_api("addChangedFiles")),
            _ => Reply::Continue(Map::new()),
        };
    }
    if params.github_owners.enabled && matches!(event.kind.as_str(), "pull_request" | "issue_comment") {
        return Reply::Fail(no_api("githubOwners"));
    }
    Reply::Continue(Map::new())
}

fn no_api(parameter: &str) -> String {
    format!("{parameter} needs GitHub's API, which this gateway does not call")
}

/// The files that a push's commits touch, joined by commas (`parseBodyForChangedFiles`).
fn changed_files(body: &Value) -> Result<String, String> {
    if body.pointer("/repository/full_name").is_none_or(|name| !name.is_string()) {
        return Err("error parsing body: payload body missing 'repository.full_name' field".to_owned());
    }
    let mut files = Vec::new();
    for commit in body["commits"].as_array().into_iter().flatten() {
        for field in ["added", "modified", "removed"] {
            let names = commit[field].as_array();
            let names = names.ok_or_else(|| {
                format!("error parsing body: payload body missing 'commits.*.{field}' field")
            })?;
            files.extend(names.iter().filter_map(Value::as_str));
        }
    }
    Ok(files.join(","))
}
