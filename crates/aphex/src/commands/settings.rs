//! The settings of the controllers that serve an engine, as seen from outside.
//!
//! On a cluster they have their environment from a ConfigMap. What it says is read as the controllers read it: as the
//! arguments of `aphex controller`.

use std::collections::BTreeMap;
use std::sync::Once;

use anyhow::Context as _;
use aphex_controllers::Settings;
use aphex_controllers::sensitive::Sensitive;
use clap::{CommandFactory as _, Parser as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};

use super::controller;
use crate::cli::{Choice, Cli, Command, Controller, Exposure};
use crate::{exposure, output};

/// The platform's namespace.
pub(super) const NAMESPACE: &str = "platform-system";
/// The ConfigMap of `platform/bootstrap`.
const CONFIG: &str = "aphex-config";
/// The Secret with Cloudflare's API token, and its key.
const TOKEN: (&str, &str) = ("aphex-cloudflare", "token");
/// The gateway's address where nothing says another, as in local mode; it appears in statuses alone.
const GATEWAY: &str = "http://127.0.0.1:8080";

/// Said once, however often something that is watched is looked at.
static TOLD: Once = Once::new();

/// What the platform's configuration says; without one, and for whoever may not read it, the defaults.
pub(crate) async fn of_engine(client: &Client) -> anyhow::Result<Settings> {
    let variables = match configured(client).await {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            TOLD.call_once(|| {
                output::note(&format!(
                    "you may not get ConfigMap {NAMESPACE}/{CONFIG}: the platform's usual settings are assumed"
                ));
            });
            BTreeMap::new()
        }
        read => read.context("cannot read the platform's configuration")?,
    };
    let read = async {
        let mut arguments = of_environment(&variables)?;
        let hidden = take_token(client, &mut arguments.exposure).await == Token::Hidden;
        if hidden && matches!(arguments.exposure.choice, Choice::Cloudflare) {
            // The controllers have one, or they would not run so; nobody is asked with this.
            arguments.exposure.cloudflare_token = Some(Sensitive::new("hidden"));
        }
        let way = exposure::way(&arguments.exposure)?;
        controller::settings(&arguments, &way)
    };
    read.await.with_context(|| format!("ConfigMap {NAMESPACE}/{CONFIG} cannot be used"))
}

/// The environment of the platform's programs; nothing where none is configured.
pub(super) async fn configured(client: &Client) -> kube::Result<BTreeMap<String, String>> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    Ok(maps.get_opt(CONFIG).await?.and_then(|map| map.data).unwrap_or_default())
}

/// What is known of the API token that the controllers are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// All there is to know.
    Known,
    /// The caller may not read it.
    Hidden,
}

/// Takes the API token that the controllers are given, when none is given here.
pub(super) async fn take_token(client: &Client, arguments: &mut Exposure) -> Token {
    if exposure::token(arguments).is_some() {
        return Token::Known;
    }
    let (secret, key) = TOKEN;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let found = match secrets.get_opt(secret).await {
        Ok(found) => found.and_then(|secret| secret.data),
        Err(_) => return Token::Hidden,
    };
    let text = found.and_then(|data| String::from_utf8(data.get(key)?.0.clone()).ok());
    let text = text.filter(|text| !text.trim().is_empty());
    arguments.cloudflare_token = text.map(|text| Sensitive::new(text.trim()));
    Token::Known
}

/// The arguments of controllers with these environment variables.
fn of_environment(variables: &BTreeMap<String, String>) -> anyhow::Result<Controller> {
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
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &BTreeMap<String, String>) -> anyhow::Result<Settings> {
        let arguments = of_environment(variables)?;
        controller::settings(&arguments, &exposure::way(&arguments.exposure)?)
    }

    #[test]
    fn a_configuration_is_read_as_the_controllers_read_it() -> anyhow::Result<()> {
        let pairs = [
            ("APHEX_GATEWAY_URL", "https://hooks.example.com/"),
            ("APHEX_ARGOCD_NAMESPACE", "gitops"),
            ("APHEX_CLUSTER_URL", ""),
            ("APHEX_LOG", "info"),
        ];
        let variables = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let settings = settings(&variables)?;
        assert_eq!(settings.gateway_url, "https://hooks.example.com");
        assert_eq!(settings.argocd_namespace, "gitops");
        assert_eq!(settings.cluster_url, "https://kubernetes.default.svc", "empty is not given");
        Ok(())
    }

    #[test]
    fn without_a_configuration_the_defaults_hold() -> anyhow::Result<()> {
        let settings = settings(&BTreeMap::new())?;
        assert_eq!((settings.gateway_url.as_str(), settings.argocd_namespace.as_str()), (GATEWAY, "argocd"));
        Ok(())
    }

    #[test]
    fn what_the_controllers_would_refuse_is_told() {
        let variables = [("APHEX_LEADER_ELECT".to_owned(), "perhaps".to_owned())].into();
        assert!(of_environment(&variables).is_err_and(|error| error.to_string().contains("leader-elect")));
    }
}
