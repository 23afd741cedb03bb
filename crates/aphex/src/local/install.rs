//! What a fresh engine needs before the roles start: kinds, namespaces, interceptors.
//!
//! Kinds of Tekton, Argo CD and External Secrets are installed only where they are missing, so that nothing
//! here ever replaces a real engine's own definitions.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

/// Definitions of kinds that a real cluster gets from their engines.
const FOREIGN: &[&str] = &[
    include_str!("../../foreign/argocd.yaml"),
    include_str!("../../foreign/external-secrets.yaml"),
    include_str!("../../foreign/tekton.yaml"),
    include_str!("../../foreign/triggers.yaml"),
];
/// Namespaces that the platform works in.
const NAMESPACES: &[&str] = &["platform-system", "argocd"];
/// Interceptors that the gateway has built in, as Tekton's own installation names them.
const INTERCEPTORS: &[&str] = &["bitbucket", "cel", "github", "gitlab", "slack"];
const MANAGER: &str = "aphex-local";
const PATIENCE: Duration = Duration::from_secs(20);

/// Puts everything in place; does nothing that is done already.
pub(crate) async fn install(client: &Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut names = Vec::new();
    for crd in aphex_api::crds::all() {
        names.push(crd.name_any());
        let apply = PatchParams::apply(MANAGER).force();
        definitions
            .patch(&crd.name_any(), &apply, &Patch::Apply(&crd))
            .await
            .with_context(|| format!("cannot install the kind {}", crd.name_any()))?;
    }
    for text in FOREIGN {
        let foreign: Vec<CustomResourceDefinition> =
            serde_saphyr::from_multiple(text).context("a built-in definition is not readable")?;
        for crd in foreign {
            names.push(crd.name_any());
            create_missing(&definitions, &crd).await?;
        }
    }
    for name in &names {
        tokio::time::timeout(PATIENCE, await_condition(definitions.clone(), name, is_crd_established()))
            .await
            .with_context(|| format!("the kind {name} was not established in time"))?
            .with_context(|| format!("cannot watch the kind {name}"))?;
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in NAMESPACES {
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        create_missing(&namespaces, &namespace).await?;
    }
    interceptors(client).await
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
