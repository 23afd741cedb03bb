//! What the steps are given: handles in [`Context`], plain values in [`Settings`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aphex_runtime::{Clock, Metrics};
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};

use crate::catalog::{Catalog, CatalogError};
use crate::knowledge_base::Tracker;
use crate::metrics::ControllerMetrics;
use crate::tunnels::Tunnels;

/// Plain values; the only thing that pure steps may see besides their input.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of our own objects, and of the controllers and the gateway.
    pub platform_namespace: String,
    /// Namespace of Argo CD.
    pub argocd_namespace: String,
    /// Address of the Kubernetes API as pods see it: where AppProjects may deploy to.
    pub cluster_url: String,
    /// The gateway's own address, without a slash at the end.
    pub gateway_url: String,
    /// How webhooks of standalone tenants come in.
    pub ingress: IngressSettings,
    /// How repositories of KnowledgeBases are looked at.
    pub git: GitSettings,
    /// Dispatcher templates.
    pub catalog: Catalog,
}

/// How repositories of KnowledgeBases are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSettings {
    /// Whom the platform asks.
    pub policy: aphex_git::Policy,
    /// Between two looks at a repository.
    pub interval: Duration,
}

impl Default for GitSettings {
    fn default() -> Self {
        let policy = aphex_git::Policy { hosts: Some(vec!["github.com".to_owned()]), allow_private: false };
        Self { policy, interval: Duration::from_mins(5) }
    }
}

/// How webhooks of standalone tenants come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressSettings {
    /// Host name for tenants that name none; without one they have no Ingress.
    pub host: Option<String>,
    /// Class of Ingresses, where it is not the cluster's default.
    pub class: Option<String>,
    /// The gateway's Service as a name that the cluster's DNS resolves, to the end.
    pub gateway_service: String,
}

impl Default for IngressSettings {
    fn default() -> Self {
        let gateway_service = "aphex-gateway.platform-system.svc.cluster.local".to_owned();
        Self { host: None, class: None, gateway_service }
    }
}

impl Settings {
    /// The settings of a platform whose gateway answers at an address.
    ///
    /// Fails only when a template compiled into the program does not parse.
    pub fn new(gateway_url: &str) -> Result<Self, CatalogError> {
        Ok(Self {
            platform_namespace: "platform-system".to_owned(),
            argocd_namespace: "argocd".to_owned(),
            cluster_url: "https://kubernetes.default.svc".to_owned(),
            gateway_url: gateway_url.trim_end_matches('/').to_owned(),
            ingress: IngressSettings::default(),
            git: GitSettings::default(),
            catalog: Catalog::builtin()?,
        })
    }
}

/// Handles: the engine, the outside world, the clock.
pub struct Context {
    /// The engine.
    pub client: Client,
    /// Plain values.
    pub settings: Settings,
    /// The clock.
    pub clock: Clock,
    /// Where organizations become reachable.
    pub tunnels: Arc<dyn Tunnels>,
    /// Asks git servers.
    pub tracker: Tracker,
    /// Writes Events on our objects.
    pub recorder: Recorder,
    /// Counts passes.
    pub metrics: ControllerMetrics,
    failures: Mutex<HashMap<String, u32>>,
}

impl Context {
    /// Everything the controllers use.
    #[must_use]
    pub fn new(
        client: Client,
        settings: Settings,
        clock: Clock,
        tunnels: Arc<dyn Tunnels>,
        metrics: &Metrics,
    ) -> Self {
        let reporter = Reporter { controller: "aphex-controller".to_owned(), instance: None };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            metrics: ControllerMetrics::register(metrics),
            failures: Mutex::default(),
            tracker: Tracker::new(&settings.git),
            client,
            settings,
            clock,
            tunnels,
        }
    }

    /// Counts one more failure in a row of an object, and tells how many there were before.
    pub(crate) fn count_failure(&self, object: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(object.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count - 1
    }

    /// Forgets an object's failures.
    pub(crate) fn clear_failures(&self, object: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}
