//! Receives GitHub webhooks and turns them into runs, with Tekton Triggers' semantics.
//!
//! ```text
//! POST -> sink (verify) -> evaluate (select, interceptors, bindings, templates) -> dispatch -> Delivery -> 200
//! ```
//!
//! One process serves every EventListener on the engine. An event is answered once it is stored as a `Delivery`; what
//! became of it, or comes to, is in that object's status. Evaluation is pure; [`dispatch`] alone writes kinds that are not ours, and
//! always as the trigger's ServiceAccount. Beyond Tekton, bindings and expressions may read `extensions.delivery`
//! (`receivedTime`, `id`, `event`, `branch`, `tag`, `revision`, `repository`, `sender`); a listener that wants
//! unsigned events says so by an annotation. Knows nothing of organizations and bindings: the objects that controllers make say it all.

pub mod admission;
pub mod bindings;
pub mod calls;
pub mod cloudevents;
pub mod decision;
pub mod deliveries;
pub mod dispatch;
pub mod evaluate;
pub mod event;
mod gzip;
pub mod inbox;
pub mod interceptors;
pub mod jsonpath;
pub mod metrics;
mod pace;
pub mod problems;
pub mod reach;
pub mod rehearsal;
pub mod report;
pub mod response;
pub mod secrets;
pub mod select;
mod sequence;
mod shares;
pub mod signature;
pub mod sink;
pub mod snapshot;
pub mod spool;
pub mod templates;
pub mod verification;
mod weight;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aphex_runtime::admin::Readiness;
use aphex_runtime::serve::Server;
use aphex_runtime::{Clock, Metrics, Shutdown};
use kube::Client;

pub use signature::sign;

use admission::Admission;
use deliveries::{Deliveries, Parts};
pub use inbox::Inbox;
use metrics::GatewayMetrics;
use reach::Reach;
use report::Reporter;
use secrets::SecretCache;
use sink::Sink;
use snapshot::{NotSynced, Snapshot};
use spool::{Spool, SpoolError};
use thiserror::Error;

/// The name of the gateway's condition in [`Settings::readiness`].
pub const READINESS: &str = "gateway";
/// How often secrets of new triggers are read ahead.
const WARM: Duration = Duration::from_mins(5);

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
    /// How events are taken in.
    pub inbox: Inbox,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// Where readiness is reported, as [`READINESS`].
    pub readiness: Readiness,
}

/// A gateway did not come to work.
#[derive(Debug, Error)]
pub enum RunError {
    /// Stopped before it knew the triggers.
    #[error(transparent)]
    NotSynced(NotSynced),
    /// Its spool cannot be used.
    #[error(transparent)]
    Spool(SpoolError),
}

/// Serves webhooks and works on Deliveries until shutdown; requests under way are answered first.
pub async fn run(client: Client, settings: Settings, shutdown: Shutdown) -> Result<(), RunError> {
    let ready = settings.readiness.condition(READINESS);
    let (clock, inbox) = (settings.clock, settings.inbox);
    let metrics = GatewayMetrics::new(&settings.metrics);
    let spool = inbox.spool.map(|spool| Spool::open(spool, metrics.clone())).transpose();
    let spool = spool.map_err(RunError::Spool)?;
    let reporter = Reporter::start(client.clone(), settings.identity.clone(), clock.clone(), &shutdown);
    let snapshot = Snapshot::watch(&client, &reporter, &shutdown);
    let synced = shutdown.token().run_until_cancelled_owned(snapshot.synced()).await;
    match synced {
        // Stopped before it began.
        None => return Ok(()),
        Some(synced) => synced.map_err(RunError::NotSynced)?,
    }
    let reach = Reach::new(inbox.engine_timeout);
    let secrets = SecretCache::new(client.clone(), reach.clone());
    let (warming, offered, stop) = (secrets.clone(), snapshot.clone(), shutdown.token());
    let looking = reporter.clone();
    shutdown.spawn(async move {
        let mut tick = tokio::time::interval(WARM);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if stop.run_until_cancelled(warming.warm(&offered)).await.is_none() {
                return;
            }
            offered.every_listener().iter().for_each(|listener| looking.look_beside(listener, &offered));
        }
    });
    let deliveries = Arc::new(Deliveries::new(Parts {
        client,
        snapshot: snapshot.clone(),
        secrets: secrets.clone(),
        calls: settings.calls,
        clock: clock.clone(),
        identity: settings.identity,
        spool,
        reach,
        keep: inbox.keep,
        metrics: metrics.clone(),
        reporter: reporter.clone(),
        shutdown: shutdown.clone(),
    }));
    let working = Arc::clone(&deliveries);
    let stop = shutdown.clone();
    shutdown.spawn(async move { working.run(stop).await });
    let sink = Arc::new(Sink {
        snapshot,
        secrets,
        deliveries,
        admission: Admission::new(inbox.queue_limit, clock.clone()),
        trusted_proxies: inbox.trusted_proxies,
        domain: settings.domain,
        clock,
        metrics,
        reporter,
        bodies: sink::Bodies::default(),
    });
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
