//! What the steps are given: handles in [`Context`], plain values in [`Settings`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aphex_api::labels;
use aphex_api::repo_binding::RepoBinding;
use aphex_runtime::{Clock, Metrics, deadline};
use jiff::SignedDuration;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};

use crate::apply::Holdings;
use crate::catalog::{Catalog, CatalogError};
use crate::driver::Known;
use crate::knowledge_base::Tracker;
use crate::metrics::ControllerMetrics;
use crate::organization::Tenants;
use crate::repo_binding::Neighbours;
use crate::tunnels::Tunnels;

/// The image of cloudflared that the platform was made with.
pub const CLOUDFLARED_IMAGE: &str = "cloudflare/cloudflared:2025.11.1";

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
    /// How long a rotated webhook secret's predecessor verifies, where a request does not say.
    pub rotation_grace: SignedDuration,
    /// What makes organizations reachable, where something does.
    pub exposure: ExposureSettings,
    /// How webhooks of standalone tenants come in.
    pub ingress: IngressSettings,
    /// How repositories of KnowledgeBases are looked at.
    pub git: GitSettings,
    /// Dispatcher templates.
    pub catalog: Catalog,
}

/// Plain values for what makes organizations reachable.
#[derive(Clone, Debug)]
pub struct ExposureSettings {
    /// The way.
    pub way: Way,
    /// Image of the tunnels' connectors; pinned, since they are told not to update themselves.
    pub cloudflared_image: String,
    /// Class of Ingress objects, of tenants that stand alone too; the cluster's default when there is none.
    pub ingress_class: Option<String>,
    /// Secret in the platform's namespace with the certificate for Ingress objects; without one, the ingress controller's
    /// own.
    pub ingress_tls_secret: Option<String>,
}

/// The way by which webhooks reach organizations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// The gateway's own address.
    #[default]
    Direct,
    /// An Ingress each, with a name below this domain.
    Ingress(String),
    /// A tunnel each, with a name below this domain.
    Tunnel(String),
}

impl Default for ExposureSettings {
    fn default() -> Self {
        Self {
            way: Way::default(),
            cloudflared_image: CLOUDFLARED_IMAGE.to_owned(),
            ingress_class: None,
            ingress_tls_secret: None,
        }
    }
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
    /// The gateway's Service as a name that the cluster's DNS resolves, to the end.
    pub gateway_service: String,
}

impl Default for IngressSettings {
    fn default() -> Self {
        let gateway_service = "aphex-gateway.platform-system.svc.cluster.local".to_owned();
        Self { host: None, gateway_service }
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
            rotation_grace: SignedDuration::from_hours(24),
            exposure: ExposureSettings::default(),
            ingress: IngressSettings::default(),
            git: GitSettings::default(),
            catalog: Catalog::builtin()?,
        })
    }
}

/// When to look again, and how long to wait for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// When to look again although nothing changed; repairs what a watch may have missed.
    pub resync: Duration,
    /// When to look again while waiting; a watch usually comes first.
    pub wait: Duration,
    /// The first wait after a failure, or after a watch that broke.
    pub backoff_min: Duration,
    /// The longest wait after failures.
    pub backoff_max: Duration,
    /// How long the engine may take to answer a request.
    pub answer: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            resync: Duration::from_mins(10),
            wait: Duration::from_secs(15),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_mins(1),
            answer: Duration::from_secs(30),
        }
    }
}

/// Handles: the engine, the outside world, the clock.
pub struct Context {
    /// The engine; what it does not answer in time has failed.
    pub client: Client,
    /// Plain values.
    pub settings: Settings,
    /// The clock.
    pub clock: Clock,
    /// Where organizations become reachable.
    pub tunnels: Arc<dyn Tunnels>,
    /// Asks git servers.
    pub tracker: Tracker,
    /// Counts passes.
    pub metrics: ControllerMetrics,
    /// When to look again.
    pub pace: Pace,
    /// The bindings as their controller watches them, once it does.
    pub(crate) bindings: OnceLock<Known<RepoBinding>>,
    /// What owners own, once the watches told.
    pub(crate) holdings: Holdings,
    /// The tenants of organizations, once the watches told.
    pub(crate) tenants: Tenants,
    /// All namespaces by name, once the watch told.
    pub(crate) neighbours: Neighbours,
    recorders: Vec<Recorder>,
    failures: Mutex<HashMap<String, u32>>,
}

/// How many there are that write Events.
const RECORDERS: usize = 64;

/// Those that write Events. Each goes over what it wrote in the last minutes whenever it writes another, to tell of a
/// repetition as one; so with one alone an Event would take the longer the more objects there are.
fn recorders(client: &Client) -> Vec<Recorder> {
    let reporter = Reporter { controller: "aphex-controller".to_owned(), instance: None };
    (0..RECORDERS).map(|_| Recorder::new(client.clone(), reporter.clone())).collect()
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
        let pace = Pace::default();
        let client = deadline::client(client, pace.answer);
        Self {
            recorders: recorders(&client),
            pace,
            bindings: OnceLock::new(),
            holdings: Holdings::default(),
            tenants: Tenants::default(),
            neighbours: Neighbours::default(),
            metrics: ControllerMetrics::register(metrics),
            failures: Mutex::default(),
            tracker: Tracker::new(&settings.git),
            client,
            settings,
            clock,
            tunnels,
        }
    }

    /// The same at another pace, which may only be quicker to give up on an answer.
    #[must_use]
    pub fn with_pace(self, pace: Pace) -> Self {
        let client = deadline::client(self.client, pace.answer);
        Self { recorders: recorders(&client), client, pace, ..self }
    }

    /// Writes the Events of an object, which its unique id names.
    pub(crate) fn recorder(&self, uid: &str) -> Option<&Recorder> {
        let count = u64::try_from(self.recorders.len()).unwrap_or(1).max(1);
        let index = usize::try_from(labels::checksum(uid.as_bytes()) % count).unwrap_or_default();
        self.recorders.get(index)
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
