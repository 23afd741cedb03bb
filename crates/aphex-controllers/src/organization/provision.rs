//! What an Organization needs from outside: a way in, and a webhook secret; and what is left of another way in before.

use aphex_runtime::errors;

use super::validate::Valid;
use crate::context::Context;
use crate::outcome::{StepError, Waiting};
use crate::tunnels::{Claim, Connectors, Path, TunnelError};
use crate::webhook_secret;

pub(super) async fn provision(context: &Context, valid: Valid) -> Result<Valid, StepError> {
    let (stored, host) = (valid.stored.as_ref(), valid.host.as_deref());
    let claim = valid.identity.claim(&valid.name, stored, host, valid.connectors);
    let exposure = context.tunnels.expose(claim).await.map_err(StepError::Tunnel)?;
    let former = match exposure.path {
        Path::Tunnel(_) => None,
        _ => left(context, claim).await,
    };
    let (kept, request) = (valid.webhook_secret.clone(), valid.rotation.as_ref());
    let (kept, turn) = webhook_secret::turn(kept, request, context.clock.now()).map_err(StepError::Random)?;
    Ok(Valid { exposure: Some(exposure), former, webhook_secret: Some(kept), turn, ..valid })
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
