//! Interceptors that are HTTP services, named by a ClusterInterceptor or Interceptor.
//!
//! The request and response are those of Tekton Triggers' documentation ("Interceptors", v0.34): the event in
//! `body`, `header`, `extensions`, what the trigger says in `interceptor_params`; `continue`, `extensions` and `status`
//! come back. `pkg/sink/sink.go` looks an Interceptor up in the listener's namespace, and so does this.

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_api::foreign::triggers::TriggerInterceptor;
use serde::de::Error as _;
use serde_json::{Map, Value, json};

use super::outside::{Endpoint, Question, Whom};
use super::params::is_named;
use super::{Context, Rejection, Reply};
use crate::event::Event;

/// Longest part of a service's words that goes into a Delivery's status.
const SAID_MAX: usize = 256;

/// gRPC's codes, each at its number, as `codes.go` writes them.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What a service answers, read as Go does: names in any case, null as what is not given.
#[derive(Debug, Default)]
struct Answer {
    extensions: Map<String, Value>,
    goes_on: bool,
    message: String,
}

impl Answer {
    fn read(text: &str) -> Result<Self, serde_json::Error> {
        let mut answer = Self::default();
        for (name, value) in fields(serde_json::from_str(text)?)? {
            if is_named(&name, "continue") {
                answer.goes_on = serde_json::from_value(value)?;
            } else if is_named(&name, "extensions") {
                answer.extensions = serde_json::from_value(value)?;
            } else if is_named(&name, "status") {
                for (name, said) in fields(value)? {
                    if is_named(&name, "message") {
                        answer.message = serde_json::from_value(said)?;
                    } else if is_named(&name, "code") && !is_code(&said) {
                        return Err(serde_json::Error::custom(format!("invalid code: {said}")));
                    }
                }
            }
        }
        Ok(answer)
    }
}

/// Whether this is a code of gRPC, by its number or by its name.
fn is_code(said: &Value) -> bool {
    match said {
        Value::Number(number) => number.as_u64().is_some_and(|number| number < CODES.len() as u64),
        Value::String(name) => CODES.contains(&name.as_str()),
        _ => false,
    }
}

/// The fields of an object that are given; null is an object without any.
fn fields(value: Value) -> Result<impl Iterator<Item = (String, Value)>, serde_json::Error> {
    let fields: Option<Map<String, Value>> = serde_json::from_value(value)?;
    Ok(fields.unwrap_or_default().into_iter().filter(|(_, value)| !value.is_null()))
}

/// Decides on an event.
pub(super) fn ask(
    interceptor: &TriggerInterceptor,
    context: &Context<'_>,
    event: &Event,
    extensions: &Map<String, Value>,
) -> Reply {
    let name = interceptor.reference.name.as_str();
    let endpoint = match endpoint(interceptor, context) {
        Ok(endpoint) => endpoint,
        Err(message) => return Reply::Fail(message),
    };
    let headers: BTreeMap<&str, [&str; 1]> =
        event.headers.iter().map(|(name, value)| (name.as_str(), [value.as_str()])).collect();
    let params: Map<String, Value> =
        interceptor.params.iter().map(|param| (param.name.clone(), param.value.clone())).collect();
    let mut request = json!({
        "body": &*event.raw,
        "header": headers,
        "context": { "event_url": event.url, "event_id": event.id, "trigger_id": context.trigger_id },
    });
    for (key, value) in [("extensions", extensions), ("interceptor_params", &params)] {
        if !value.is_empty() {
            request[key] = Value::Object(value.clone());
        }
    }
    let question = Question {
        whom: Whom::Service,
        url: endpoint.url,
        ca_bundle: endpoint.ca_bundle,
        headers: BTreeMap::from([("Content-Type".to_owned(), "application/json".to_owned())]),
        body: Some(Arc::from(request.to_string())),
        token: None,
    };
    match context.outside.answer(&question) {
        None => Reply::Again(format!("interceptor {name} has not been asked")),
        Some(Err(message)) => Reply::Again(format!("interceptor {name} does not answer: {message}")),
        Some(Ok(response)) if response.status == 200 => read(name, &response.body),
        Some(Ok(response)) => {
            let said = cut(&response.body);
            let message = format!("interceptor {name} answered {} instead of 200: {said}", response.status);
            if response.may_pass() { Reply::Again(message) } else { Reply::Fail(message) }
        }
    }
}

fn read(name: &str, body: &str) -> Reply {
    let answer = match Answer::read(body) {
        Ok(answer) => answer,
        Err(error) => {
            return Reply::Fail(format!(
                "interceptor {name} did not answer with an InterceptorResponse: {error}"
            ));
        }
    };
    if answer.goes_on {
        return Reply::Continue(answer.extensions);
    }
    let said = cut(&answer.message);
    let message = if said.is_empty() { format!("interceptor {name} gave no reason") } else { said };
    Reply::Stop(message, Rejection::Other)
}

fn endpoint(interceptor: &TriggerInterceptor, context: &Context<'_>) -> Result<Endpoint, String> {
    let name = interceptor.reference.name.as_str();
    let (kind, found) = match interceptor.reference.kind.as_str() {
        "" | "ClusterInterceptor" => ("ClusterInterceptor", context.known.cluster_interceptor(name)),
        "NamespacedInterceptor" | "Interceptor" => {
            ("Interceptor", context.known.interceptor(context.listener_namespace, name))
        }
        other => return Err(format!("interceptor {name} has the kind {other}, which is none")),
    };
    let found = found.ok_or_else(|| format!("{kind} {name} does not exist"))?;
    found.map_err(|message| format!("{kind} {name} {message}"))
}

/// The beginning of a service's words, on one line.
pub(super) fn cut(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(SAID_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
