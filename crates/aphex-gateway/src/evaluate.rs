//! From an event to a list of resources to create, or reasons for silence; pure.
//!
//! ```text
//! listener -> select -> interceptors -> bindings -> templates -> Planned, one per trigger
//! ```
//!
//! Creating the resources is [`crate::dispatch`]'s work, remembering the outcome [`crate::deliveries`]'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_api::delivery::{SecretKeyRef, TriggerResult, TriggerVerdict};
use aphex_api::foreign::triggers::{EventListener, OLD_ESCAPE_ANNOTATION, TriggerTemplateSpec};
use aphex_runtime::errors::chain;
use kube::ResourceExt as _;
use serde_json::Value;

use crate::bindings::{self, Document};
use crate::event::{self, Event};
use crate::interceptors::{self, Context, End, Rejection, Secrets, cel::Programs};
use crate::select::{self, Account, Offer};
use crate::snapshot::Snapshot;
use crate::templates::{self, Origin};

/// What one trigger makes of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The result so far; final unless there are resources to create.
    pub result: TriggerResult,
    /// What to create, in order.
    pub resources: Vec<Value>,
    /// Who creates it.
    pub account: Account,
    /// Why the event was not wanted, for the log.
    pub rejection: Option<Rejection>,
}

/// Everything that evaluation reads.
#[derive(Clone)]
pub struct Evaluation<'a> {
    /// Triggers, bindings, templates.
    pub snapshot: &'a Snapshot,
    /// The listener that received the event.
    pub listener: &'a EventListener,
    /// The event.
    pub event: &'a Event,
    /// Secrets that signed the event; only their triggers are asked.
    pub verified: &'a [SecretKeyRef],
    /// Secrets that expressions compare with.
    pub secrets: Arc<dyn Secrets>,
    /// Compiled expressions.
    pub cel: &'a Programs,
    /// What makes two evaluations create the same objects.
    pub seed: &'a str,
}

/// Asks every trigger whose secrets signed the event.
pub fn evaluate(evaluation: &Evaluation<'_>) -> Vec<Planned> {
    let namespace = evaluation.listener.namespace().unwrap_or_default();
    let signed = |offer: &Offer| {
        let secrets = offer.secrets(&namespace);
        !secrets.is_empty() && secrets.iter().all(|secret| evaluation.verified.contains(secret))
    };
    let offers = select::offers(evaluation.listener, evaluation.snapshot);
    offers.iter().filter(|offer| signed(offer)).map(|offer| ask(evaluation, offer, &namespace)).collect()
}

fn ask(evaluation: &Evaluation<'_>, offer: &Offer, listener_namespace: &str) -> Planned {
    let mut planned = Planned {
        result: TriggerResult {
            name: offer.name.clone(),
            namespace: offer.namespace.clone(),
            group: offer.group.as_ref().map(|group| group.name.clone()),
            verdict: TriggerVerdict::Failed,
            message: String::new(),
            interceptors: Vec::new(),
            params: BTreeMap::new(),
            created: Vec::new(),
        },
        resources: Vec::new(),
        account: offer.account.clone(),
        rejection: None,
    };
    let chains = [
        offer.group.as_ref().map(|group| (group.interceptors.as_slice(), listener_namespace)),
        Some((offer.trigger.spec.interceptors.as_slice(), offer.namespace.as_str())),
    ];
    let mut extensions = event::extensions(evaluation.event);
    for (chain, namespace) in chains.into_iter().flatten() {
        let context = Context {
            event: evaluation.event,
            namespace,
            verified: evaluation.verified,
            secrets: Arc::clone(&evaluation.secrets),
            cel: evaluation.cel,
        };
        let outcome = interceptors::run(chain, &context, extensions);
        planned.result.interceptors.extend(outcome.results);
        extensions = outcome.extensions;
        match outcome.end {
            End::Passed => {}
            End::Stopped { message, rejection } => {
                planned.result.verdict = TriggerVerdict::NotWanted;
                planned.result.message = message;
                planned.rejection = Some(rejection);
                return planned;
            }
            End::Failed { message } => {
                planned.result.message = message;
                return planned;
            }
        }
    }
    let event = evaluation.event;
    let document = Document::new(&event.body, &event.headers, &extensions, &event.id);
    match make(evaluation, offer, &document) {
        Ok((params, resources)) => {
            planned.result.params = params;
            planned.result.verdict = TriggerVerdict::Created;
            planned.resources = resources;
        }
        Err(message) => planned.result.message = message,
    }
    planned
}

/// The parameters and the resources made of them; an error is the sentence for the Delivery's status.
fn make(
    evaluation: &Evaluation<'_>,
    offer: &Offer,
    document: &Document,
) -> Result<(BTreeMap<String, String>, Vec<Value>), String> {
    let known = evaluation.snapshot.bindings(&offer.namespace);
    let params = bindings::collect(&offer.trigger.spec.bindings, &known).map_err(|error| chain(&error))?;
    let (template, old_escape) = template(evaluation.snapshot, offer)?;
    let params = bindings::resolve(&params, document, &template.params).map_err(|error| chain(&error))?;
    let origin = Origin {
        listener: evaluation.listener.metadata.name.as_deref().unwrap_or_default(),
        namespace: &offer.namespace,
        trigger: &offer.name,
        event_id: &evaluation.event.id,
        seed: evaluation.seed,
    };
    let resources =
        templates::render(&template, &params, old_escape, origin).map_err(|error| chain(&error))?;
    if resources.is_empty() {
        return Err("the template has no resourcetemplates".to_owned());
    }
    Ok((params, resources))
}

fn template(snapshot: &Snapshot, offer: &Offer) -> Result<(TriggerTemplateSpec, bool), String> {
    let template = &offer.trigger.spec.template;
    if let Some(spec) = &template.spec {
        return Ok((spec.clone(), false));
    }
    let name = template.reference.as_deref().unwrap_or_default();
    let found = snapshot.template(&offer.namespace, name);
    let found =
        found.ok_or_else(|| format!("TriggerTemplate {name} does not exist in {}", offer.namespace))?;
    Ok((found.spec.clone(), found.annotations().contains_key(OLD_ESCAPE_ANNOTATION)))
}
