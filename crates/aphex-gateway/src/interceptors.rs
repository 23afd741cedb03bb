//! The chain of interceptors: each may stop the event or add extensions for those after it.
//!
//! `github` and `cel` are built in, with the semantics of Tekton Triggers v0.34 (`pkg/interceptors`). Others are HTTP
//! services; this gateway does not call out while it evaluates, so a chain that names one fails and says so.

pub mod cel;
pub mod github;

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_api::delivery::{InterceptorResult, InterceptorVerdict, SecretKeyRef};
use aphex_api::foreign::triggers::TriggerInterceptor;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::event::Event;

/// Looks up secrets that were fetched before evaluation began.
pub trait Secrets: Send + Sync {
    /// The value under a key, when the Secret and the key exist.
    fn value(&self, secret: &SecretKeyRef) -> Option<Vec<u8>>;
}

/// What every interceptor of a chain is given.
#[derive(Clone)]
pub struct Context<'a> {
    /// The event.
    pub event: &'a Event,
    /// Namespace that secret references are read in.
    pub namespace: &'a str,
    /// Secrets that signed the event.
    pub verified: &'a [SecretKeyRef],
    /// Other secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Compiled expressions.
    pub cel: &'a cel::Programs,
}

/// What one interceptor decided.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// Go on, with these extensions added.
    Continue(Map<String, Value>),
    /// The event is not wanted.
    Stop(String, Rejection),
    /// The interceptor cannot decide.
    Fail(String),
}

/// Why an event was not wanted, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// Its type is not among the accepted ones.
    EventType,
    /// This expression is not true of it.
    Filter(String),
    /// Anything else.
    Other,
}

/// What an interceptor decided, and what it looked at to decide.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) expression: Option<String>,
    pub(crate) values: BTreeMap<String, String>,
}

impl Answer {
    fn plain(reply: Reply) -> Self {
        Self { reply, expression: None, values: BTreeMap::new() }
    }
}

/// How a chain ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Every interceptor let the event pass.
    Passed,
    /// One stopped it.
    Stopped {
        /// The reason.
        message: String,
        /// The reason, for the log.
        rejection: Rejection,
    },
    /// One could not decide.
    Failed {
        /// What is wrong.
        message: String,
    },
}

/// What a chain did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What each interceptor said, up to the one that ended it.
    pub results: Vec<InterceptorResult>,
    /// Extensions given and added.
    pub extensions: Map<String, Value>,
    /// How it ended.
    pub end: End,
}

/// Asks the interceptors in order.
pub fn run(chain: &[TriggerInterceptor], context: &Context<'_>, extensions: Map<String, Value>) -> Outcome {
    let mut outcome = Outcome { results: Vec::new(), extensions, end: End::Passed };
    for interceptor in chain {
        let answer = ask(interceptor, context, &outcome.extensions);
        let (verdict, message) = match answer.reply {
            Reply::Continue(added) => {
                outcome.extensions.extend(added);
                (InterceptorVerdict::Passed, String::new())
            }
            Reply::Stop(message, rejection) => {
                let message = named(interceptor, message);
                outcome.end = End::Stopped { message: message.clone(), rejection };
                (InterceptorVerdict::Stopped, message)
            }
            Reply::Fail(message) => {
                let message = named(interceptor, message);
                outcome.end = End::Failed { message: message.clone() };
                (InterceptorVerdict::Failed, message)
            }
        };
        outcome.results.push(InterceptorResult {
            name: own_name(interceptor).map_or_else(|| title(interceptor), str::to_owned),
            verdict,
            message,
            expression: answer.expression,
            values: answer.values,
        });
        if outcome.end != End::Passed {
            break;
        }
    }
    outcome
}

fn ask(interceptor: &TriggerInterceptor, context: &Context<'_>, extensions: &Map<String, Value>) -> Answer {
    let cluster = matches!(interceptor.reference.kind.as_str(), "" | "ClusterInterceptor");
    match interceptor.reference.name.as_str() {
        "github" if cluster => Answer::plain(match params(interceptor) {
            Ok(params) => github::ask(&params, context),
            Err(message) => Reply::Fail(message),
        }),
        "cel" if cluster => match params(interceptor) {
            Ok(params) => cel::ask(&params, context, extensions),
            Err(message) => Answer::plain(Reply::Fail(message)),
        },
        _ => {
            let message =
                format!("{} is not one of this gateway's interceptors: github, cel", title(interceptor));
            Answer::plain(Reply::Fail(message))
        }
    }
}

/// The name that tells an interceptor from others of its kind in the chain, where it has one.
fn own_name(interceptor: &TriggerInterceptor) -> Option<&str> {
    interceptor.name.as_deref().filter(|name| !name.is_empty() && *name != interceptor.reference.name)
}

/// A message that says which of several interceptors of a kind speaks.
fn named(interceptor: &TriggerInterceptor, message: String) -> String {
    match own_name(interceptor) {
        Some(name) => format!("{name}: {message}"),
        None => message,
    }
}

fn title(interceptor: &TriggerInterceptor) -> String {
    let name = &interceptor.reference.name;
    if interceptor.webhook.is_some() && name.is_empty() { "webhook".to_owned() } else { name.clone() }
}

/// The parameters as the interceptor's own type.
pub(crate) fn params<T: DeserializeOwned>(interceptor: &TriggerInterceptor) -> Result<T, String> {
    let params: Map<String, Value> =
        interceptor.params.iter().map(|param| (param.name.clone(), param.value.clone())).collect();
    serde_json::from_value(Value::Object(params))
        .map_err(|error| format!("failed to parse interceptor params: {error}"))
}

#[cfg(test)]
mod tests;
