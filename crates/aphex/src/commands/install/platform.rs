//! `aphex install platform`: the files of `platform/` as objects, with the image and the configuration of a cluster.
//!
//! The definitions come first, and what they define once they are served. Values of the ConfigMap that a cluster has
//! already stay, unless they are given anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::runtime::conditions::{is_crd_established, is_deployment_completed};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::Value;

use super::files;
use crate::cli::{Global, Platform};
use crate::commands::apply::{self, parse};
use crate::commands::definitions;
use crate::commands::settings::NAMESPACE;
use crate::output::{note, say};
use crate::{connect, exit, nearest};

/// The files that the kustomizations below `platform/` name, in their order.
const FILES: &[&str] = &[
    include_str!("../../../../../platform/crds/aphex.io_organizations.yaml"),
    include_str!("../../../../../platform/crds/aphex.io_repobindings.yaml"),
    include_str!("../../../../../platform/crds/aphex.io_knowledgebases.yaml"),
    include_str!("../../../../../platform/crds/platform.dev_pipelines.yaml"),
    include_str!("../../../../../platform/crds/aphex.io_deliveries.yaml"),
    include_str!("../../../../../platform/bootstrap/namespace.yaml"),
    include_str!("../../../../../platform/bootstrap/network-policy.yaml"),
    include_str!("../../../../../platform/bootstrap/config.yaml"),
    include_str!("../../../../../platform/policies/namespace-labels.yaml"),
    include_str!("../../../../../platform/policies/tenant-boundary.yaml"),
    include_str!("../../../../../platform/policies/runner-rights.yaml"),
    include_str!("../../../../../platform/policies/managed-objects.yaml"),
    include_str!("../../../../../platform/policies/account-tokens.yaml"),
    include_str!("../../../../../platform/policies/tenant-names.yaml"),
    include_str!("../../../../../platform/policies/pipeline-namespaces.yaml"),
    include_str!("../../../../../platform/policies/platform-kinds.yaml"),
    include_str!("../../../../../platform/policies/deliveries.yaml"),
    include_str!("../../../../../platform/rbac/platform-rbac.yaml"),
    include_str!("../../../../../platform/catalog/run-pipeline-v1.yaml"),
    include_str!("../../../../../platform/controller/service-account.yaml"),
    include_str!("../../../../../platform/controller/rbac.yaml"),
    include_str!("../../../../../platform/controller/rbac-grants.yaml"),
    include_str!("../../../../../platform/controller/rbac-listener.yaml"),
    include_str!("../../../../../platform/controller/deployment.yaml"),
    include_str!("../../../../../platform/controller/network-policy.yaml"),
    include_str!("../../../../../platform/gateway/service-account.yaml"),
    include_str!("../../../../../platform/gateway/rbac.yaml"),
    include_str!("../../../../../platform/gateway/network-policy.yaml"),
    include_str!("../../../../../platform/gateway/deployment.yaml"),
];
/// The ConfigMap with the configuration.
const CONFIG: &str = "aphex-config";
const GATEWAY_URL: &str = "APHEX_GATEWAY_URL";
/// The image in the files.
const IMAGE: &str = "aphex:";
/// How long a definition may take until it is served.
const ESTABLISHED: Duration = Duration::from_mins(1);
const KUSTOMIZATION: &str =
    "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- platform.yaml\n";

/// Keys and values of the ConfigMap.
type Settings = BTreeMap<String, String>;

pub(crate) async fn run(global: &Global, arguments: Platform) -> anyhow::Result<()> {
    let mut given: Settings = arguments.settings.iter().cloned().collect();
    if let Some(url) = &arguments.gateway_url {
        given.insert(GATEWAY_URL.to_owned(), url.clone());
    }
    let mut objects = objects()?;
    check_keys(&objects, &given)?;
    let Some(folder) = &arguments.out else {
        let client = connect::client(global).await?;
        let before = settings(&client).await?;
        fill(&mut objects, &arguments.image, before.into_iter().chain(given).collect());
        return apply_all(&client, &objects, &arguments).await;
    };
    fill(&mut objects, &arguments.image, given);
    write(folder, &objects)?;
    say(&format!(
        "\nWhat to do next:\n  kubectl apply --server-side -k {0}\n  kubectl rollout status -n {NAMESPACE} deployment/aphex-controller deployment/aphex-gateway",
        folder.display()
    ));
    tell_of_address(&objects);
    Ok(())
}

/// Everything as it is in the files.
fn objects() -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for file in FILES {
        objects.extend(parse(file).context("a built-in manifest is not readable")?);
    }
    for object in &mut objects {
        // As the kustomization of the catalog has it.
        if object["kind"] == "TriggerTemplate" {
            object["metadata"]["namespace"] = NAMESPACE.into();
        }
    }
    Ok(objects)
}

fn is_config(object: &Value) -> bool {
    object["kind"] == "ConfigMap" && object["metadata"]["name"] == CONFIG
}

/// The ConfigMap's key in the objects.
fn config(objects: &[Value]) -> Option<&serde_json::Map<String, Value>> {
    objects.iter().find(|object| is_config(object))?["data"].as_object()
}

/// A key that nobody reads is a mistake.
fn check_keys(objects: &[Value], given: &Settings) -> anyhow::Result<()> {
    let known: Vec<String> = config(objects).into_iter().flat_map(|data| data.keys().cloned()).collect();
    let Some(unknown) = given.keys().find(|key| !known.contains(key)) else { return Ok(()) };
    let hint = match nearest::among(unknown, known.iter().cloned()) {
        Some(other) => format!("did you mean {other}?"),
        None => format!("there are {}", known.join(", ")),
    };
    let message = format!("--set {unknown}: the ConfigMap {CONFIG} has no such key; {hint}");
    Err(exit::Coded { code: exit::USAGE, message }.into())
}

/// Puts image and configuration in.
fn fill(objects: &mut [Value], image: &str, settings: Settings) {
    for object in objects.iter_mut() {
        let containers = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if container["image"].as_str().is_some_and(|image| image.starts_with(IMAGE)) {
                container["image"] = image.into();
            }
        }
    }
    let Some(object) = objects.iter_mut().find(|object| is_config(object)) else { return };
    for (key, value) in settings {
        object["data"][key] = value.into();
    }
}

/// What the cluster's ConfigMap says.
async fn settings(client: &Client) -> anyhow::Result<Settings> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let found = maps.get_opt(CONFIG).await;
    let found = found.with_context(|| {
        format!(
            "cannot read ConfigMap {NAMESPACE}/{CONFIG}: installing takes an administrator of the cluster"
        )
    })?;
    Ok(found.and_then(|map| map.data).unwrap_or_default())
}

async fn apply_all(client: &Client, objects: &[Value], arguments: &Platform) -> anyhow::Result<()> {
    check_kinds(client).await?;
    let (definitions, others): (Vec<&Value>, Vec<&Value>) =
        objects.iter().partition(|object| object["kind"] == "CustomResourceDefinition");
    let put = async |object| {
        let applied = apply::apply(client, object, arguments.force_conflicts).await?;
        say(&format!("{} serverside-applied", applied.title));
        anyhow::Ok(())
    };
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in &definitions {
        put(definition).await?;
    }
    for name in definitions.iter().filter_map(|definition| definition["metadata"]["name"].as_str()) {
        tokio::time::timeout(ESTABLISHED, await_condition(api.clone(), name, is_crd_established()))
            .await
            .with_context(|| format!("the kind {name} was not served in time: look at its conditions"))?
            .with_context(|| format!("cannot watch the definition {name}"))?;
    }
    for object in others {
        put(object).await?;
    }
    if let Some(seconds) = arguments.wait {
        roll_out(client, objects, Duration::from_secs(seconds)).await?;
    }
    say("\nWhat to do next:\n  aphex doctor\n  aphex install auth --help");
    tell_of_address(objects);
    Ok(())
}

/// Nothing is written where an engine that the platform drives is not there.
async fn check_kinds(client: &Client) -> anyhow::Result<()> {
    let mut kinds = aphex_controllers::defined_kinds();
    kinds.extend(aphex_gateway::defined_kinds());
    kinds.retain(|kind| !definitions::is_own(kind));
    let missing = definitions::missing(client, &kinds).await.context("cannot ask which kinds are served")?;
    let Some(first) = missing.first() else { return Ok(()) };
    let mut names: Vec<&str> = missing.iter().map(|kind| kind.kind.as_str()).collect();
    names.dedup();
    let remedy = definitions::installed_with(&first.group);
    let message =
        format!("the cluster does not serve {}: {remedy} first; nothing was installed", names.join(", "));
    Err(exit::Coded { code: exit::FAILURE, message }.into())
}

/// Waits for the Deployments.
async fn roll_out(client: &Client, objects: &[Value], limit: Duration) -> anyhow::Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let all = async {
        for object in objects.iter().filter(|object| object["kind"] == "Deployment") {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            note(&format!("waiting until deployment.apps/{name} runs"));
            let done = await_condition(api.clone(), name, is_deployment_completed()).await;
            done.with_context(|| format!("cannot watch deployment.apps/{name}"))?;
        }
        anyhow::Ok(())
    };
    if let Ok(done) = tokio::time::timeout(limit, all).await {
        return done;
    }
    let seconds = limit.as_secs();
    let message =
        format!("the platform does not run after {seconds} s: kubectl describe pods -n {NAMESPACE} says why");
    Err(exit::Coded { code: exit::TIMED_OUT, message }.into())
}

fn write(folder: &Path, objects: &[Value]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    files::put(&folder.join("platform.yaml"), &files::documents(objects)?, 0o644)?;
    files::put(&folder.join("kustomization.yaml"), KUSTOMIZATION, 0o644)
}

/// Says that GitHub cannot reach an address of the cluster's own.
fn tell_of_address(objects: &[Value]) {
    let url =
        config(objects).and_then(|data| data.get(GATEWAY_URL)).and_then(Value::as_str).unwrap_or_default();
    if url.contains(".svc") {
        note(&format!(
            "webhooks are to arrive at {url}, which is inside the cluster: --gateway-url names a public address"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_the_kustomizations_name_is_installed_in_their_order() -> anyhow::Result<()> {
        let platform = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../platform");
        let listed = |folder: &Path| -> anyhow::Result<Vec<String>> {
            let text = std::fs::read_to_string(folder.join("kustomization.yaml"))?;
            let value: Value = serde_saphyr::from_str(&text)?;
            let names = value["resources"].as_array().context("it lists resources")?;
            Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let mut texts = Vec::new();
        for folder in listed(&platform)? {
            let folder = platform.join(folder);
            for file in listed(&folder)? {
                texts.push(std::fs::read_to_string(folder.join(file))?);
            }
        }
        assert_eq!(texts, FILES);
        Ok(())
    }

    #[test]
    fn every_pod_gets_the_image_and_the_configuration_what_is_given() -> anyhow::Result<()> {
        let mut objects = objects()?;
        let given: Settings = [(GATEWAY_URL.to_owned(), "https://hooks.example.com".to_owned())].into();
        fill(&mut objects, "registry.example.com/aphex:1", given);
        let images: Vec<&Value> = objects
            .iter()
            .filter_map(|object| object.pointer("/spec/template/spec/containers/0/image"))
            .collect();
        assert_eq!(images, ["registry.example.com/aphex:1", "registry.example.com/aphex:1"]);
        let config = config(&objects).context("the configuration")?;
        assert_eq!(
            (&config[GATEWAY_URL], &config["APHEX_EXPOSURE"]),
            (&"https://hooks.example.com".into(), &"auto".into())
        );
        let wrong = check_keys(&objects, &[("APHEX_GATEWAY".to_owned(), String::new())].into());
        let told = wrong.err().context("it is refused")?.to_string();
        assert!(told.contains("did you mean APHEX_GATEWAY_URL?"), "{told}");
        Ok(())
    }
}
