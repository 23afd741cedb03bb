//! From an event to a run: the webhook secret, the trigger that verifies and filters, the template, the account.
//!
//! All of it is in the organization's namespace, which no tenant can read; a standalone tenant has its own in its own.
//! A Trigger's resources are created as its `serviceAccountName`, an account of the Trigger's own namespace (DefaultAuthOverride in tektoncd/triggers,
//! pkg/sink/auth_override.go); each binding has one, which may create PipelineRuns in the tenant namespace alone.

mod filter;

use aphex_api::dispatch;
use aphex_api::foreign::triggers::{
    Binding, InterceptorParam, InterceptorRef, TemplateRef, Trigger, TriggerInterceptor, TriggerSpec,
    TriggerTemplate,
};
use aphex_api::labels;
use aphex_api::repo_binding::{BindingEvent, ConcurrencyPolicy};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use serde_json::{Value, json};

use filter::Filter;

use super::shared_metadata;
use crate::catalog;
use crate::organization::PUSH_BINDING;
use crate::repo_binding::pipeline_spec;
use crate::repo_binding::shape::Shape;
use crate::repo_binding::validate::Valid;
use crate::webhook_secret::KEY;

/// The account the trigger of an organization's listener creates runs as.
pub(super) fn account(valid: &Valid) -> Option<ServiceAccount> {
    valid.organization()?;
    let metadata = shared_metadata(valid, valid.tenant.trigger());
    Some(ServiceAccount { metadata, ..ServiceAccount::default() })
}

pub(super) fn webhook_secret(valid: &Valid) -> Option<Secret> {
    let secret = Secret {
        metadata: shared_metadata(valid, valid.tenant.webhook_secret()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    Some(valid.webhook_secret.clone()?.into_secret(secret))
}

/// The catalog's template, fitted to the pipeline's workspaces and to how runs begin.
pub(super) fn trigger_template(valid: &Valid) -> TriggerTemplate {
    let declared = match &valid.shape {
        Shape::Organization { pipeline, .. } => pipeline_spec::workspaces(pipeline),
        Shape::Standalone { workspaces, .. } => workspaces.clone(),
    };
    let mut metadata = shared_metadata(valid, valid.trigger_template());
    metadata.labels.get_or_insert_default().extend(valid.template.labels.clone());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(labels::TEMPLATE.to_owned(), valid.template.name.clone());
    let (mut spec, policy) = (valid.template.for_workspaces(&declared), valid.options.policy);
    if policy != ConcurrencyPolicy::Allow {
        // The order of runs means something then, and the gateway minds it.
        annotations.insert(labels::CONCURRENCY.to_owned(), policy.as_str().to_owned());
    }
    if policy == ConcurrencyPolicy::Queue {
        catalog::hold_back(&mut spec);
    }
    TriggerTemplate { metadata, spec }
}

pub(super) fn trigger(valid: &Valid) -> Option<Trigger> {
    valid.organization()?;
    let mut metadata = shared_metadata(valid, valid.tenant.trigger());
    metadata.annotations = Some([(labels::DELIVERIES_NAMESPACE.to_owned(), valid.tenant.namespace())].into());
    Some(Trigger { metadata, spec: spec(valid) })
}

/// What an event has to be, and what becomes of it.
pub(super) fn spec(valid: &Valid) -> TriggerSpec {
    let events: Vec<&str> = valid.options.events.iter().map(|event| event.as_str()).collect();
    let github = interceptor(
        "github",
        "github",
        &[
            ("secretRef", json!({ "secretName": valid.tenant.webhook_secret(), "secretKey": KEY })),
            ("eventTypes", json!(events)),
        ],
    );
    let mut interceptors = vec![github];
    for Filter { name, expression } in filter::filters(valid) {
        interceptors.push(interceptor("cel", name, &[("filter", json!(expression))]));
    }
    let commit = filter::commit(&valid.options);
    let params = [("filter", json!(commit.expression)), ("overlays", filter::overlays(&valid.options))];
    interceptors.push(interceptor("cel", commit.name, &params));
    TriggerSpec {
        service_account_name: valid.tenant.trigger(),
        interceptors,
        bindings: bindings(valid),
        template: TemplateRef { reference: Some(valid.trigger_template()), spec: None },
        ..TriggerSpec::default()
    }
}

/// What runs are made of: from the event its commit and branch, from the binding everything else.
fn bindings(valid: &Valid) -> Vec<Binding> {
    let given = |name: &str, value: String| Binding {
        name: name.to_owned(),
        value: Some(value),
        ..Binding::default()
    };
    let extension = |field: &str| format!("$(extensions.{field})");
    let mut bindings = if valid.options.takes(BindingEvent::PullRequest) {
        // The organization's shared binding takes the commit from where only a push has it.
        vec![
            given("git-revision", extension(filter::REVISION)),
            given("event-type", "$(header.X-Github-Event)".to_owned()),
            given("event-id", "$(context.eventID)".to_owned()),
            given("triggered-at", dispatch::expression(dispatch::RECEIVED_TIME)),
        ]
    } else {
        vec![Binding {
            reference: PUSH_BINDING.to_owned(),
            kind: "TriggerBinding".to_owned(),
            ..Binding::default()
        }]
    };
    bindings.extend([
        given("git-url", valid.repository.clone_url()),
        given("git-ref", extension(filter::REF)),
        given("repo-full-name", valid.repository.full_name()),
        given("branch", extension(filter::BRANCH)),
        given("org-name", valid.organization().map(ToString::to_string).unwrap_or_default()),
        given("pipeline-name", valid.pipeline_name().to_owned()),
        given("pipeline-namespace", valid.tenant.namespace()),
    ]);
    bindings
}

/// A reference always names its kind: without Triggers' admission webhook nothing else would.
fn interceptor(kind: &str, name: &str, params: &[(&str, Value)]) -> TriggerInterceptor {
    TriggerInterceptor {
        name: Some(name.to_owned()),
        reference: InterceptorRef {
            name: kind.to_owned(),
            kind: "ClusterInterceptor".to_owned(),
            api_version: String::new(),
        },
        params: params
            .iter()
            .map(|(name, value)| InterceptorParam { name: (*name).to_owned(), value: value.clone() })
            .collect(),
        webhook: None,
    }
}
