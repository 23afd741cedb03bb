//! Where organizations are reachable, or would be, without making them so.

use std::collections::BTreeMap;

use aphex_api::names::OrgName;
use aphex_api::organization::Organization;
use async_trait::async_trait;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::context::Settings;
use crate::outcome::StepError;
use crate::tunnels::{Exposure, Local, Path, TunnelError, Tunnels};

/// Repeats what organizations say of themselves; others would be reached as they are.
pub(super) struct Planned {
    known: BTreeMap<String, String>,
    others: Local,
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
        Ok(Self { known, others })
    }
}

#[async_trait]
impl Tunnels for Planned {
    async fn expose(&self, organization: &OrgName) -> Result<Exposure, TunnelError> {
        match self.known.get(organization.as_str()) {
            Some(url) => Ok(Exposure { webhook_url: url.clone(), path: Path::Direct }),
            None => self.others.expose(organization).await,
        }
    }

    async fn withdraw(&self, _: &OrgName) -> Result<(), TunnelError> {
        Ok(())
    }
}
