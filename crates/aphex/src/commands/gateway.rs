//! `aphex gateway`: the webhook gateway against a cluster.

use std::time::Duration;

use anyhow::Context as _;
use aphex_runtime::admin::{self, Readiness};
use aphex_runtime::serve::{Limits, Server, Tls, files};
use aphex_runtime::{Clock, Metrics, Shutdown};
use tokio::net::TcpListener;

use super::definitions;
use crate::cli::{Gateway, Global, Serving};
use crate::connect;
use crate::local::listen::listen;

/// Requests under way get this long on shutdown.
const DRAIN: Duration = Duration::from_secs(20);

pub(crate) async fn run(global: &Global, arguments: Gateway) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let version = client.apiserver_version().await.context("cannot reach the Kubernetes API")?;
    tracing::info!(kubernetes.version = %version.git_version, "connected");
    let hooks = listen(arguments.bind, arguments.port, "the webhook gateway", "--port").await?;
    let probes = TcpListener::bind(arguments.admin)
        .await
        .with_context(|| format!("cannot listen on {}: choose another with --admin", arguments.admin))?;
    let Serving { drain_delay, tls_cert, tls_key, max_connections, max_connections_per_address } =
        arguments.serving;
    let limits = Limits::of(files::connections(max_connections));
    let limits = Limits { per_source: max_connections_per_address.unwrap_or(limits.per_source), ..limits };
    let tls = tls_cert.zip(tls_key).map(|(certificate, key)| Tls::open(&certificate, &key)).transpose()?;
    let delay = Duration::try_from(drain_delay).context("--drain-delay must not be negative")?;
    let shutdown = Shutdown::on_signals_after(delay)?;
    let (metrics, readiness) = (Metrics::default(), Readiness::default());
    shutdown.spawn(definitions::watch(
        client.clone(),
        aphex_gateway::defined_kinds(),
        |_| true,
        readiness.condition("definitions"),
        shutdown.clone(),
    ));
    shutdown.spawn(admin::serve(probes, readiness.clone(), metrics.clone(), shutdown.clone()));
    let settings = aphex_gateway::Settings {
        server: Server { listener: hooks, what: "webhooks", limits, tls },
        domain: arguments.domain.unwrap_or_default(),
        identity: identity(),
        calls: arguments.calls.into(),
        inbox: arguments.inbox.settings(None),
        clock: Clock::system(),
        metrics,
        readiness,
    };
    aphex_gateway::run(client, settings, shutdown.clone()).await?;
    shutdown.drain(DRAIN).await;
    Ok(())
}

/// The pod's name on a cluster; elsewhere the machine's.
pub(super) fn identity() -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let machine =
        || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    set("POD_NAME").or_else(|| set("HOSTNAME")).or_else(machine).unwrap_or_else(|| "gateway".to_owned())
}
