//! `aphex controller`: the controllers against a cluster.

use std::sync::atomic::Ordering;
use std::time::Duration;

use aphex_runtime::admin::{self, Readiness};
use aphex_runtime::{Metrics, Shutdown};
use tokio::net::TcpListener;

use crate::cli::{Controller, Global};
use crate::connect;
use anyhow::Context as _;

/// Reconciles under way get this long on shutdown.
const DRAIN: Duration = Duration::from_secs(20);

pub(crate) async fn run(global: &Global, arguments: Controller) -> anyhow::Result<()> {
    let client = connect::client(global).await?;
    let version = client.apiserver_version().await.context("cannot reach the Kubernetes API")?;
    tracing::info!(kubernetes.version = %version.git_version, "connected");
    let settings = aphex_controllers::Settings::new(&arguments.gateway_url)?;
    let listener = TcpListener::bind(arguments.admin)
        .await
        .with_context(|| format!("cannot listen on {}: choose another with --admin", arguments.admin))?;
    let (shutdown, metrics, readiness) = (Shutdown::on_signals()?, Metrics::default(), Readiness::default());
    readiness.condition("connected").store(true, Ordering::Release);
    shutdown.spawn(admin::serve(listener, readiness, metrics.clone(), shutdown.clone()));
    aphex_controllers::run(client, settings, &metrics, &shutdown).await;
    shutdown.drain(DRAIN).await;
    Ok(())
}
