//! From flags and environment to a Kubernetes client.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::Global;
use crate::local;

/// A client for the cluster that the flags, `$KUBECONFIG`, `~/.kube/config`, the pod's service account or,
/// last, this machine's own `aphex up` name, in this order.
pub(crate) async fn client(global: &Global) -> anyhow::Result<Client> {
    let config = config(global).await?;
    Client::try_from(config).context("cannot build a client from the kubeconfig")
}

async fn config(global: &Global) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: global.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &global.kubeconfig {
        return from_file(path, &options).await;
    }
    if std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()) {
        let kubeconfig = Kubeconfig::read().context("cannot read the kubeconfig that $KUBECONFIG names")?;
        return build(kubeconfig, &options, "$KUBECONFIG").await;
    }
    if let Some(path) = home_kubeconfig().filter(|path| path.exists()) {
        return from_file(&path, &options).await;
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Config::incluster().context(
            "this is a pod, and its service account cannot be used: is automountServiceAccountToken off?",
        );
    }
    let own = local::default_data_dir()?.join(local::KUBECONFIG);
    if own.exists() {
        return from_file(&own, &options).await;
    }
    anyhow::bail!(
        "no cluster to talk to: set $KUBECONFIG, give --kubeconfig FILE, or start one on this machine with `aphex up`"
    )
}

async fn from_file(path: &Path, options: &KubeConfigOptions) -> anyhow::Result<Config> {
    let kubeconfig =
        Kubeconfig::read_from(path).with_context(|| format!("cannot read kubeconfig {}", path.display()))?;
    build(kubeconfig, options, &path.display().to_string()).await
}

async fn build(kubeconfig: Kubeconfig, options: &KubeConfigOptions, from: &str) -> anyhow::Result<Config> {
    Config::from_custom_kubeconfig(kubeconfig, options)
        .await
        .with_context(|| format!("cannot use the kubeconfig from {from}"))
}

fn home_kubeconfig() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"))
}
