//! Which kinds the server has right now: discovery, repeated when custom kinds come and go.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::ApiResource;
use kube::discovery::{Discovery, Scope, verbs};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often discovery is asked again even when nothing seems to have changed.
const RESYNC: Duration = Duration::from_mins(1);
/// How long to wait after a change for more of them, so that ten new CRDs cost one discovery.
const SETTLE: Duration = Duration::from_millis(50);

/// One kind that can be listed and deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// Group, version, kind and plural.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether `deletecollection` is served.
    pub delete_collection: bool,
}

impl Kind {
    /// Metadata of all objects of the kind, or of those in one namespace.
    pub fn metadata(
        &self,
        client: &Client,
        namespace: Option<&str>,
    ) -> Api<PartialObjectMeta<DynamicObject>> {
        match namespace {
            Some(namespace) if self.namespaced => {
                Api::namespaced_with(client.clone(), namespace, &self.resource)
            }
            _ => Api::all_with(client.clone(), &self.resource),
        }
    }
}

/// The kinds, kept up to date; cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    client: Client,
    kinds: Arc<watch::Sender<Vec<Kind>>>,
}

impl Catalog {
    /// An empty catalog; [`Catalog::keep_fresh`] fills it.
    pub fn new(client: Client) -> Self {
        Self { client, kinds: Arc::new(watch::Sender::new(Vec::new())) }
    }

    /// The kinds as last seen, and news of changes.
    pub fn subscribe(&self) -> watch::Receiver<Vec<Kind>> {
        self.kinds.subscribe()
    }

    /// The kind of that group and name, whatever version it is asked for in.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<Kind> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        self.kinds.borrow().iter().find(|k| k.resource.group == group && k.resource.kind == kind).cloned()
    }

    /// Asks discovery once and publishes what changed.
    pub async fn refresh(&self) -> Result<(), kube::Error> {
        let discovery = Discovery::new(self.client.clone()).run_aggregated().await?;
        let mut found: Vec<Kind> = discovery
            .groups()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
            .filter(|(_, can)| {
                [verbs::LIST, verbs::WATCH, verbs::DELETE].iter().all(|verb| can.supports_operation(verb))
            })
            .map(|(resource, can)| Kind {
                resource,
                namespaced: can.scope == Scope::Namespaced,
                delete_collection: can.supports_operation(verbs::DELETE_COLLECTION),
            })
            .collect();
        found.sort_by(|a, b| {
            (&a.resource.group, &a.resource.kind).cmp(&(&b.resource.group, &b.resource.kind))
        });
        self.kinds.send_if_modified(|known| {
            let changed = *known != found;
            if changed {
                *known = found;
            }
            changed
        });
        Ok(())
    }

    /// Refreshes on every change of a CRD and once a minute.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(self.client.clone());
        let mut changes = std::pin::pin!(watcher(definitions, watcher::Config::default()).default_backoff());
        loop {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "discovery failed; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            tokio::select! {
                _ = changes.next() => {
                    while tokio::time::timeout(SETTLE, changes.next()).await.is_ok_and(|next| next.is_some()) {}
                }
                () = tokio::time::sleep(RESYNC) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
