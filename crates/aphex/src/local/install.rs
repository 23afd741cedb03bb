//! What a fresh engine needs before the roles start: kinds, admission policies, rights of groups, namespaces, interceptors.
//!
//! Kinds of Tekton, Argo CD and External Secrets are installed only where they are missing, so that nothing
//! here ever replaces a real engine's own definitions.

use std::time::Duration;

use anyhow::Context as _;
use futures::future::{try_join, try_join_all, try_join3};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::{Condition as _, await_condition};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

/// Definitions of kinds that a real cluster gets from their engines.
const FOREIGN: &[&str] = &[
    include_str!("../../foreign/argocd.yaml"),
    include_str!("../../foreign/external-secrets.yaml"),
    include_str!("../../foreign/tekton.yaml"),
    include_str!("../../foreign/triggers.yaml"),
];
/// What Tekton's installation lets Kubernetes' own roles do.
const FOREIGN_RIGHTS: &str = include_str!("../../foreign/tekton-rights.yaml");
/// The admission policies that a cluster gets with the platform: the same files.
const POLICIES: &[&str] = &[
    include_str!("../../../../platform/policies/namespace-labels.yaml"),
    include_str!("../../../../platform/policies/tenant-boundary.yaml"),
    include_str!("../../../../platform/policies/runner-rights.yaml"),
    include_str!("../../../../platform/policies/managed-objects.yaml"),
    include_str!("../../../../platform/policies/account-tokens.yaml"),
    include_str!("../../../../platform/policies/tenant-names.yaml"),
    include_str!("../../../../platform/policies/pipeline-namespaces.yaml"),
    include_str!("../../../../platform/policies/platform-kinds.yaml"),
    include_str!("../../../../platform/policies/deliveries.yaml"),
];
/// What the groups of people may do, as on a cluster: the same file.
const RIGHTS: &str = include_str!("../../../../platform/rbac/platform-rbac.yaml");
/// Namespaces that the platform works in.
const NAMESPACES: &[&str] = &["platform-system", "argocd"];
/// Interceptors that the gateway has built in, as Tekton's own installation names them.
const INTERCEPTORS: &[&str] = &["bitbucket", "cel", "github", "gitlab", "slack"];
/// The ConfigMap with the platform's configuration.
const CONFIGURATION: &str = "aphex-config";
const MANAGER: &str = "aphex-local";
const PATIENCE: Duration = Duration::from_secs(20);

/// Puts everything in place; does nothing that is done already.
pub(crate) async fn install(client: &Client) -> anyhow::Result<()> {
    // First, for some rights are given in one of them.
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in NAMESPACES {
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        create_missing(&namespaces, &namespace).await?;
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let own = aphex_api::crds::all();
    let mut foreign: Vec<CustomResourceDefinition> = Vec::new();
    for text in FOREIGN {
        foreign.extend(
            serde_saphyr::from_multiple::<CustomResourceDefinition>(text)
                .context("a built-in definition is not readable")?,
        );
    }
    // All at once: the engine serves those that arrive together in one step.
    let own = try_join_all(own.iter().map(|crd| define(&definitions, crd)));
    let foreign = try_join_all(foreign.iter().map(|crd| define_missing(&definitions, crd)));
    try_join3(own, foreign, rules(client)).await?;
    interceptors(client).await
}

/// Brings a definition of ours to what this program knows; returns when its kind is served.
async fn define(
    definitions: &Api<CustomResourceDefinition>,
    crd: &CustomResourceDefinition,
) -> anyhow::Result<()> {
    let parameters = PatchParams::apply(MANAGER).force();
    let applied = definitions.patch(&crd.name_any(), &parameters, &Patch::Apply(crd)).await;
    let applied = applied.with_context(|| format!("cannot install the kind {}", crd.name_any()))?;
    established(definitions, &applied).await
}

/// Creates a definition unless somebody else's is there; returns when its kind is served.
async fn define_missing(
    definitions: &Api<CustomResourceDefinition>,
    crd: &CustomResourceDefinition,
) -> anyhow::Result<()> {
    let name = crd.name_any();
    let found = definitions.get_opt(&name).await.with_context(|| format!("cannot look for {name}"))?;
    let there = match found {
        Some(found) => found,
        None => match definitions.create(&PostParams::default(), crd).await {
            Err(kube::Error::Api(status)) if status.code == 409 => crd.clone(),
            created => created.with_context(|| format!("cannot install the kind {name}"))?,
        },
    };
    established(definitions, &there).await
}

async fn established(
    definitions: &Api<CustomResourceDefinition>,
    crd: &CustomResourceDefinition,
) -> anyhow::Result<()> {
    if is_crd_established().matches_object(Some(crd)) {
        return Ok(());
    }
    let name = crd.name_any();
    tokio::time::timeout(PATIENCE, await_condition(definitions.clone(), &name, is_crd_established()))
        .await
        .with_context(|| format!("the kind {name} was not established in time"))?
        .with_context(|| format!("cannot watch the kind {name}"))
        .map(drop)
}

/// Notes where the gateway answers, in the place where a cluster's platform has it.
pub(crate) async fn configuration(client: &Client, gateway_url: &str) -> anyhow::Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "platform-system");
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": CONFIGURATION },
        "data": { "APHEX_GATEWAY_URL": gateway_url },
    });
    let parameters = PatchParams::apply(MANAGER).force();
    let applied = api.patch(CONFIGURATION, &parameters, &Patch::Apply(&map)).await;
    applied.map(drop).with_context(|| format!("cannot write the ConfigMap {CONFIGURATION}"))
}

/// Brings admission policies and the rights of groups to what this program knows; they hold when this returns.
async fn rules(client: &Client) -> anyhow::Result<()> {
    let mut objects: Vec<DynamicObject> = Vec::new();
    for text in POLICIES.iter().chain([&RIGHTS]) {
        let documents = serde_saphyr::from_multiple::<DynamicObject>(text);
        objects.extend(documents.context("a built-in manifest is not readable")?);
    }
    let foreign = serde_saphyr::from_multiple::<ClusterRole>(FOREIGN_RIGHTS);
    let foreign: Vec<ClusterRole> = foreign.context("a built-in role is not readable")?;
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let foreign = try_join_all(foreign.iter().map(|role| create_missing(&roles, role)));
    let own = try_join_all(objects.iter().map(|object| apply_manifest(client, object)));
    try_join(own, foreign).await.map(drop)
}

async fn apply_manifest(client: &Client, object: &DynamicObject) -> anyhow::Result<()> {
    let types = object.types.as_ref().context("a built-in manifest has no kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let (name, parameters) = (object.name_any(), PatchParams::apply(MANAGER).force());
    let applied = api.patch(&name, &parameters, &Patch::Apply(object)).await;
    applied.map(drop).with_context(|| format!("cannot install the {} {name}", types.kind))
}

async fn interceptors(client: &Client) -> anyhow::Result<()> {
    let kind = GroupVersionKind::gvk("triggers.tekton.dev", "v1alpha1", "ClusterInterceptor");
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    for name in INTERCEPTORS {
        let path = json!({ "service": { "name": "tekton-triggers-core-interceptors", "namespace": "tekton-pipelines", "path": name } });
        let interceptor =
            DynamicObject::new(name, &resource).data(json!({ "spec": { "clientConfig": path } }));
        create_missing(&api, &interceptor).await?;
    }
    Ok(())
}

/// Creates an object unless it is there.
async fn create_missing<K>(api: &Api<K>, object: &K) -> anyhow::Result<()>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    let name = object.meta().name.clone().unwrap_or_default();
    if api.get_metadata_opt(&name).await.with_context(|| format!("cannot look for {name}"))?.is_some() {
        return Ok(());
    }
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop).with_context(|| format!("cannot create {name}")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn local_mode_has_every_policy_of_the_platform() -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../platform/policies");
        let text = std::fs::read_to_string(folder.join("kustomization.yaml"))?;
        let kustomization: serde_json::Value = serde_saphyr::from_str(&text)?;
        let listed = kustomization["resources"].as_array().context("it lists resources")?;
        let files =
            listed.iter().filter_map(|name| Some(std::fs::read_to_string(folder.join(name.as_str()?))));
        assert_eq!(files.collect::<Result<Vec<_>, _>>()?, POLICIES);
        Ok(())
    }

    #[test]
    fn local_mode_has_the_rights_that_groups_have_on_a_cluster() -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../platform/rbac");
        let text = std::fs::read_to_string(folder.join("kustomization.yaml"))?;
        let kustomization: serde_json::Value = serde_saphyr::from_str(&text)?;
        assert_eq!(kustomization["resources"], serde_json::json!(["platform-rbac.yaml"]));
        let objects = serde_saphyr::from_multiple::<DynamicObject>(RIGHTS)?;
        let within: Vec<&DynamicObject> =
            objects.iter().filter(|object| object.metadata.namespace.is_some()).collect();
        assert!(within.iter().all(|object| object.namespace().as_deref() == Some(NAMESPACES[0])));
        let rules: Vec<&serde_json::Value> =
            within.iter().map(|object| &object.data["rules"]).filter(|rules| !rules.is_null()).collect();
        let reads = json!([
            { "apiGroups": [""], "resources": ["configmaps"], "resourceNames": [CONFIGURATION], "verbs": ["get"] },
        ]);
        assert_eq!(rules, [&reads], "the configuration, and nothing else where the platform has its Secrets");
        Ok(())
    }
}
