//! From flags and environment to a Kubernetes client.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::Global;
use crate::{exit, local, nearest};

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

/// The contexts of the kubeconfig that would be used; none when there is none.
pub(crate) fn contexts(global: &Global) -> Vec<String> {
    let named = std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
    let own = || local::default_data_dir().ok().map(|folder| folder.join(local::KUBECONFIG));
    let kubeconfig = match &global.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).ok(),
        None if named => Kubeconfig::read().ok(),
        None => home_kubeconfig()
            .filter(|path| path.exists())
            .or_else(own)
            .and_then(|path| Kubeconfig::read_from(path).ok()),
    };
    kubeconfig.map(|found| names(&found)).unwrap_or_default()
}

fn names(kubeconfig: &Kubeconfig) -> Vec<String> {
    kubeconfig.contexts.iter().map(|context| context.name.clone()).collect()
}

async fn from_file(path: &Path, options: &KubeConfigOptions) -> anyhow::Result<Config> {
    let kubeconfig =
        Kubeconfig::read_from(path).with_context(|| format!("cannot read kubeconfig {}", path.display()))?;
    build(kubeconfig, options, &path.display().to_string()).await
}

async fn build(kubeconfig: Kubeconfig, options: &KubeConfigOptions, from: &str) -> anyhow::Result<Config> {
    let known = names(&kubeconfig);
    if let Some(wanted) = options.context.as_ref().filter(|wanted| !known.contains(wanted)) {
        let hint = match nearest::among(wanted, known.iter().cloned()) {
            Some(other) => format!("did you mean {other:?}?"),
            None if known.is_empty() => "it has none".to_owned(),
            None => format!("it has {}", known.join(", ")),
        };
        let message = format!("no context {wanted:?} in {from}: {hint}");
        return Err(exit::Coded { code: exit::NOT_FOUND, message }.into());
    }
    Config::from_custom_kubeconfig(kubeconfig, options)
        .await
        .with_context(|| format!("cannot use the kubeconfig from {from}"))
}

fn home_kubeconfig() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"))
}
