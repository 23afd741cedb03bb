//! Definitions, namespaces, and bindings to make.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use aphex_testkit::eventually_for;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);

/// Puts on an engine what the controllers expect there.
pub(crate) async fn install(client: &Client) -> anyhow::Result<()> {
    let mut definitions: Vec<Value> =
        aphex_api::crds::all().iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../aphex/foreign");
    for name in ["tekton", "triggers", "argocd", "external-secrets"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.yaml")))?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
        definitions.extend(documents.into_iter().filter(|document| !document.is_null()));
    }
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let apply = PatchParams::apply("bench").force();
    for definition in &definitions {
        let name = definition["metadata"]["name"].as_str().context("a definition has a name")?;
        api.patch(name, &apply, &Patch::Apply(definition)).await?;
        eventually_for(PATIENCE, "a definition is established", || async {
            let conditions = api.get(name).await?.data["status"]["conditions"].clone();
            let established = |c: &Value| c["type"] == "Established" && c["status"] == "True";
            Ok(conditions.as_array().into_iter().flatten().any(established).then_some(()))
        })
        .await?;
    }
    let kind = GroupVersionKind::gvk("", "v1", "Namespace");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    for name in ["platform-system", "argocd"] {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        api.patch(name, &apply, &Patch::Apply(namespace)).await?;
    }
    // ClusterRoles that the controllers only refer to.
    for folder in ["controller", "gateway"] {
        aphex_testkit::platform::apply_rights(client, folder).await?;
    }
    Ok(())
}

/// A binding.
pub(crate) fn binding(name: &str, organization: &str) -> Value {
    let pipeline = format!(
        "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata:\n  name: {name}\nspec:\n  params: [{{ name: git-url }}]\n  tasks:\n    - name: build\n      taskRef:\n        name: build\n"
    );
    json!({
        "apiVersion": "aphex.io/v1alpha1",
        "kind": "RepoBinding",
        "metadata": { "name": name, "namespace": "platform-system" },
        "spec": {
            "aphexOrg": organization,
            "repoOrg": "Acme",
            "repoName": format!("{name}.repo"),
            "pipelineName": name,
            "templateRef": "run-pipeline-v1",
            "pipelineSpec": pipeline,
        },
    })
}
