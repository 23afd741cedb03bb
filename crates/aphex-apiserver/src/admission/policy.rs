//! `ValidatingAdmissionPolicy`: rules that the cluster's administrators write in CEL.
//!
//! ```text
//! policies, bindings ─► index (compiled, once a change) ─► per write: matching ─► params ─► evaluation ─► decision
//! ```
//!
//! [`index`] holds a snapshot that a write reads without waiting; with no binding in the cluster a write costs one
//! load of a flag. `k8s.io/apiserver/pkg/admission/plugin/policy` of Kubernetes 1.35.

mod attributes;
mod authorizer;
mod compile;
mod constraints;
mod evaluate;
mod grants;
pub mod index;
mod matching;
mod params;
mod rules;
mod types;
mod variables;

use std::sync::Arc;

use aphex_schema::error::FieldError;
use serde_json::{Value, json};

use super::{Operation, Write};
use crate::object;
use crate::resource::Resource;
use crate::status::Status;
use attributes::Attributes;
use evaluate::Denial;
use index::{Binding, Policy};

pub(crate) use grants::check as check_grants;

/// The API group of policies, bindings and webhooks.
pub(crate) const GROUP: &str = "admissionregistration.k8s.io";

/// Whether a resource is that of policies or bindings.
pub(crate) fn is_policy(resource: &Resource) -> bool {
    resource.group == GROUP
        && matches!(
            resource.plural.as_str(),
            "validatingadmissionpolicies" | "validatingadmissionpolicybindings"
        )
}

/// Everything wrong with a policy or binding, metadata aside; none if the object is neither.
pub(crate) fn validate_object(
    resource: &Resource,
    subresource: &str,
    object: &Value,
    old: Option<&Value>,
) -> Option<Vec<FieldError>> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        (GROUP, "ValidatingAdmissionPolicy") if subresource == "status" => Some(rules::status(object)),
        (GROUP, "ValidatingAdmissionPolicy") => Some(rules::policy(object, old)),
        (GROUP, "ValidatingAdmissionPolicyBinding") => Some(rules::binding(object)),
        _ => None,
    }
}

/// Fills in what the server finds out about a policy: that it has seen this generation, and what types say.
///
/// kube-controller-manager does this a moment later; here the policy is stored with it.
pub(crate) fn settle(resource: &Resource, policy: &mut Value) {
    if resource.group != GROUP || resource.kind != "ValidatingAdmissionPolicy" {
        return;
    }
    let generation = object::generation(policy);
    if object::at(policy, "status.observedGeneration").and_then(Value::as_i64) == Some(generation) {
        return;
    }
    object::set_at(policy, "status.observedGeneration", json!(generation));
    let warnings = type_warnings(policy);
    let checking = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
    object::set_at(policy, "status.typeChecking", checking);
}

/// What is suspicious about a policy's expressions, given the schemas of what it matches.
///
/// Each is a `fieldRef` and a `warning`. Types of fields are met when a policy runs, so nothing is known here.
fn type_warnings(_policy: &Value) -> Vec<Value> {
    Vec::new()
}

/// Refuses what a bound policy denies, and tells of what it warns about.
pub(super) fn check(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    let server = &write.call.server;
    let Some(active) = server.policies.active() else { return Ok(()) };
    if write.call.internal || is_exempt(&write.call.resource) {
        return Ok(());
    }
    let scaled = scaled(write, object);
    let (object, old) = match &scaled {
        Some((new, old)) => (new, old.as_ref()),
        None => (object, write.old),
    };
    let attributes = Attributes::of(write, object, old);
    for (policy, bindings) in &active.hooks {
        dispatch(&attributes, policy, bindings);
    }
    match attributes.denied.take() {
        Some(denial) => Err(denied(write, object, &denial)),
        None => Ok(()),
    }
}

/// A write to a scale endpoint is seen as what the caller sees: a Scale.
fn scaled(write: &Write<'_>, object: &Value) -> Option<(Value, Option<Value>)> {
    let scale = write.call.resource.subresources.get(write.call.subresource())?.scale.as_ref()?;
    let view = |object: &Value| crate::verbs::scale_view(scale, object);
    Some((view(object), write.old.map(view)))
}

/// Policies never apply to policies, nor to questions about access: nobody could repair or log in any more.
fn is_exempt(resource: &Resource) -> bool {
    resource.custom().is_none()
        && match resource.group.as_str() {
            GROUP => true,
            "authentication.k8s.io" | "authorization.k8s.io" => !resource.is_stored(),
            _ => false,
        }
}

/// Runs one policy with all of its bindings; the first denial of all policies is kept.
fn dispatch(attributes: &Attributes<'_>, policy: &Arc<Policy>, bindings: &[Arc<Binding>]) {
    let Some(matched) = matching::matches(attributes, &policy.constraints) else { return };
    let found = params::kind(attributes, policy);
    let deny_config = |binding: Option<&Binding>, why: &str| {
        if policy.fails {
            let subject = if binding.is_some() { "binding" } else { "policy" };
            let message = format!("failed to configure {subject}: {why}");
            attributes.deny(policy, binding, Denial { message, reason: None });
        }
    };
    let kind = match found {
        Ok(kind) => kind,
        Err(why) => {
            deny_config(None, &why);
            return;
        }
    };
    for binding in bindings {
        let wanted = binding.constraints.as_ref();
        if wanted.is_some_and(|constraints| matching::matches(attributes, constraints).is_none()) {
            continue;
        }
        let params = match params::collect(attributes, kind.as_deref(), binding) {
            Ok(params) => params,
            Err(why) => {
                deny_config(Some(binding), &why);
                continue;
            }
        };
        for param in params {
            let verdict = evaluate::run(attributes, &matched, policy, param.as_ref());
            for denial in verdict.failures {
                act(attributes, policy, binding, &denial);
            }
            for denial in verdict.errors {
                attributes.deny(policy, Some(binding), denial);
            }
        }
    }
}

fn act(attributes: &Attributes<'_>, policy: &Policy, binding: &Binding, denial: &Denial) {
    for action in &binding.actions {
        match action.as_str() {
            "Deny" => attributes.deny(policy, Some(binding), denial.clone()),
            "Warn" => attributes.write.call.warnings.add(format!(
                "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                policy.name, binding.name, denial.message
            )),
            // There is no audit log to annotate.
            _ => {
                tracing::debug!(policy = %policy.name, binding = %binding.name, "a write fails an audited validation");
            }
        }
    }
}

fn denied(write: &Write<'_>, object: &Value, denial: &attributes::Denied) -> Status {
    let message = match &denial.binding {
        Some(binding) => format!(
            "ValidatingAdmissionPolicy '{}' with binding '{binding}' denied request: {}",
            denial.policy, denial.denial.message
        ),
        None => {
            format!("ValidatingAdmissionPolicy '{}' denied request: {}", denial.policy, denial.denial.message)
        }
    };
    let (code, reason) = match denial.denial.reason.as_deref() {
        Some("Forbidden") => (403, "Forbidden"),
        Some("Unauthorized") => (401, "Unauthorized"),
        Some("RequestEntityTooLarge") => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    let unnamed = write.operation == Operation::Delete && write.call.name().is_empty();
    let write = Write { prefix: unnamed.then_some("Unknown"), ..*write };
    let mut status = write.forbid(object, &message).because("", message, "");
    (status.code, status.reason) = (code, reason);
    status
}
