//! The chain of interceptors: each may stop the event or add extensions for those after it.
//!
//! `github`, `gitlab`, `bitbucket`, `slack` and `cel` are built in, with the semantics of Tekton Triggers v0.34
//! (`pkg/interceptors`), whatever address a ClusterInterceptor of these names has. Others are HTTP services, see
//! `remote`; those of the old kind are in `webhook`. Nothing here calls out: see [`outside`].

pub mod cel;
pub mod github;
pub(crate) mod gitlab;
pub mod outside;
mod params;
mod remote;
pub(crate) mod slack;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_api::delivery::{InterceptorResult, InterceptorVerdict, SecretKeyRef};
use aphex_api::foreign::triggers::TriggerInterceptor;
use serde_json::{Map, Value};

use crate::event::Event;
use crate::signature::proofs::Scheme;
use outside::{Interceptors, Outside};
pub(crate) use params::{is_hollow, params};

/// What every interceptor of a chain is given.
#[derive(Clone)]
pub struct Context<'a> {
    /// Namespace that secret references are read in.
    pub namespace: &'a str,
    /// Namespace of the listener, in which Interceptor objects are looked up.
    pub listener_namespace: &'a str,
    /// `namespaces/<namespace>/triggers/<name>`, as services are told.
    pub trigger_id: String,
    /// Secrets that the event's sender knows.
    pub verified: &'a [SecretKeyRef],
    /// Other secrets, and what was asked of others.
    pub outside: Arc<dyn Outside>,
    /// Interceptor objects.
    pub known: &'a dyn Interceptors,
    /// GitHub's API, without a slash at the end.
    pub github_api: &'a str,
    /// Compiled expressions.
    pub cel: &'a cel::Programs,
}

/// What one interceptor decided.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// Go on, with these extensions added.
    Continue(Map<String, Value>),
    /// Go on with another body and other headers.
    Replace(Box<Replacement>),
    /// The event is not wanted.
    Stop(String, Rejection),
    /// The interceptor cannot decide.
    Fail(String),
    /// The interceptor cannot decide now; it may later.
    Again(String),
}

/// What takes the place of an event's body and headers for the rest of the chain and the bindings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Replacement {
    pub(crate) body: Value,
    pub(crate) raw: Arc<str>,
    pub(crate) headers: BTreeMap<String, String>,
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
        /// Whether it may be right later, without anybody changing the trigger.
        may_pass: bool,
    },
}

/// What a chain did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What each interceptor said, up to the one that ended it.
    pub results: Vec<InterceptorResult>,
    /// Extensions given and added.
    pub extensions: Map<String, Value>,
    /// The event with the body and headers that a webhook interceptor gave it, where one did.
    pub replaced: Option<Event>,
    /// How it ended.
    pub end: End,
}

/// Asks the interceptors in order.
pub fn run(
    chain: &[TriggerInterceptor],
    context: &Context<'_>,
    event: &Event,
    extensions: Map<String, Value>,
) -> Outcome {
    let mut outcome = Outcome { results: Vec::new(), extensions, replaced: None, end: End::Passed };
    for interceptor in chain {
        let current = outcome.replaced.as_ref().unwrap_or(event);
        let answer = ask(interceptor, context, current, &outcome.extensions);
        let failed = |message: &str, may_pass| End::Failed { message: message.to_owned(), may_pass };
        let (verdict, message) = match answer.reply {
            Reply::Continue(added) => {
                outcome.extensions.extend(added);
                (InterceptorVerdict::Passed, String::new())
            }
            Reply::Replace(with) => {
                let Replacement { body, raw, headers } = *with;
                let event = Event { body, raw, ..current.clone() };
                outcome.replaced = Some(event.with_headers(headers));
                (InterceptorVerdict::Passed, String::new())
            }
            Reply::Stop(message, rejection) => {
                let message = named(interceptor, message);
                outcome.end = End::Stopped { message: message.clone(), rejection };
                (InterceptorVerdict::Stopped, message)
            }
            Reply::Fail(message) => {
                let message = named(interceptor, message);
                outcome.end = failed(&message, false);
                (InterceptorVerdict::Failed, message)
            }
            Reply::Again(message) => {
                let message = named(interceptor, message);
                outcome.end = failed(&message, true);
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

/// The interceptors that this program has built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    Github,
    Gitlab,
    Bitbucket,
    Slack,
    Cel,
}

impl Builtin {
    /// Which of them a reference means, if one.
    pub(crate) fn of(interceptor: &TriggerInterceptor) -> Option<Self> {
        let reference = &interceptor.reference;
        if interceptor.webhook.is_some() || !matches!(reference.kind.as_str(), "" | "ClusterInterceptor") {
            return None;
        }
        Self::named(&reference.name)
    }

    /// The one of a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "github" => Some(Self::Github),
            "gitlab" => Some(Self::Gitlab),
            "bitbucket" => Some(Self::Bitbucket),
            "slack" => Some(Self::Slack),
            "cel" => Some(Self::Cel),
            _ => None,
        }
    }

    /// How its senders show that they know its secret.
    fn scheme(self) -> Option<Scheme> {
        match self {
            Self::Github => Some(Scheme::Github),
            Self::Gitlab => Some(Scheme::Gitlab),
            Self::Bitbucket => Some(Scheme::Bitbucket),
            Self::Slack => Some(Scheme::Slack),
            Self::Cel => None,
        }
    }
}

/// The webhook secrets that a chain of interceptors asks for, and how each is to be shown.
pub fn secrets<'a>(
    chain: &'a [TriggerInterceptor],
    namespace: &'a str,
) -> impl Iterator<Item = (Scheme, SecretKeyRef)> + use<'a> {
    chain.iter().filter_map(move |interceptor| {
        let scheme = Builtin::of(interceptor)?.scheme()?;
        Some((scheme, github::secret(interceptor, namespace)?))
    })
}

fn ask(
    interceptor: &TriggerInterceptor,
    context: &Context<'_>,
    event: &Event,
    extensions: &Map<String, Value>,
) -> Answer {
    if let Some(webhook) = &interceptor.webhook {
        return Answer::plain(webhook::ask(webhook, context, event, extensions));
    }
    let with = |reply: Result<Reply, String>| Answer::plain(reply.unwrap_or_else(Reply::Fail));
    match Builtin::of(interceptor) {
        Some(Builtin::Github) => with(params(interceptor).map(|params| github::ask(&params, context, event))),
        Some(Builtin::Gitlab) => {
            with(params(interceptor).map(|params| gitlab::ask(gitlab::GITLAB, &params, context, event)))
        }
        Some(Builtin::Bitbucket) => {
            with(params(interceptor).map(|params| gitlab::ask(gitlab::BITBUCKET, &params, context, event)))
        }
        Some(Builtin::Slack) => with(params(interceptor).map(|params| slack::ask(&params, context, event))),
        Some(Builtin::Cel) if !(event.body.is_object() || event.body.is_null()) => {
            // A webhook interceptor may have answered with any JSON.
            let message =
                "error making the evaluation context: failed to parse the body as JSON: it is no object";
            Answer::plain(Reply::Fail(message.to_owned()))
        }
        Some(Builtin::Cel) => match params(interceptor) {
            Ok(params) => cel::ask(&params, context, event, extensions),
            Err(message) => Answer::plain(Reply::Fail(message)),
        },
        None => Answer::plain(remote::ask(interceptor, context, event, extensions)),
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

#[cfg(test)]
mod tests;
