//! Dry runs: an event that says of itself, in its signed payload, that it is one is decided, answered, and leaves nothing behind.
//!
//! The engine checks what the triggers ask for as it would at creation, as their accounts, and stores none of it; no
//! Delivery is made. Only a sender who knows a webhook secret can have one, and is told no values and no expressions.

use std::sync::Arc;
use std::time::Duration;

use aphex_api::delivery::{
    CreatedObject, DeliveryVerdict, InterceptorVerdict, TriggerResult, TriggerVerdict,
};
use serde::Serialize;
use serde_json::Value;

use crate::decision::{Case, Decision};
use crate::deliveries::{Deliveries, Incoming, object_name, verdict_of};
use crate::evaluate::Planned;
use crate::event::{self, Event};

/// The field of the payload, true in a dry run. No event of GitHub's has it.
pub const FIELD: &str = "aphexDryRun";
/// How many are decided at once; they must not keep events waiting.
pub(crate) const PARALLEL: usize = 4;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// What would become of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearsal {
    /// The verdict, unless a trigger would have to be tried again.
    pub verdict: Option<DeliveryVerdict>,
    /// The same in a sentence.
    pub message: String,
    /// What each trigger would make of it.
    pub triggers: Vec<Rehearsed>,
}

/// What one trigger would make of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsed {
    /// Namespace of the trigger.
    pub namespace: String,
    /// Name of the trigger.
    pub name: String,
    /// The outcome in one word: `Created` when the engine would take everything.
    pub verdict: TriggerVerdict,
    /// The outcome in one sentence.
    pub message: String,
    /// The interceptor that did not let the event pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// Who would create.
    pub account: String,
    /// What the engine would take.
    pub created: Vec<CreatedObject>,
}

/// Whether a payload asks for a dry run.
pub fn is_asked(body: &Value) -> bool {
    body.get(FIELD) == Some(&Value::Bool(true))
}

impl Deliveries {
    /// Decides about an event that is not stored; nothing when too many others are being decided.
    pub async fn rehearse(&self, incoming: Incoming) -> Option<Rehearsal> {
        let turn = tokio::time::timeout(PATIENCE, self.rehearsals.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok)?;
        let case = case(incoming);
        let (verdict, message, triggers) = match self.decider.decide(&case).await {
            Decision::Settled(verdict, message) => (Some(verdict), message, Vec::new()),
            Decision::Triggers(_, planned) => {
                let mut triggers = Vec::with_capacity(planned.len());
                for planned in planned {
                    triggers.push(self.rehearse_one(planned, &case.event.id).await);
                }
                let results: Vec<TriggerResult> = triggers.iter().map(|(result, _)| result.clone()).collect();
                let (verdict, message) = verdict_of(&results);
                (verdict, message, triggers.into_iter().map(|(_, told)| told).collect())
            }
        };
        tracing::info!(
            eventListener = %case.listener, namespace = %case.listener_namespace, event.type = %case.event.kind,
            verdict = ?verdict, reason = %message, "dry run of an event; nothing is stored"
        );
        Some(Rehearsal { verdict, message, triggers })
    }

    async fn rehearse_one(&self, planned: Planned, event_id: &str) -> (TriggerResult, Rehearsed) {
        let Planned { mut result, resources, account, .. } = planned;
        for resource in &resources {
            match self.dispatcher.rehearse(resource, Some(&account), event_id).await {
                Ok(object) => result.created.push(CreatedObject { uid: None, ..object }),
                Err(error) => {
                    result.verdict = TriggerVerdict::Failed;
                    result.message = error.explain();
                    break;
                }
            }
        }
        let stopped = result.interceptors.iter().find(|one| one.verdict != InterceptorVerdict::Passed);
        let told = Rehearsed {
            namespace: result.namespace.clone(),
            name: result.name.clone(),
            verdict: result.verdict,
            message: result.message.clone(),
            stopped_by: stopped.map(|one| one.name.clone()),
            account: format!("{}/{}", account.namespace, account.name),
            created: result.created.clone(),
        };
        (result, told)
    }
}

/// The event as if it were kept beside its listener, under names that no event's objects have.
fn case(incoming: Incoming) -> Case {
    let id = object_name(&incoming.delivery_id);
    Case {
        seed: format!("{}/{id}/dry-run", incoming.listener_namespace),
        kept_in: incoming.listener_namespace.clone(),
        listener_namespace: incoming.listener_namespace,
        listener: incoming.listener,
        verified: incoming.verified_by,
        event: Arc::new(Event {
            id,
            kind: incoming.event,
            headers: incoming.headers,
            raw: event::raw(&incoming.json),
            body: incoming.body,
            url: incoming.url,
            received: incoming.received,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_says_so_plainly_is_a_dry_run() {
        assert!(is_asked(&json!({ FIELD: true })));
        for other in [
            json!({}),
            json!({ FIELD: "true" }),
            json!({ FIELD: false }),
            json!({ "inputs": { FIELD: true } }),
        ] {
            assert!(!is_asked(&other), "{other}");
        }
    }
}
