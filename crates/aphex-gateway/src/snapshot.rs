//! An in-memory view of listeners, triggers, bindings and templates, fed by watches.
//!
//! Reading it never waits. It holds no secrets: those are fetched by name, see [`crate::secrets`].

mod shelf;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use aphex_api::foreign::triggers::{
    ClientConfig, ClusterInterceptor, ClusterTriggerBinding, EventListener, Interceptor, InterceptorStatus,
    Param, Trigger, TriggerBinding, TriggerTemplate,
};
use aphex_runtime::watches::Pauses;
use aphex_runtime::{Shutdown, errors};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;

use crate::bindings::Bindings;
use crate::interceptors::outside::{Endpoint, Interceptors};
use crate::problems::Checked;
use crate::report::Reporter;
use crate::select::Triggers;
use shelf::{Shelf, shelf};

/// How long somebody waits for a watch that was interrupted: GitHub waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The watches ended before they had everything, because the process is stopping.
#[derive(Debug, Error)]
#[error("stopped before the watches on {0} had listed everything")]
pub struct NotSynced(&'static str);

/// The view; cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    listeners: Shelf<EventListener>,
    triggers: Shelf<Trigger>,
    bindings: Shelf<TriggerBinding>,
    cluster_bindings: Shelf<ClusterTriggerBinding>,
    templates: Shelf<TriggerTemplate>,
    cluster_interceptors: Shelf<ClusterInterceptor>,
    interceptors: Shelf<Interceptor>,
}

impl Snapshot {
    /// Starts the watches; they end at shutdown.
    pub fn watch(client: &Client, reporter: &Reporter, shutdown: &Shutdown) -> Self {
        Self {
            listeners: store(client, reporter, shutdown),
            triggers: store(client, reporter, shutdown),
            bindings: store(client, reporter, shutdown),
            cluster_bindings: store(client, reporter, shutdown),
            templates: store(client, reporter, shutdown),
            cluster_interceptors: store(client, reporter, shutdown),
            interceptors: store(client, reporter, shutdown),
        }
    }

    /// Waits until every watch has listed what is there.
    pub async fn synced(&self) -> Result<(), NotSynced> {
        let lists = [
            ("eventlisteners", self.listeners.listed().await),
            ("triggers", self.triggers.listed().await),
            ("triggerbindings", self.bindings.listed().await),
            ("clustertriggerbindings", self.cluster_bindings.listed().await),
            ("triggertemplates", self.templates.listed().await),
            ("clusterinterceptors", self.cluster_interceptors.listed().await),
            ("interceptors", self.interceptors.listed().await),
        ];
        lists.iter().find(|(_, listed)| !listed).map_or(Ok(()), |(kind, _)| Err(NotSynced(kind)))
    }

    /// Waits until no watch is known to lack something, two seconds at most; whether it is worth to look again.
    ///
    /// For those who found nothing and would refuse somebody for it. Returns at once, and false, where all watches hold.
    pub async fn caught_up(&self) -> bool {
        let waits = [
            self.listeners.behind(),
            self.triggers.behind(),
            self.bindings.behind(),
            self.cluster_bindings.behind(),
            self.templates.behind(),
            self.cluster_interceptors.behind(),
            self.interceptors.behind(),
        ];
        let waits: Vec<_> = waits.into_iter().flatten().collect();
        if waits.is_empty() {
            return false;
        }
        // Over or not: what has come meanwhile counts.
        let _ = tokio::time::timeout(PATIENCE, futures::future::join_all(waits)).await;
        true
    }

    /// A view of exactly these objects, which never changes.
    pub fn of(objects: Objects) -> Self {
        Self {
            listeners: fixed(objects.listeners),
            triggers: fixed(objects.triggers),
            bindings: fixed(objects.bindings),
            cluster_bindings: fixed(objects.cluster_bindings),
            templates: fixed(objects.templates),
            cluster_interceptors: fixed(objects.cluster_interceptors),
            interceptors: fixed(objects.interceptors),
        }
    }

    /// One listener.
    pub fn listener(&self, namespace: &str, name: &str) -> Option<Arc<EventListener>> {
        self.listeners.get(namespace, name)
    }

    /// The listeners of a namespace, by name.
    pub fn listeners(&self, namespace: &str) -> Vec<Arc<EventListener>> {
        self.listeners.within(namespace)
    }

    /// The listeners of all namespaces.
    pub fn every_listener(&self) -> Vec<Arc<EventListener>> {
        self.listeners.all()
    }

    /// One template.
    pub fn template(&self, namespace: &str, name: &str) -> Option<Arc<TriggerTemplate>> {
        self.templates.get(namespace, name)
    }

    /// The binding objects that a trigger of this namespace may refer to.
    pub fn bindings<'a>(&'a self, namespace: &'a str) -> impl Bindings + 'a {
        Within { snapshot: self, namespace }
    }
}

/// Objects for a view that never changes.
#[derive(Debug, Default)]
pub struct Objects {
    /// EventListeners.
    pub listeners: Vec<EventListener>,
    /// Triggers.
    pub triggers: Vec<Trigger>,
    /// TriggerBindings.
    pub bindings: Vec<TriggerBinding>,
    /// ClusterTriggerBindings.
    pub cluster_bindings: Vec<ClusterTriggerBinding>,
    /// TriggerTemplates.
    pub templates: Vec<TriggerTemplate>,
    /// ClusterInterceptors.
    pub cluster_interceptors: Vec<ClusterInterceptor>,
    /// Interceptors.
    pub interceptors: Vec<Interceptor>,
}

impl Triggers for Snapshot {
    fn triggers(&self, namespace: Option<&str>) -> Vec<Arc<Trigger>> {
        namespace.map_or_else(|| self.triggers.all(), |namespace| self.triggers.within(namespace))
    }

    fn trigger(&self, namespace: &str, name: &str) -> Option<Arc<Trigger>> {
        self.triggers.get(namespace, name)
    }
}

impl Interceptors for Snapshot {
    fn cluster_interceptor(&self, name: &str) -> Option<Result<Endpoint, String>> {
        let found = self.cluster_interceptors.get("", name)?;
        Some(endpoint(&found.spec.client_config, found.status.as_ref()))
    }

    fn interceptor(&self, namespace: &str, name: &str) -> Option<Result<Endpoint, String>> {
        let found = self.interceptors.get(namespace, name)?;
        Some(endpoint(&found.spec.client_config, found.status.as_ref()))
    }
}

/// `ResolveAddress` of Tekton's interceptors: the address in the status first, then that of the spec, then its Service.
pub(crate) fn endpoint(
    config: &ClientConfig,
    status: Option<&InterceptorStatus>,
) -> Result<Endpoint, String> {
    let ca_bundle = match config.ca_bundle.as_deref().filter(|bundle| !bundle.is_empty()) {
        None => None,
        Some(bundle) => {
            let bytes = STANDARD.decode(bundle).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            Some(bytes.ok_or("has a clientConfig.caBundle that is not PEM in base64")?)
        }
    };
    let told = status.and_then(|status| status.address.as_ref()?.url.clone());
    if let Some(url) = told.or_else(|| config.url.clone()).filter(|url| !url.is_empty()) {
        return Ok(Endpoint { url, ca_bundle });
    }
    let service = config.service.as_ref().ok_or("has neither clientConfig.url nor clientConfig.service")?;
    let (scheme, usual) = if ca_bundle.is_some() { ("https", 8443) } else { ("http", 80) };
    let port = service.port.unwrap_or(usual);
    let path = service.path.trim_start_matches('/');
    let url = format!("{scheme}://{}.{}.svc:{port}/{path}", service.name, service.namespace);
    Ok(Endpoint { url, ca_bundle })
}

struct Within<'a> {
    snapshot: &'a Snapshot,
    namespace: &'a str,
}

impl Bindings for Within<'_> {
    fn binding(&self, name: &str) -> Option<Vec<Param>> {
        let found = self.snapshot.bindings.get(self.namespace, name);
        found.map(|binding| binding.spec.params.clone())
    }

    fn cluster_binding(&self, name: &str) -> Option<Vec<Param>> {
        self.snapshot.cluster_bindings.get("", name).map(|binding| binding.spec.params.clone())
    }
}

/// Objects that a watch keeps current.
///
/// Objects are read one by one: one that cannot be read is left out and reported, and harms no other.
fn store<K>(client: &Client, reporter: &Reporter, shutdown: &Shutdown) -> Shelf<K>
where
    K: Resource<DynamicType = ()> + Checked + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (reader, mut writer) = shelf();
    let (stop, reporter) = (shutdown.token(), reporter.clone());
    let types = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &types);
    let events = watcher(api, watcher::Config::default())
        .backoff(Pauses::default())
        .take_until(stop.cancelled_owned());
    shutdown.spawn(async move {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            use watcher::Event;
            match event {
                Ok(Event::Init) => writer.apply(Event::Init),
                Ok(Event::InitDone) => writer.apply(Event::InitDone),
                Ok(Event::InitApply(object)) => {
                    if let Ok(read) = read::<K>(object, &types, &reporter) {
                        writer.apply(Event::InitApply(read));
                    }
                }
                Ok(Event::Apply(object)) => match read::<K>(object, &types, &reporter) {
                    Ok(read) => writer.apply(Event::Apply(read)),
                    // What it was before counts no more.
                    Err(Some(husk)) => writer.apply(Event::Delete(husk)),
                    Err(None) => {}
                },
                Ok(Event::Delete(object)) => {
                    if let Some(husk) = husk(&object.name_any(), object.namespace().as_deref()) {
                        writer.apply(Event::Delete(husk));
                    }
                }
                Err(error) => {
                    let (kind, error) = (&types.kind, aphex_runtime::errors::chain(&error));
                    tracing::warn!(kind = %kind, error = %error, "watch interrupted; resuming");
                    writer.interrupted();
                }
            }
        }
    });
    reader
}

/// The object as its own type, with what is wrong with it reported; else as much of it as has its name.
fn read<K>(mut object: DynamicObject, types: &ApiResource, reporter: &Reporter) -> Result<K, Option<K>>
where
    K: Resource<DynamicType = ()> + Checked + Clone + DeserializeOwned + Send + 'static,
{
    object.metadata.managed_fields = None;
    let reference = object.object_ref(types);
    let (name, namespace) = (object.name_any(), object.namespace());
    let read = object.try_parse::<K>();
    match &read {
        Ok(read) => {
            let read = read.clone();
            reporter.look(reference, move || read.problems());
        }
        Err(error) => {
            let problem = format!("it cannot be read, and counts as not there: {}", errors::chain(error));
            reporter.look(reference, || vec![problem]);
        }
    }
    read.map_err(|_| husk(&name, namespace.as_deref()))
}

/// An object of the same name and nothing else.
fn husk<K: DeserializeOwned>(name: &str, namespace: Option<&str>) -> Option<K> {
    serde_json::from_value(json!({ "metadata": { "name": name, "namespace": namespace }, "spec": {} })).ok()
}

/// Exactly these objects.
fn fixed<K>(objects: Vec<K>) -> Shelf<K>
where
    K: Resource,
{
    let (reader, mut writer) = shelf();
    writer.apply(watcher::Event::Init);
    for object in objects {
        writer.apply(watcher::Event::InitApply(object));
    }
    writer.apply(watcher::Event::InitDone);
    reader
}
