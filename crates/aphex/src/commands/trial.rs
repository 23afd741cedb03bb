//! What triggers would make of an event, by the gateway's own code and without writing anything.

pub(crate) mod objects;
pub(crate) mod rehearsal;

use aphex_api::delivery::{CreatedObject, DeliveryVerdict, TriggerResult, TriggerVerdict};
use aphex_gateway::decision::{Decision, NOT_ASKED};
use aphex_gateway::deliveries::verdict_of;
use aphex_gateway::evaluate::Planned;
use aphex_gateway::select::Account;
use serde_json::{Value, json};

use super::delivery::explain_triggers;
use super::look::text;
use crate::output::paint_answer;

/// What would become of an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trial {
    /// None when a trigger could not be decided.
    pub(crate) verdict: Option<DeliveryVerdict>,
    pub(crate) message: String,
    pub(crate) triggers: Vec<Tried>,
}

/// What one trigger would make of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tried {
    pub(crate) result: TriggerResult,
    pub(crate) resources: Vec<Value>,
    pub(crate) account: Account,
}

impl Trial {
    pub(crate) fn of(decision: Decision) -> Self {
        match decision {
            Decision::Settled(verdict, message) => {
                Self { verdict: Some(verdict), message, triggers: Vec::new() }
            }
            Decision::Triggers(_, planned) => Self::judged(planned.into_iter().map(tried).collect()),
        }
    }

    /// The verdict by what the triggers made of it.
    pub(crate) fn judged(triggers: Vec<Tried>) -> Self {
        let results: Vec<TriggerResult> = triggers.iter().map(|tried| tried.result.clone()).collect();
        let (verdict, message) = verdict_of(&results);
        let message = match verdict {
            Some(DeliveryVerdict::Created) => {
                format!("would create{}", message.trim_start_matches("created"))
            }
            _ => message,
        };
        Self { verdict, message, triggers }
    }

    /// The verdict in one word.
    pub(crate) fn word(&self) -> String {
        self.verdict.map_or_else(|| "Undecided".to_owned(), |verdict| format!("{verdict:?}"))
    }

    /// Whether it failed, or could not be decided.
    pub(crate) fn failed(&self) -> bool {
        matches!(self.verdict, None | Some(DeliveryVerdict::Failed))
    }

    /// Whether it could not be decided because a service was not asked.
    pub(crate) fn was_not_asked(&self) -> bool {
        self.verdict.is_none() && self.triggers.iter().any(|tried| tried.result.message.contains(NOT_ASKED))
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let word = paint_answer(&self.word(), if self.failed() { "1;31" } else { "1" });
        let results: Vec<TriggerResult> = self.triggers.iter().map(|tried| tried.result.clone()).collect();
        let mut lines = vec![format!("{word}: {}", self.message)];
        lines.extend(explain_triggers(&results, "create"));
        lines
    }

    /// For programs.
    pub(crate) fn document(&self) -> anyhow::Result<Value> {
        let trigger = |tried: &Tried| -> anyhow::Result<Value> {
            let mut value = serde_json::to_value(&tried.result)?;
            if let Some(fields) = value.as_object_mut() {
                fields.remove("created");
            }
            let Account { namespace, name } = &tried.account;
            value["serviceAccount"] = json!(format!("{namespace}/{name}"));
            value["resources"] = json!(tried.resources);
            Ok(value)
        };
        let triggers = self.triggers.iter().map(trigger).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(json!({ "verdict": self.word(), "message": self.message, "triggers": triggers }))
    }

    /// All objects that would be made.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Value> {
        self.triggers.iter().flat_map(|tried| &tried.resources)
    }
}

fn tried(planned: Planned) -> Tried {
    let Planned { mut result, resources, account, .. } = planned;
    if result.verdict == TriggerVerdict::Created {
        result.created = resources.iter().map(named).collect();
    }
    Tried { result, resources, account }
}

fn named(resource: &Value) -> CreatedObject {
    CreatedObject {
        api_version: text(resource, "/apiVersion"),
        kind: text(resource, "/kind"),
        namespace: Some(text(resource, "/metadata/namespace")).filter(|namespace| !namespace.is_empty()),
        name: text(resource, "/metadata/name"),
        uid: None,
        concurrency: None,
    }
}
