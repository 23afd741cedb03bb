//! The settings of the controllers that serve an engine, as seen from outside.

use anyhow::Context as _;
use aphex_controllers::Settings;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

/// The ConfigMap of `platform/bootstrap` that the controllers have their environment from.
const CONFIG: &str = "aphex-config";
/// The gateway's address where nothing says another; it appears in statuses alone.
const GATEWAY: &str = "http://127.0.0.1:8080";

/// What the platform's configuration says; without one, as in local mode, the defaults.
pub(crate) async fn of_engine(client: &Client) -> anyhow::Result<Settings> {
    let mut settings = Settings::new(GATEWAY)?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &settings.platform_namespace);
    let found = maps.get_opt(CONFIG).await.context("cannot read the platform's configuration")?;
    let data = found.and_then(|map| map.data).unwrap_or_default();
    let value = |key: &str| data.get(key).filter(|value| !value.is_empty()).cloned();
    if let Some(url) = value("APHEX_GATEWAY_URL") {
        url.trim_end_matches('/').clone_into(&mut settings.gateway_url);
    }
    if let Some(namespace) = value("APHEX_ARGOCD_NAMESPACE") {
        settings.argocd_namespace = namespace;
    }
    if let Some(url) = value("APHEX_CLUSTER_URL") {
        settings.cluster_url = url;
    }
    Ok(settings)
}
