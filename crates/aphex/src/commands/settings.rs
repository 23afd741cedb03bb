//! The settings of the controllers that serve an engine, as seen from outside.
//!
//! On a cluster they have their environment from a ConfigMap. What it says is read as the controllers read it: as the
//! arguments of `aphex controller`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aphex_controllers::Settings;
use clap::{CommandFactory as _, Parser as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use super::controller;
use crate::cli::{Cli, Command};

/// Where the ConfigMap of `platform/bootstrap` is.
const NAMESPACE: &str = "platform-system";
const CONFIG: &str = "aphex-config";
/// The gateway's address where nothing says another, as in local mode; it appears in statuses alone.
const GATEWAY: &str = "http://127.0.0.1:8080";

/// What the platform's configuration says; without one, as in local mode, the defaults.
pub(crate) async fn of_engine(client: &Client) -> anyhow::Result<Settings> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let found = maps.get_opt(CONFIG).await.context("cannot read the platform's configuration")?;
    let data = found.and_then(|map| map.data).unwrap_or_default();
    of_environment(&data).with_context(|| format!("ConfigMap {NAMESPACE}/{CONFIG} cannot be used"))
}

/// The settings of controllers with these environment variables.
fn of_environment(variables: &BTreeMap<String, String>) -> anyhow::Result<Settings> {
    let command = Cli::command();
    let mut words = vec!["aphex".to_owned(), "controller".to_owned()];
    for argument in command.find_subcommand("controller").into_iter().flat_map(clap::Command::get_arguments) {
        let (Some(variable), Some(flag)) = (argument.get_env(), argument.get_long()) else { continue };
        let value = variables.get(&*variable.to_string_lossy()).filter(|value| !value.is_empty());
        words.extend(value.map(|value| format!("--{flag}={value}")));
    }
    if !words.iter().any(|word| word.starts_with("--gateway-url=")) {
        words.push(format!("--gateway-url={GATEWAY}"));
    }
    let Command::Controller(arguments) = Cli::try_parse_from(words)?.command else {
        anyhow::bail!("these are no arguments of `aphex controller`")
    };
    controller::settings(&arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_as_the_controllers_read_it() -> anyhow::Result<()> {
        let pairs = [
            ("APHEX_GATEWAY_URL", "https://hooks.example.com/"),
            ("APHEX_ARGOCD_NAMESPACE", "gitops"),
            ("APHEX_CLUSTER_URL", ""),
            ("APHEX_LOG", "info"),
        ];
        let variables = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let settings = of_environment(&variables)?;
        assert_eq!(settings.gateway_url, "https://hooks.example.com");
        assert_eq!(settings.argocd_namespace, "gitops");
        assert_eq!(settings.cluster_url, "https://kubernetes.default.svc", "empty is not given");
        Ok(())
    }

    #[test]
    fn without_a_configuration_the_defaults_hold() -> anyhow::Result<()> {
        let settings = of_environment(&BTreeMap::new())?;
        assert_eq!((settings.gateway_url.as_str(), settings.argocd_namespace.as_str()), (GATEWAY, "argocd"));
        Ok(())
    }

    #[test]
    fn what_the_controllers_would_refuse_is_told() {
        let variables = [("APHEX_LEADER_ELECT".to_owned(), "perhaps".to_owned())].into();
        assert!(of_environment(&variables).is_err_and(|error| error.to_string().contains("leader-elect")));
    }
}
