//! The `slack` interceptor: fields of a slash command's form become extensions, each a list of its values.
//!
//! After `pkg/interceptors/slack/slack.go` of Tekton Triggers v0.34, which looks whether there is a signature and does not
//! verify it. Here it may have a `secretRef` with Slack's signing secret, which was verified before the event was stored.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::github::{SecretRef, key};
use super::{Context, Rejection, Reply, params};
use crate::event::Event;

const FORM: &str = "application/x-www-form-urlencoded";

/// The interceptor's parameters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Params {
    #[serde(deserialize_with = "params::texts")]
    requested_fields: Option<Vec<String>>,
    #[serde(deserialize_with = "params::maybe_object")]
    secret_ref: Option<SecretRef>,
}

/// Decides on an event.
pub(super) fn ask(params: &Params, context: &Context<'_>, event: &Event) -> Reply {
    let stop = |message: String| Reply::Stop(message, Rejection::Other);
    // Which of Slack's headers is missing, upstream says in the same words; the signature itself is not kept.
    if event.headers.get("Content-Type").map(String::as_str) != Some(FORM) {
        return stop(format!("missing header in payload: ContentType {FORM}"));
    }
    if let Some(reference) = &params.secret_ref
        && !context.verified.contains(&key(reference, context.namespace))
    {
        return stop("payload signature check failed".to_owned());
    }
    let Some(fields) = event.body.as_object().filter(|fields| fields.values().all(Value::is_array)) else {
        return stop("failed to unmarshal slack payload: it is not a form".to_owned());
    };
    let Some(requested) = &params.requested_fields else {
        return stop("missing requested field definition".to_owned());
    };
    let mut extensions = Map::new();
    for field in requested {
        match fields.get(field) {
            Some(value) => extensions.insert(field.clone(), value.clone()),
            None => return stop(format!("requested field {field} does not exist in payload")),
        };
    }
    Reply::Continue(extensions)
}
