//! `aphex controller`: the controllers against a cluster, as one of several replicas.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use aphex_controllers::tunnels::Tunnels;
use aphex_controllers::{GitPolicy, GitSettings, IngressSettings, Settings};
use aphex_runtime::admin::{self, Readiness};
use aphex_runtime::lease::{self, Elector};
use aphex_runtime::{Clock, Metrics, Shutdown};
use kube::Client;
use tokio::net::TcpListener;

use super::{definitions, gateway};
use crate::cli::{Controller, Global};
use crate::{connect, exposure};

/// Reconciles under way get this long on shutdown.
const DRAIN: Duration = Duration::from_secs(20);
/// The Lease that the working replica holds.
const LEASE: &str = "aphex-controller";

pub(crate) async fn run(global: &Global, arguments: Controller) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let version = client.apiserver_version().await.context("cannot reach the Kubernetes API")?;
    tracing::info!(kubernetes.version = %version.git_version, "connected");
    let way = exposure::way(&arguments.exposure)?;
    tracing::info!(exposure = way.as_str(), "organizations are reached");
    let settings = settings(&arguments, &way)?;
    let listener = TcpListener::bind(arguments.admin)
        .await
        .with_context(|| format!("cannot listen on {}: choose another with --admin", arguments.admin))?;
    let (shutdown, metrics, readiness) = (Shutdown::on_signals()?, Metrics::default(), Readiness::default());
    let tunnels = way.tunnels(&settings.gateway_url, Clock::system(), &metrics)?;
    readiness.condition("connected").store(true, Ordering::Release);
    // Kinds of other programs may come later: objects that want them wait, and say so in their status.
    shutdown.spawn(definitions::watch(
        client.clone(),
        aphex_controllers::defined_kinds(),
        definitions::is_own,
        readiness.condition("definitions"),
        shutdown.clone(),
    ));
    shutdown.spawn(admin::serve(listener, readiness, metrics.clone(), shutdown.clone()));
    let worked = if arguments.leader_elect {
        lead(client, settings, tunnels, &metrics, &shutdown).await
    } else {
        work(client, settings, tunnels, &metrics, &shutdown).await;
        Ok(())
    };
    shutdown.drain(DRAIN).await;
    worked
}

/// What the arguments say, as plain values.
pub(crate) fn settings(arguments: &Controller, way: &exposure::Way) -> anyhow::Result<Settings> {
    Ok(Settings {
        exposure: exposure::settings(&arguments.exposure, way),
        argocd_namespace: arguments.argocd_namespace.clone(),
        cluster_url: arguments.cluster_url.clone(),
        rotation_grace: arguments.rotation_grace,
        git: GitSettings {
            policy: GitPolicy {
                hosts: hosts(&arguments.git_hosts),
                allow_private: arguments.git_allow_private,
            },
            interval: Duration::from_secs(arguments.git_interval),
        },
        ingress: IngressSettings {
            host: Some(arguments.ingress_host.clone()).filter(|host| !host.is_empty()),
            gateway_service: arguments.gateway_service.clone(),
        },
        ..Settings::new(&arguments.gateway_url)?
    })
}

/// The hosts that are named, or none when all are meant.
fn hosts(named: &[String]) -> Option<Vec<String>> {
    (!named.iter().any(|host| host == "*")).then(|| named.to_vec())
}

/// Waits for the lead and works while it lasts. A lead that is lost ends the process: what it knows may be out of date.
///
/// Passes under way end first, and write nothing more to the engine. What one of them has just made at Cloudflare may be of
/// an organization that is gone by now: it looks, and takes that back.
async fn lead(
    client: Client,
    settings: Settings,
    tunnels: Arc<dyn Tunnels>,
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    // Two lives of one pod are two candidates: what the first had under way the second knows nothing of.
    let identity = format!("{}_{:016x}", gateway::identity(), rand::random::<u64>());
    let lease = lease::Settings::new(&settings.platform_namespace, LEASE, identity);
    let elector = Elector::new(client.clone(), lease, Clock::system(), metrics);
    let Some(mut leadership) = elector.acquire(shutdown).await else { return Ok(()) };
    let guarded = leadership.guard(client);
    let mut work = Box::pin(work(guarded, settings, tunnels, metrics, shutdown));
    tokio::select! {
        () = &mut work => {
            leadership.release().await;
            Ok(())
        }
        lost = leadership.renew() => {
            tracing::error!(reason = %lost, "does not lead any more: stops, and writes nothing more");
            shutdown.trigger();
            work.await;
            Err(lost).context("stopped working")
        }
    }
}

/// Runs the controllers until shutdown; passes that take too long to end are cut off.
async fn work(
    client: Client,
    settings: Settings,
    tunnels: Arc<dyn Tunnels>,
    metrics: &Metrics,
    shutdown: &Shutdown,
) {
    let context = aphex_controllers::Context::new(client, settings, Clock::system(), tunnels, metrics);
    let late = async {
        shutdown.triggered().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = aphex_controllers::run_with(Arc::new(context), shutdown) => {}
        () = late => tracing::warn!(seconds = DRAIN.as_secs(), "passes did not end in time and were cut off"),
    }
}
