//! Where organizations are reachable, or would be, without making them so; what that would take at Cloudflare is noted.
//!
//! Cloudflare is not asked: what there is follows from what the engine holds.

use std::collections::BTreeMap;

use aphex_api::organization::Organization;
use async_trait::async_trait;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::change::Action;
use super::outside::{Noted, OutsideKind};
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
    noted: Noted,
}

/// What is not known before the tunnel is there.
const LATER: &str = "known-after-apply";

impl Planned {
    pub(super) async fn read(client: &Client, settings: &Settings, noted: Noted) -> Result<Self, StepError> {
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
        Ok(Self { known, others, way: settings.exposure.way.clone(), noted })
    }
}

#[async_trait]
impl Tunnels for Planned {
    async fn expose(&self, claim: Claim<'_>) -> Result<Exposure, TunnelError> {
        match (claim.stored, &self.way) {
            (stored, Way::Tunnel(domain)) => {
                let host = claim.organization.host(domain);
                self.note_tunnel(&claim, &host);
                Ok(tunnel(host, stored.cloned().unwrap_or_else(unknown)))
            }
            (_, Way::Ingress(domain)) => ThroughIngress::new(domain).expose(claim).await,
            (_, Way::Direct) => match self.known.get(claim.organization.as_str()) {
                Some(url) => Ok(Exposure { webhook_url: url.clone(), path: Path::Direct }),
                None => self.others.expose(claim).await,
            },
        }
    }

    async fn unpublish(&self, claim: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        if let Some(host) = claim.host {
            self.note(&claim, OutsideKind::CloudflareRecord, host.to_owned(), Action::Prune);
        }
        Ok(None)
    }

    async fn withdraw(&self, claim: Claim<'_>) -> Result<Option<Waiting>, TunnelError> {
        self.note(&claim, OutsideKind::CloudflareTunnel, claim.organization.tunnel(), Action::Prune);
        Ok(None)
    }

    async fn disown(&self, _: Claim<'_>) -> Result<(), TunnelError> {
        Ok(())
    }
}

impl Planned {
    fn note(&self, claim: &Claim<'_>, kind: OutsideKind, name: String, action: Action) {
        self.noted.note(claim.organization.as_str(), kind, name, action);
    }

    /// Notes what has to be made so that a host name leads to the organization's tunnel.
    fn note_tunnel(&self, claim: &Claim<'_>, host: &str) {
        use OutsideKind::{CloudflareRecord, CloudflareTunnel};
        if claim.stored.is_none_or(|stored| stored.tunnel == LATER) {
            self.note(claim, CloudflareTunnel, claim.organization.tunnel(), Action::Create);
            self.note(claim, CloudflareRecord, host.to_owned(), Action::Create);
        } else if let Some(former) = claim.host.filter(|former| *former != host) {
            self.note(claim, CloudflareRecord, host.to_owned(), Action::Create);
            self.note(claim, CloudflareRecord, former.to_owned(), Action::Prune);
        }
    }
}

fn tunnel(host: String, credentials: Credentials) -> Exposure {
    let webhook_url = format!("https://{host}");
    Exposure {
        webhook_url,
        path: Path::Tunnel(Tunnel { host, credentials, record: Record::Written, made: false }),
    }
}

/// What a tunnel that does not exist yet would have.
fn unknown() -> Credentials {
    Credentials { account: LATER.to_owned(), tunnel: LATER.to_owned(), secret: Sensitive::new(LATER) }
}
