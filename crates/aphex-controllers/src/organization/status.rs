//! The status of an Organization: conditions from what was seen, phase and message from the conditions.

use aphex_api::conditions::{self, Finding, Reason, State};
use aphex_api::foreign::external_secrets::ClusterSecretStore;
use aphex_api::foreign::triggers::{EventListener, TriggerBinding};
use aphex_api::names::OrgName;
use aphex_api::organization::{Organization, OrganizationPhase, OrganizationStatus, condition};
use aphex_api::webhook_secret::SecretRotation;
use aphex_runtime::errors;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::ResourceExt as _;

use super::Organizations;
use super::desired::{ADMIN_ROLE, LISTENER, LISTENER_ACCOUNT, PUSH_BINDING, SECRET_READER, WEBHOOK_SECRET};
use super::observe::Observed;
use super::validate::Valid;
use crate::driver::Pass;
use crate::outcome::Outcome;
use crate::tunnels::{Path, Record};
use crate::webhook_secret::Kept;

pub(super) fn status(pass: &Pass<'_, Organizations>) -> OrganizationStatus {
    let old = pass.object.status.clone().unwrap_or_default();
    let generation = pass.object.metadata.generation;
    let (state, reason, message) = verdict(pass.outcome);
    let mut findings = match (pass.observed, pass.object.name_any().parse::<OrgName>()) {
        (Some(observed), Ok(name)) => seen(observed, &name, state, reason, &message),
        _ => Vec::new(),
    };
    if let Some(observed) = pass.observed {
        findings.push(webhook(pass.valid, observed, state, reason, &message));
    }
    findings.push(finding(condition::READY, state, reason, &message));
    findings.extend(pass.observed.and_then(|observed| observed.inventory.foreign_finding()));
    let former = pass.valid.and_then(|valid| valid.former.as_deref());
    findings.extend(
        former.map(|left| finding(condition::FORMER_EXPOSURE, State::True, Reason::TakingBack, left)),
    );
    let phase = match state {
        State::True => OrganizationPhase::Active,
        State::False => OrganizationPhase::Failed,
        State::Unknown => OrganizationPhase::Pending,
    };
    OrganizationStatus {
        phase,
        message,
        // Without a look at the engine the facts of the last look stand.
        namespace: pass.observed.map_or(old.namespace, observed_namespace),
        webhook_url: match pass.valid.and_then(|valid| valid.exposure.as_ref()) {
            Some(exposure) => Some(exposure.webhook_url.clone()),
            None if matches!(pass.outcome, Outcome::Rejected(_)) => None,
            None => old.webhook_url,
        },
        webhook_secret_rotation: match pass.observed {
            Some(observed) => rotation(observed, pass.object),
            None => old.webhook_secret_rotation,
        },
        observed_generation: generation,
        conditions: conditions::merge(&old.conditions, findings, generation, pass.now),
    }
}

/// Condition WebhookReady: True when nothing between a sender and the gateway is missing, else what Ready says.
fn webhook(
    valid: Option<&Valid>,
    observed: &Observed,
    state: State,
    reason: Reason,
    message: &str,
) -> Finding {
    let exposure = valid.and_then(|valid| Some((valid, valid.exposure.as_ref()?)));
    match exposure {
        Some((valid, exposure)) => match unreachable(valid, observed) {
            Some(waiting) => finding(condition::WEBHOOK, State::Unknown, Reason::Provisioning, &waiting),
            None if exposure.path == Path::Direct => {
                finding(condition::WEBHOOK, State::True, Reason::LocalExposure, &exposure.webhook_url)
            }
            None => finding(condition::WEBHOOK, State::True, Reason::Provisioned, &exposure.webhook_url),
        },
        None => finding(condition::WEBHOOK, state, reason, message),
    }
}

/// What is missing between a sender and the gateway, in a sentence.
pub(super) fn unreachable(valid: &Valid, observed: &Observed) -> Option<String> {
    let Path::Tunnel(tunnel) = &valid.exposure.as_ref()?.path else { return None };
    if let Record::Pending(message) = &tunnel.record {
        return Some(message.clone());
    }
    let (namespace, name) = (valid.name.namespace(), valid.name.tunnel_connector());
    let connector = observed.inventory.typed::<Deployment>(Some(&namespace), &name);
    let conditions = connector.and_then(|connector| connector.status?.conditions).unwrap_or_default();
    let available = conditions.iter().any(|c| c.type_ == "Available" && c.status == "True");
    (!available).then(|| format!("Waiting for Deployment {namespace}/{name} to become available"))
}

/// Condition Ready, and the sentence for people.
pub(crate) fn verdict(outcome: &Outcome) -> (State, Reason, String) {
    match outcome {
        Outcome::Applied => {
            (State::True, Reason::Provisioned, "Organization provisioned successfully".to_owned())
        }
        Outcome::Unsettled(waiting) => (State::Unknown, Reason::Provisioning, waiting.to_string()),
        Outcome::Waiting(waiting) => (State::Unknown, Reason::WaitingFor, waiting.to_string()),
        Outcome::Rejected(rejection) => (State::False, rejection.reason, rejection.message.clone()),
        Outcome::Deleting(waiting) => (State::Unknown, Reason::Deleting, waiting.to_string()),
        Outcome::Failed(error) => (State::False, Reason::ProvisioningFailed, errors::chain(error)),
    }
}

/// One condition for each group of objects: True when all of it was seen, else what Ready says.
fn seen(observed: &Observed, name: &OrgName, state: State, reason: Reason, message: &str) -> Vec<Finding> {
    let inventory = &observed.inventory;
    let namespace = name.namespace();
    let within = Some(namespace.as_str());
    let namespaced = inventory.has::<Namespace>(None, &namespace)
        && inventory.has::<NetworkPolicy>(within, "default-deny-ingress");
    let roles =
        [SECRET_READER, LISTENER_ACCOUNT, ADMIN_ROLE].iter().all(|role| inventory.has::<Role>(within, role));
    let accounts = [SECRET_READER, LISTENER_ACCOUNT].iter().all(|name| {
        inventory.has::<ServiceAccount>(within, name) && inventory.has::<RoleBinding>(within, name)
    });
    let cluster = inventory.has::<ClusterRole>(None, &name.listener_cluster_role())
        && inventory.has::<ClusterRoleBinding>(None, &name.listener_cluster_role());
    let listener = inventory.has::<EventListener>(within, LISTENER)
        && inventory.has::<TriggerBinding>(within, PUSH_BINDING);
    let groups = [
        (condition::NAMESPACE, namespaced),
        (condition::RBAC, roles && accounts && cluster),
        (condition::SECRET_STORE, inventory.has::<ClusterSecretStore>(None, &name.secret_store())),
        (condition::EVENT_LISTENER, listener),
    ];
    let group = |(condition, seen)| match (seen, state) {
        (true, _) => finding(condition, State::True, Reason::Provisioned, ""),
        // Everything was applied, so what is missing went away meanwhile; the next pass brings it back.
        (false, State::True) => finding(condition, State::Unknown, Reason::Provisioning, "Not seen yet"),
        (false, state) => finding(condition, state, reason, message),
    };
    groups.into_iter().map(group).collect()
}

fn rotation(observed: &Observed, object: &Organization) -> Option<SecretRotation> {
    let name = object.name_any().parse::<OrgName>().ok()?;
    let secret: Secret = observed.inventory.typed(Some(&name.namespace()), WEBHOOK_SECRET)?;
    Kept::read(&secret)?.rotation()
}

fn observed_namespace(observed: &Observed) -> Option<String> {
    observed.inventory.keys().find(|key| key.kind.is_namespace()).map(|key| key.name.clone())
}

fn finding(condition: &'static str, state: State, reason: Reason, message: &str) -> Finding {
    Finding { condition, state, reason, message: message.to_owned() }
}
