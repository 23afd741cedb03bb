//! The status of a Pipeline: what its binding says, but for the secret; or why there is nothing to say yet.

use aphex_api::conditions::{self, Finding, Reason, State};
use aphex_api::pipeline::PipelineStatus;
use aphex_api::repo_binding::{RepoBinding, RepoBindingPhase, RepoBindingStatus, condition};
use aphex_runtime::errors;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Pipelines, binding_name, current};
use crate::driver::Pass;
use crate::outcome::Outcome;

pub(super) fn status(pass: &Pass<'_, Pipelines>) -> PipelineStatus {
    let name = binding_name(pass.object);
    let binding = pass.observed.and_then(|observed| observed.binding(&name));
    match (pass.outcome, binding.as_ref().and_then(current)) {
        (Outcome::Applied | Outcome::Unsettled(_), Some(said)) => repeated(pass, said),
        _ => own(pass, binding.as_ref()),
    }
}

/// What the binding says. It speaks of what this Pipeline's spec asks for now.
fn repeated(pass: &Pass<'_, Pipelines>, said: &RepoBindingStatus) -> PipelineStatus {
    let generation = pass.object.metadata.generation;
    PipelineStatus {
        phase: said.phase,
        message: said.message.clone(),
        webhook_url: said.webhook_url.clone(),
        observed_generation: generation,
        conditions: with_foreign(
            pass,
            said.conditions.iter().map(|condition| of(condition, generation)).collect(),
        ),
    }
}

/// The conditions, and the one that tells of bindings which carry this Pipeline's name and are not its own.
fn with_foreign(pass: &Pass<'_, Pipelines>, mut conditions: Vec<Condition>) -> Vec<Condition> {
    let found = pass.observed.and_then(|observed| observed.inventory.foreign_finding());
    let Some(finding) = found else { return conditions };
    // The binding may have one of its own, about other objects.
    conditions.retain(|condition| condition.type_ != finding.condition);
    let old = pass.object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.extend(conditions::merge(old, vec![finding], pass.object.metadata.generation, pass.now));
    conditions
}

/// What this controller says: the binding is not there, is not wanted as it is, or has not answered yet.
fn own(pass: &Pass<'_, Pipelines>, binding: Option<&RepoBinding>) -> PipelineStatus {
    use RepoBindingPhase::{Failed, Pending, Provisioning};
    let (state, reason, phase, message) = match pass.outcome {
        Outcome::Applied => {
            let message = "Waiting for the RepoBinding to be provisioned".to_owned();
            (State::Unknown, Reason::Provisioning, Provisioning, message)
        }
        Outcome::Unsettled(waiting) => {
            (State::Unknown, Reason::Provisioning, Provisioning, waiting.to_string())
        }
        Outcome::Waiting(waiting) => (State::Unknown, Reason::WaitingFor, Pending, waiting.to_string()),
        Outcome::Rejected(rejection) => (State::False, rejection.reason, Failed, rejection.message.clone()),
        Outcome::Deleting(waiting) => (State::Unknown, Reason::Deleting, Pending, waiting.to_string()),
        Outcome::Failed(error) => (State::False, Reason::ProvisioningFailed, Failed, errors::chain(error)),
    };
    let old = pass.object.status.clone().unwrap_or_default();
    let generation = pass.object.metadata.generation;
    let said = binding.and_then(|binding| binding.status.clone());
    // Without a look at the engine the facts of the last look stand.
    let (webhook_url, facts) = match (pass.observed, said) {
        (None, _) => (old.webhook_url, old.conditions.clone()),
        (Some(_), said) => said.map(|said| (said.webhook_url, said.conditions)).unwrap_or_default(),
    };
    let facts = facts.iter().filter(|fact| fact.type_ != condition::READY).map(|fact| of(fact, generation));
    let ready = Finding { condition: condition::READY, state, reason, message: message.clone() };
    let ready = conditions::merge(&old.conditions, vec![ready], generation, pass.now);
    PipelineStatus {
        phase,
        message,
        webhook_url,
        observed_generation: generation,
        conditions: with_foreign(pass, facts.chain(ready).collect()),
    }
}

/// A binding's condition as one of this object, which has generations of its own.
fn of(condition: &Condition, generation: Option<i64>) -> Condition {
    Condition { observed_generation: generation, ..condition.clone() }
}

#[cfg(test)]
mod tests;
