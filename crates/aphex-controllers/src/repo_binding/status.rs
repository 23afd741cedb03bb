//! The status of a RepoBinding: conditions from what was seen, phase and message from the conditions.

use aphex_api::conditions::{self, Finding, Reason, State};
use aphex_api::foreign::argocd::AppProject;
use aphex_api::foreign::tekton::Pipeline;
use aphex_api::foreign::triggers::{EventListener, Trigger, TriggerBinding, TriggerTemplate};
use aphex_api::names::{OrgName, TenantName};
use aphex_api::repo_binding::{
    ProvisionedResources, RepoBindingPhase, RepoBindingStatus, Seen, WebhookConfiguration, condition,
};
use aphex_runtime::errors;
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};

use super::desired::{DISPATCHER, ISOLATION, LIMITS, LISTENER_READER, QUOTA, RUNNER, TERRAFORM, WEBHOOK};
use super::observe::Observed;
use super::options::events;
use super::shape::{self, STANDALONE_PIPELINE};
use super::{RepoBindings, pipeline_spec, tenant};
use crate::driver::Pass;
use crate::organization::{GATEWAY, LISTENER, PUSH_BINDING};
use crate::outcome::Outcome;
use crate::webhook_secret::Kept;

pub(super) fn status(pass: &Pass<'_, RepoBindings>) -> RepoBindingStatus {
    let old = pass.object.status.clone().unwrap_or_default();
    let generation = pass.object.metadata.generation;
    let verdict = Verdict::of(pass);
    let mut status = RepoBindingStatus {
        phase: verdict.phase,
        message: verdict.message.clone(),
        observed_generation: generation,
        ..old.clone()
    };
    // Without a look at the engine the facts of the last look stand.
    if let Some(observed) = pass.observed {
        status.set_provisioned(seen(pass, observed));
        let secret = secret(pass, observed);
        status.set_webhook(secret.as_ref().and_then(|secret| webhook(pass, observed, secret)));
        status.webhook_secret_rotation = secret.and_then(|secret| secret.rotation());
    }
    let findings = findings(&status, pass.observed, &verdict, pass);
    status.conditions = conditions::merge(&old.conditions, findings, generation, pass.now);
    status
}

/// Condition Ready, phase and sentence.
struct Verdict {
    state: State,
    reason: Reason,
    phase: RepoBindingPhase,
    message: String,
}

impl Verdict {
    fn of(pass: &Pass<'_, RepoBindings>) -> Self {
        use RepoBindingPhase::{Failed, Pending, Provisioning, Ready};
        let (state, reason, phase, message) = match pass.outcome {
            Outcome::Applied => {
                let message = format!("All resources provisioned successfully{}", to_do(pass));
                (State::True, Reason::Provisioned, Ready, message)
            }
            Outcome::Unsettled(waiting) => {
                (State::Unknown, Reason::Provisioning, Provisioning, waiting.to_string())
            }
            Outcome::Waiting(waiting) => (State::Unknown, Reason::WaitingFor, Pending, waiting.to_string()),
            Outcome::Rejected(rejection) => {
                (State::False, rejection.reason, Failed, rejection.message.clone())
            }
            Outcome::Deleting(waiting) => (State::Unknown, Reason::Deleting, Pending, waiting.to_string()),
            Outcome::Failed(error) => {
                (State::False, Reason::ProvisioningFailed, Failed, errors::chain(error))
            }
        };
        Self { state, reason, phase, message }
    }
}

/// What is left to a standalone tenant: the Pipeline that pushes start.
fn to_do(pass: &Pass<'_, RepoBindings>) -> String {
    let (Some(valid), Some(observed)) = (pass.valid, pass.observed) else { return String::new() };
    if valid.organization().is_some() {
        return String::new();
    }
    let pipeline = format!("Pipeline {}/{STANDALONE_PIPELINE}", valid.tenant);
    match observed.pipeline.as_ref().map(|pipeline| pipeline_spec::accepts(pipeline, &valid.template)) {
        Some(Ok(())) => String::new(),
        Some(Err(error)) => format!("; its runs will fail until {pipeline} is mended: {error}"),
        None => format!("; pushes start {pipeline}, which is not there yet"),
    }
}

/// The names under which this binding's objects are looked for.
fn names(pass: &Pass<'_, RepoBindings>) -> Option<(TenantName, Option<OrgName>)> {
    let tenant = tenant(&pass.object.spec)?.parse().ok()?;
    Some((tenant, pass.object.spec.aphex_org.as_deref().and_then(|name| name.parse().ok())))
}

fn seen(pass: &Pass<'_, RepoBindings>, observed: &Observed) -> Seen {
    let Some((tenant, organization)) = names(pass) else { return Seen::default() };
    let inventory = &observed.inventory;
    let (own, shared) = (tenant.namespace(), shape::listener_namespace(organization.as_ref(), &tenant));
    let (own, shared) = (Some(own.as_str()), Some(shared.as_str()));
    let granted = |name| inventory.has::<Role>(own, name) && inventory.has::<RoleBinding>(own, name);
    // What only one of the two shapes has.
    let (starter, listener, pipeline) = if organization.is_some() {
        let pipeline = inventory.has::<Pipeline>(own, tenant.as_str())
            && inventory.has::<TriggerTemplate>(shared, &tenant.trigger_template())
            && inventory.has::<Trigger>(shared, &tenant.trigger());
        (granted(DISPATCHER), observed.listens, pipeline)
    } else {
        let template = format!("{STANDALONE_PIPELINE}-trigger-template");
        (
            granted(LISTENER_READER) && inventory.has::<RoleBinding>(own, GATEWAY),
            inventory.has::<EventListener>(own, LISTENER),
            inventory.has::<TriggerTemplate>(own, &template)
                && inventory.has::<TriggerBinding>(own, PUSH_BINDING),
        )
    };
    Seen {
        resources: ProvisionedResources {
            namespace: inventory.has::<Namespace>(None, &tenant.namespace()),
            service_account: inventory.has::<ServiceAccount>(own, RUNNER),
            rbac: granted(RUNNER)
                && starter
                && inventory.has::<ClusterRole>(None, &tenant.cluster_role())
                && inventory.has::<ClusterRoleBinding>(None, &tenant.cluster_role())
                && inventory.has::<AppProject>(Some(&pass.settings.argocd_namespace), &tenant.app_project()),
            resource_quota: inventory.has::<ResourceQuota>(own, QUOTA)
                && inventory.has::<LimitRange>(own, LIMITS),
            network_policy: inventory.has::<NetworkPolicy>(own, ISOLATION),
            event_listener: listener,
            pipeline_resources: pipeline,
        },
        terraform_secret: inventory.has::<Secret>(own, TERRAFORM),
        ingress: inventory.has::<Ingress>(own, WEBHOOK) && inventory.has::<Service>(own, WEBHOOK),
    }
}

/// The webhook secret that is on the engine.
fn secret(pass: &Pass<'_, RepoBindings>, observed: &Observed) -> Option<Kept> {
    let (tenant, organization) = names(pass)?;
    let namespace = shape::listener_namespace(organization.as_ref(), &tenant);
    let secret: Secret = observed.inventory.typed(Some(&namespace), &tenant.webhook_secret())?;
    Kept::read(&secret)
}

/// Address and secret for GitHub.
fn webhook(
    pass: &Pass<'_, RepoBindings>,
    observed: &Observed,
    secret: &Kept,
) -> Option<WebhookConfiguration> {
    let (tenant, organization) = names(pass)?;
    let url = match organization {
        Some(_) => observed.organization.as_ref()?.status.as_ref()?.webhook_url.clone()?,
        None => shape::standalone_url(&pass.object.spec, &tenant, pass.settings),
    };
    let events = events(&pass.object.spec.options).iter().map(|event| event.as_str().to_owned()).collect();
    Some(WebhookConfiguration { url, secret: secret.current.clone(), events })
}

/// One condition for each group of objects: True when all of it was seen, else what Ready says.
fn findings(
    status: &RepoBindingStatus,
    observed: Option<&Observed>,
    verdict: &Verdict,
    pass: &Pass<'_, RepoBindings>,
) -> Vec<Finding> {
    let resources = status.provisioned_resources;
    let finding = |condition, state, reason, message: &str| Finding {
        condition,
        state,
        reason,
        message: message.to_owned(),
    };
    // A host name leads nowhere without its Ingress.
    let way_in = status.ingress_created || shape::ingress_host(&pass.object.spec, pass.settings).is_none();
    let groups = [
        (condition::NAMESPACE, resources.namespace && resources.resource_quota),
        (condition::RBAC, resources.service_account && resources.rbac),
        (condition::NETWORK_POLICY, resources.network_policy),
        (condition::EVENT_LISTENER, resources.event_listener && resources.pipeline_resources),
        (condition::WEBHOOK, status.webhook_configuration.is_some() && way_in),
    ];
    let group = |(condition, seen)| match (seen, verdict.state) {
        (true, _) => finding(condition, State::True, Reason::Provisioned, ""),
        // Everything was applied, so what is missing went away meanwhile; the next pass brings it back.
        (false, State::True) => finding(condition, State::Unknown, Reason::Provisioning, "Not seen yet"),
        (false, state) => finding(condition, state, verdict.reason, &verdict.message),
    };
    let mut findings: Vec<Finding> = match (observed, pass.outcome) {
        // Nothing was looked at, so nothing new is known.
        (None, Outcome::Failed(_) | Outcome::Deleting(_)) => Vec::new(),
        _ => groups.into_iter().map(group).collect(),
    };
    findings.push(finding(condition::READY, verdict.state, verdict.reason, &verdict.message));
    findings.extend(observed.and_then(|observed| observed.inventory.foreign_finding()));
    findings
}

#[cfg(test)]
mod tests;
