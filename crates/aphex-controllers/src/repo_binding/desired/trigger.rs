//! From a push to a run: the webhook secret, the trigger that verifies and filters, the template, the account.
//!
//! All of it is in the organization's namespace, which no tenant can read; a standalone tenant has its own in its own. A Trigger's resources are created as its
//! `serviceAccountName`, an account of the Trigger's own namespace (DefaultAuthOverride in tektoncd/triggers,
//! pkg/sink/auth_override.go); each binding has one, which may create PipelineRuns in the tenant namespace alone.

use aphex_api::foreign::triggers::{
    Binding, InterceptorParam, InterceptorRef, TemplateRef, Trigger, TriggerInterceptor, TriggerSpec,
    TriggerTemplate,
};
use aphex_api::labels;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use serde_json::{Value, json};

use super::shared_metadata;
use crate::organization::PUSH_BINDING;
use crate::repo_binding::pipeline_spec;
use crate::repo_binding::shape::Shape;
use crate::repo_binding::validate::{EVENTS, Valid};
use crate::webhook_secret::KEY;

/// The account the trigger of an organization's listener creates runs as.
pub(super) fn account(valid: &Valid) -> Option<ServiceAccount> {
    valid.organization()?;
    let metadata = shared_metadata(valid, valid.tenant.trigger());
    Some(ServiceAccount { metadata, ..ServiceAccount::default() })
}

pub(super) fn webhook_secret(valid: &Valid) -> Option<Secret> {
    let secret = valid.webhook_secret.as_ref()?;
    Some(Secret {
        metadata: shared_metadata(valid, valid.tenant.webhook_secret()),
        type_: Some("Opaque".to_owned()),
        data: Some([(KEY.to_owned(), ByteString(secret.clone().into_bytes()))].into()),
        ..Secret::default()
    })
}

/// The catalog's template, fitted to the pipeline's workspaces.
pub(super) fn trigger_template(valid: &Valid) -> TriggerTemplate {
    let declared = match &valid.shape {
        Shape::Organization { pipeline, .. } => pipeline_spec::workspaces(pipeline),
        Shape::Standalone { workspaces, .. } => workspaces.clone(),
    };
    let mut metadata = shared_metadata(valid, valid.trigger_template());
    metadata.labels.get_or_insert_default().extend(valid.template.labels.clone());
    metadata.annotations = Some([(labels::TEMPLATE.to_owned(), valid.template.name.clone())].into());
    TriggerTemplate { metadata, spec: valid.template.for_workspaces(&declared) }
}

pub(super) fn trigger(valid: &Valid) -> Option<Trigger> {
    valid.organization()?;
    Some(Trigger { metadata: shared_metadata(valid, valid.tenant.trigger()), spec: spec(valid) })
}

/// What a push has to be, and what becomes of it.
pub(super) fn spec(valid: &Valid) -> TriggerSpec {
    let github = interceptor(
        "github",
        &[
            ("secretRef", json!({ "secretName": valid.tenant.webhook_secret(), "secretKey": KEY })),
            ("eventTypes", json!(EVENTS)),
        ],
    );
    let wanted = interceptor("cel", &[("filter", json!(filter(valid)))]);
    let given = |name: &str, value: String| Binding {
        name: name.to_owned(),
        value: Some(value),
        ..Binding::default()
    };
    let organization = valid.organization().map(ToString::to_string).unwrap_or_default();
    TriggerSpec {
        service_account_name: valid.tenant.trigger(),
        interceptors: vec![github, wanted],
        bindings: vec![
            Binding {
                reference: PUSH_BINDING.to_owned(),
                kind: "TriggerBinding".to_owned(),
                ..Binding::default()
            },
            given("git-url", valid.repository.clone_url()),
            given("repo-full-name", valid.repository.full_name()),
            given("branch", valid.branch.to_string()),
            given("org-name", organization),
            given("pipeline-name", valid.pipeline_name().to_owned()),
            given("pipeline-namespace", valid.tenant.namespace()),
        ],
        template: TemplateRef { reference: Some(valid.trigger_template()), spec: None },
        ..TriggerSpec::default()
    }
}

/// Pushes of a commit to the binding's branch of the binding's repository; GitHub's names ignore case.
fn filter(valid: &Valid) -> String {
    format!(
        "body.repository.full_name.lowerAscii() == {} && body.ref == {} && body.after.matches('^[0-9a-f]{{40}}$') && !body.after.matches('^0*$')",
        cel_string(&valid.repository.full_name().to_ascii_lowercase()),
        cel_string(&valid.branch.git_ref()),
    )
}

/// A string as a CEL literal.
fn cel_string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A reference always names its kind: without Triggers' admission webhook nothing else would.
fn interceptor(name: &str, params: &[(&str, Value)]) -> TriggerInterceptor {
    TriggerInterceptor {
        name: Some(name.to_owned()),
        reference: InterceptorRef {
            name: name.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_branch_name_stays_inside_the_literal() {
        assert_eq!(cel_string("refs/heads/it's"), r"'refs/heads/it\'s'");
        assert_eq!(cel_string(r"a\"), r"'a\\'");
    }
}
