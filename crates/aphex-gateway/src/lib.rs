//! Receives GitHub webhooks and turns them into runs, with Tekton Triggers' semantics.
//!
//! ```text
//! POST -> sink (verify, store) -> Delivery -> evaluate (select, interceptors, bindings, templates) -> dispatch
//! ```
//!
//! One process serves every EventListener on the engine. An event is answered once it is stored as a `Delivery`; what
//! becomes of it is in that object's status. Evaluation is pure; [`dispatch`] alone writes kinds that are not ours, and
//! always as the trigger's ServiceAccount. Beyond Tekton, bindings and expressions may read `extensions.delivery`
//! (`receivedTime`, `id`, `event`, `branch`, `tag`, `revision`, `repository`, `sender`); a listener that wants
//! unsigned events says so by an annotation. Knows nothing of organizations and bindings: the objects that controllers make say it all.

pub mod bindings;
pub mod calls;
pub mod deliveries;
pub mod dispatch;
pub mod evaluate;
pub mod event;
pub mod interceptors;
pub mod jsonpath;
pub mod metrics;
pub mod problems;
pub mod report;
pub mod response;
pub mod secrets;
pub mod select;
pub mod signature;
pub mod sink;
pub mod snapshot;
pub mod templates;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aphex_runtime::admin::Readiness;
use aphex_runtime::serve::Server;
use aphex_runtime::{Clock, Metrics, Shutdown};
use kube::Client;

pub use signature::sign;

use deliveries::Deliveries;
use metrics::GatewayMetrics;
use report::Reporter;
use secrets::SecretCache;
use sink::Sink;
use snapshot::{NotSynced, Snapshot};

/// The name of the gateway's condition in [`Settings::readiness`].
pub const READINESS: &str = "gateway";

/// Every kind that the gateway cannot work without and that somebody has to define on the engine.
#[must_use]
pub fn defined_kinds() -> Vec<kube::api::ApiResource> {
    use aphex_api::delivery::Delivery;
    use aphex_api::foreign::triggers::{
        ClusterInterceptor, ClusterTriggerBinding, EventListener, Interceptor, Trigger, TriggerBinding,
        TriggerTemplate,
    };
    use kube::api::ApiResource;
    vec![
        ApiResource::erase::<Delivery>(&()),
        ApiResource::erase::<EventListener>(&()),
        ApiResource::erase::<Trigger>(&()),
        ApiResource::erase::<TriggerBinding>(&()),
        ApiResource::erase::<ClusterTriggerBinding>(&()),
        ApiResource::erase::<TriggerTemplate>(&()),
        ApiResource::erase::<ClusterInterceptor>(&()),
        ApiResource::erase::<Interceptor>(&()),
    ]
}

/// How a gateway runs.
#[derive(Debug)]
pub struct Settings {
    /// Where webhooks arrive, and how many connections there may be.
    pub server: Server,
    /// The platform's domain: host `<organization>.<domain>` means that organization's listener; empty for none.
    pub domain: String,
    /// This replica's name: no other running replica's, and the same again after a restart.
    pub identity: String,
    /// The time.
    pub clock: Clock,
    /// Whom it may call while it evaluates.
    pub calls: calls::Calls,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// Where readiness is reported, as [`READINESS`].
    pub readiness: Readiness,
}

/// Serves webhooks and works on Deliveries until shutdown; requests under way are answered first.
pub async fn run(client: Client, settings: Settings, shutdown: Shutdown) -> Result<(), NotSynced> {
    let ready = settings.readiness.condition(READINESS);
    let metrics = GatewayMetrics::new(&settings.metrics);
    let reporter =
        Reporter::start(client.clone(), settings.identity.clone(), settings.clock.clone(), &shutdown);
    let snapshot = Snapshot::watch(&client, &reporter, &shutdown);
    let synced = shutdown.token().run_until_cancelled_owned(snapshot.synced()).await;
    match synced {
        // Stopped before it began.
        None => return Ok(()),
        Some(synced) => synced?,
    }
    let secrets = SecretCache::new(client.clone());
    let clock = settings.clock.clone();
    let deliveries = Deliveries::new(
        client,
        snapshot.clone(),
        secrets.clone(),
        settings.calls,
        clock.clone(),
        settings.identity,
        metrics.clone(),
    );
    let deliveries = Arc::new(deliveries);
    let working = Arc::clone(&deliveries);
    let stop = shutdown.clone();
    shutdown.spawn(async move { working.run(stop).await });
    let sink = Arc::new(Sink::new(snapshot, secrets, deliveries, settings.domain, clock, metrics));
    ready.store(true, Ordering::Release);
    if let Ok(address) = settings.server.listener.local_addr() {
        tracing::info!(%address, "gateway serves webhooks");
    }
    if let Some(tls) = &settings.server.tls {
        shutdown.spawn(tls.clone().follow(shutdown.clone()));
    }
    sink::serve(settings.server, sink, shutdown.clone()).await;
    ready.store(false, Ordering::Release);
    Ok(())
}
