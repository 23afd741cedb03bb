//! What an Organization needs from outside: a way in, and a webhook secret; and what is left of another way in before.

use aphex_api::organization::Organization;
use aphex_runtime::errors;
use kube::{Api, ResourceExt as _};

use super::validate::Valid;
use crate::context::Context;
use crate::outcome::{StepError, Waiting};
use crate::tunnels::{Claim, Connectors, Exposure, Path, TunnelError};
use crate::webhook_secret;

pub(super) async fn provision(context: &Context, valid: Valid) -> Result<Valid, StepError> {
    let (stored, host) = (valid.stored.as_ref(), valid.host.as_deref());
    let claim = valid.identity.claim(&valid.name, stored, host, valid.connectors);
    let exposed = context.tunnels.expose(claim).await;
    if may_have_made(&exposed) {
        still_there(context, claim).await?;
    }
    let exposure = exposed.map_err(StepError::Tunnel)?;
    let former = match exposure.path {
        Path::Tunnel(_) => None,
        _ => left(context, claim).await,
    };
    let (kept, request) = (valid.webhook_secret.clone(), valid.rotation.as_ref());
    let (kept, turn) = webhook_secret::turn(kept, request, context.clock.now()).map_err(StepError::Random)?;
    Ok(Valid { exposure: Some(exposure), former, webhook_secret: Some(kept), turn, ..valid })
}

/// Whether anything may have been made outside; where there is no answer, nobody knows.
fn may_have_made(exposed: &Result<Exposure, TunnelError>) -> bool {
    match exposed {
        Ok(exposure) => matches!(&exposure.path, Path::Tunnel(tunnel) if tunnel.made),
        Err(TunnelError::Provider(_)) => true,
        Err(TunnelError::Taken(_)) => false,
    }
}

/// Looks whether the organization is still there, and takes back what was made outside for one that is not.
///
/// No transaction covers the engine and what is outside. A process that was stopped right before it made something goes on
/// when another one may have deleted the organization, which then looked for leftovers too early. Who looks after making
/// sees that; who deletes after this look finds what was made.
async fn still_there(context: &Context, claim: Claim<'_>) -> Result<(), StepError> {
    let name = claim.organization.as_str();
    let organizations: Api<Organization> =
        Api::namespaced(context.client.clone(), &context.settings.platform_namespace);
    let read = |source| StepError::read(format!("Organization {name}"), source);
    let found = organizations.get_opt(name).await.map_err(read)?;
    let (is_it, goes) = found.map_or((false, true), |found| {
        (found.uid().as_deref() == Some(claim.uid), found.metadata.deletion_timestamp.is_some())
    });
    if is_it && !goes {
        return Ok(());
    }
    // Another one of the name finds it by that, and takes it over.
    if goes {
        tracing::warn!(
            organization.name = name,
            "it was deleted meanwhile; what was made for it is taken back"
        );
        context.tunnels.disown(claim).await.map_err(StepError::Tunnel)?;
    }
    Err(StepError::Gone)
}

/// Takes back a tunnel that another way in has taken the place of; tells what is left of it.
///
/// A provider that does not answer is no reason to fail: the organization is reached without it.
async fn left(context: &Context, claim: Claim<'_>) -> Option<String> {
    claim.stored?;
    match take_back(context, claim).await {
        Ok(left) => left.map(|waiting| waiting.to_string()),
        Err(error) => {
            let error = errors::chain(&error);
            tracing::warn!(organization.name = %claim.organization, error, "the tunnel of the exposure before stays for now");
            Some(format!("The tunnel of the exposure before cannot be taken back yet: {error}"))
        }
    }
}

/// The public name first, then the connectors, which this pass prunes, then the tunnel.
async fn take_back(context: &Context, claim: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
    if let Some(waiting) = context.tunnels.unpublish(claim).await? {
        return Ok(Some(waiting));
    }
    if claim.connectors != Connectors::None {
        let (namespace, name) = (claim.organization.namespace(), claim.organization.tunnel_connector());
        return Ok(Some(Waiting(format!("Waiting for Deployment {namespace}/{name} to be deleted"))));
    }
    context.tunnels.withdraw(claim).await
}
