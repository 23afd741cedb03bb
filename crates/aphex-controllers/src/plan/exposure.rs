//! Where organizations are reachable, or would be, without making them so.

use std::collections::BTreeMap;

use aphex_api::organization::Organization;
use async_trait::async_trait;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::context::{Settings, Way};
use crate::outcome::{StepError, Waiting};
use crate::sensitive::Sensitive;
use crate::tunnels::{
    Claim, Credentials, Exposure, Local, Path, Record, ThroughIngress, Tunnel, TunnelError, Tunnels,
};

/// Repeats what organizations say of themselves; others would be reached as they are.
pub(super) struct Planned {
    known: BTreeMap<String, String>,
    others: Local,
    way: Way,
}

impl Planned {
    pub(super) async fn read(client: &Client, settings: &Settings) -> Result<Self, StepError> {
        let api: Api<Organization> = Api::namespaced(client.clone(), &settings.platform_namespace);
        let list = match api.list(&ListParams::default()).await {
            Ok(list) => list.items,
            // Without the kind there are none.
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(source) => return Err(StepError::read("Organizations", source)),
        };
        let url = |organization: &Organization| organization.status.as_ref()?.webhook_url.clone();
        let known: BTreeMap<String, String> =
            list.iter().filter_map(|found| Some((found.name_any(), url(found)?))).collect();
        let base = known.iter().find_map(|(name, url)| url.strip_suffix(&format!("/{name}")));
        let others = Local::new(base.unwrap_or(&settings.gateway_url));
        Ok(Self { known, others, way: settings.exposure.way.clone() })
    }
}

#[async_trait]
impl Tunnels for Planned {
    async fn expose(&self, claim: Claim<'_>) -> Result<Exposure, TunnelError> {
        match (claim.stored, &self.way) {
            (Some(stored), Way::Tunnel(domain)) => {
                Ok(tunnel(claim.organization.host(domain), stored.clone()))
            }
            (None, Way::Tunnel(domain)) => Ok(tunnel(claim.organization.host(domain), unknown())),
            (_, Way::Ingress(domain)) => ThroughIngress::new(domain).expose(claim).await,
            (_, Way::Direct) => match self.known.get(claim.organization.as_str()) {
                Some(url) => Ok(Exposure { webhook_url: url.clone(), path: Path::Direct }),
                None => self.others.expose(claim).await,
            },
        }
    }

    async fn unpublish(&self, _: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        Ok(None)
    }

    async fn withdraw(&self, _: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        Ok(None)
    }
}

fn tunnel(host: String, credentials: Credentials) -> Exposure {
    let webhook_url = format!("https://{host}");
    Exposure { webhook_url, path: Path::Tunnel(Tunnel { host, credentials, record: Record::Written }) }
}

/// What a tunnel that does not exist yet would have.
fn unknown() -> Credentials {
    let later = "known-after-apply";
    Credentials { account: later.to_owned(), tunnel: later.to_owned(), secret: Sensitive::new(later) }
}
