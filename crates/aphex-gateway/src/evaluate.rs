//! From an event to a list of resources to create, or reasons for silence; pure.
//!
//! ```text
//! listener -> select -> interceptors -> bindings -> templates -> Planned, one per trigger
//! ```
//!
//! Creating the resources is [`crate::dispatch`]'s work, remembering the outcome [`crate::deliveries`]'s.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_api::delivery::{SecretKeyRef, TriggerResult, TriggerVerdict};
use aphex_api::foreign::triggers::{
    EventListener, OLD_ESCAPE_ANNOTATION, TriggerTemplateSpec, UNSIGNED_EVENTS_ANNOTATION,
};
use aphex_runtime::errors::chain;
use kube::ResourceExt as _;
use serde_json::Value;

use crate::bindings::{self, BindingError, Document};
use crate::event::{self, Event};
use crate::interceptors::outside::Outside;
use crate::interceptors::{self, Context, End, Rejection, cel::Programs};
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
    /// It failed because an object that it names is not known, which may have been applied a moment ago.
    pub missing: bool,
}

/// Everything that evaluation reads.
#[derive(Clone)]
pub struct Evaluation<'a> {
    /// Triggers, bindings, templates.
    pub snapshot: &'a Snapshot,
    /// The listener that received the event.
    pub listener: &'a EventListener,
    /// The namespace that keeps the event's Delivery: the listener's, or that of the triggers which want their own there.
    pub kept_in: &'a str,
    /// The event.
    pub event: &'a Event,
    /// Secrets that the event's sender knows; only their triggers are asked.
    pub verified: &'a [SecretKeyRef],
    /// Other secrets, and what was asked of others.
    pub outside: Arc<dyn Outside>,
    /// GitHub's API, without a slash at the end.
    pub github_api: &'a str,
    /// Compiled expressions.
    pub cel: &'a Programs,
    /// What makes two evaluations create the same objects.
    pub seed: &'a str,
}

/// Whether a listener lets events in that no secret signed.
pub fn accepts_unsigned(listener: &EventListener) -> bool {
    listener.annotations().get(UNSIGNED_EVENTS_ANNOTATION).is_some_and(|value| value == "accept")
}

/// Asks every trigger whose secrets the sender knows; all of them where the listener lets unsigned events in.
pub fn evaluate(evaluation: &Evaluation<'_>) -> Vec<Planned> {
    let namespace = evaluation.listener.namespace().unwrap_or_default();
    let open = accepts_unsigned(evaluation.listener);
    let signed = |offer: &Offer| {
        let secrets = offer.secrets(&namespace);
        open || (!secrets.is_empty()
            && secrets.iter().all(|(_, secret)| evaluation.verified.contains(secret)))
    };
    // Whoever can write Deliveries to a tenant's namespace fires that tenant's triggers and nobody else's.
    let own = |offer: &Offer| {
        evaluation.kept_in == namespace || offer.home(evaluation.listener) == Some(evaluation.kept_in)
    };
    let offers = select::offers(evaluation.listener, evaluation.snapshot);
    offers
        .iter()
        .filter(|offer| signed(offer) && own(offer))
        .map(|offer| ask(evaluation, offer, &namespace))
        .collect()
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
        missing: false,
    };
    let group = offer.group.as_ref().map(|group| {
        let id = format!("namespaces/{listener_namespace}/triggerGroups/{}", group.name);
        (group.interceptors.as_slice(), listener_namespace, id)
    });
    let own = format!("namespaces/{}/triggers/{}", offer.namespace, offer.label);
    let own = (offer.trigger.spec.interceptors.as_slice(), offer.namespace.as_str(), own);
    let grouped = group.is_some();
    let mut event = Cow::Borrowed(evaluation.event);
    let mut extensions = event::extensions(evaluation.event);
    for (at, (chain, namespace, trigger_id)) in group.into_iter().chain([own]).enumerate() {
        let context = Context {
            namespace,
            listener_namespace,
            trigger_id,
            verified: evaluation.verified,
            outside: Arc::clone(&evaluation.outside),
            known: evaluation.snapshot,
            github_api: evaluation.github_api,
            cel: evaluation.cel,
        };
        let outcome = interceptors::run(chain, &context, &event, extensions);
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
            End::Failed { message, may_pass } => {
                planned.result.message = message;
                if may_pass {
                    planned.result.verdict = TriggerVerdict::Retrying;
                }
                return planned;
            }
        }
        if let Some(replaced) = outcome.replaced {
            event = Cow::Owned(if grouped && at == 0 {
                // A group hands on the headers that a webhook gave it, and the body as it was received.
                evaluation.event.clone().with_headers(replaced.headers)
            } else {
                replaced
            });
        }
    }
    let document = Document::new(&event.body, &event.headers, &extensions, &event.id);
    match make(evaluation, offer, &document) {
        Ok((params, resources)) => {
            planned.result.params = params;
            planned.result.verdict = TriggerVerdict::Created;
            planned.resources = resources;
        }
        Err(unmade) => {
            planned.result.message = unmade.message;
            planned.missing = unmade.missing;
        }
    }
    planned
}

/// Why nothing was made of a template.
struct Unmade {
    /// The sentence for the Delivery's status.
    message: String,
    missing: bool,
}

impl Unmade {
    fn of(error: &(dyn std::error::Error + 'static), missing: bool) -> Self {
        Self { message: chain(error), missing }
    }
}

/// The parameters and the resources made of them.
fn make(
    evaluation: &Evaluation<'_>,
    offer: &Offer,
    document: &Document,
) -> Result<(BTreeMap<String, String>, Vec<Value>), Unmade> {
    let known = evaluation.snapshot.bindings(&offer.namespace);
    let params = bindings::collect(&offer.trigger.spec.bindings, &known);
    let params = params.map_err(|error| Unmade::of(&error, matches!(error, BindingError::Missing { .. })))?;
    let (template, old_escape) =
        template(evaluation.snapshot, offer).map_err(|message| Unmade { message, missing: true })?;
    let params =
        bindings::resolve(&params, document, &template.params).map_err(|error| Unmade::of(&error, false))?;
    let origin = Origin {
        listener: evaluation.listener.metadata.name.as_deref().unwrap_or_default(),
        namespace: &offer.namespace,
        trigger: &offer.name,
        group: offer.group.as_ref().filter(|_| offer.by_group).map(|group| group.name.as_str()),
        label: &offer.label,
        event_id: &evaluation.event.id,
        seed: evaluation.seed,
    };
    let resources = templates::render(&template, &params, old_escape, origin)
        .map_err(|error| Unmade::of(&error, false))?;
    if resources.is_empty() {
        return Err(Unmade { message: "the template has no resourcetemplates".to_owned(), missing: false });
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
