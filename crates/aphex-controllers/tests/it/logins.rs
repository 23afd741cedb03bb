//! The manifests of Dex, Authentik and their clients: the API server takes them, and their pods are as restricted as they say.

use anyhow::Context as _;
use aphex_testkit::{Cluster, eventually, platform};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

/// What is applied by itself, beside `platform/auth`.
const INTEGRATIONS: [&str; 2] = [
    include_str!("../../../../platform/integrations/argocd-oidc-config.yaml"),
    include_str!("../../../../platform/integrations/tekton-dashboard-oidc.yaml"),
];

fn all() -> anyhow::Result<Vec<Value>> {
    let mut objects = platform::manifests("auth")?;
    for text in INTEGRATIONS {
        objects.extend(serde_saphyr::from_multiple::<Value>(text)?);
    }
    Ok(objects)
}

fn api(client: &Client, object: &DynamicObject) -> anyhow::Result<Api<DynamicObject>> {
    let types = object.types.as_ref().context("a manifest has a kind")?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
    Ok(match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    })
}

/// A cluster with the namespaces of everything, as the manifests have them.
async fn cluster(objects: &[Value]) -> anyhow::Result<Cluster> {
    let cluster = Cluster::start().await?;
    let own = objects.iter().filter(|object| object["kind"] == "Namespace").cloned();
    let others = ["argocd", "tekton-pipelines"]
        .map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    for namespace in own.chain(others) {
        let namespace: DynamicObject = serde_json::from_value(namespace)?;
        let apply = PatchParams::apply("test-logins").force();
        let api = api(&cluster.client(), &namespace)?;
        api.patch(&namespace.name_any(), &apply, &Patch::Apply(&namespace)).await?;
    }
    Ok(cluster)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_takes_every_object_and_knows_every_field() -> anyhow::Result<()> {
    let objects = all()?;
    let cluster = cluster(&objects).await?;
    let apply = PatchParams { dry_run: true, ..PatchParams::apply("test-logins").validation_strict() };
    for object in &objects {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let what = format!("{:?} {}", object.types, object.name_any());
        let api = api(&cluster.client(), &object)?;
        api.patch(&object.name_any(), &apply, &Patch::Apply(&object)).await.context(what)?;
    }
    assert!(objects.len() > 25, "{} objects were applied", objects.len());
    // The same with a field that nobody knows would not pass.
    let mut wrong = objects.iter().find(|object| object["kind"] == "Deployment").cloned().context("one")?;
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolcy"] = json!("Always");
    let wrong: DynamicObject = serde_json::from_value(wrong)?;
    let taken = api(&cluster.client(), &wrong)?.patch(&wrong.name_any(), &apply, &Patch::Apply(&wrong)).await;
    assert!(taken.is_err(), "{taken:?}");
    Ok(())
}

/// A pod as a workload would make it, in a namespace and without what only a workload's controller or volumes provide.
fn pod(workload: &Value) -> Value {
    let template = &workload["spec"]["template"];
    let mut spec = template["spec"].clone();
    let claims = workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    for claim in claims {
        let name = claim["metadata"]["name"].clone();
        if let Some(volumes) = spec["volumes"].as_array_mut() {
            volumes.push(json!({ "name": name, "persistentVolumeClaim": { "claimName": name } }));
        }
    }
    let metadata = json!({
        "generateName": "logins-",
        "namespace": workload["metadata"]["namespace"],
        "labels": template["metadata"]["labels"],
    });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_logins_pass_where_only_restricted_ones_may_run() -> anyhow::Result<()> {
    let objects = all()?;
    let cluster = cluster(&objects).await?;
    let client = cluster.client();
    for account in objects.iter().filter(|object| object["kind"] == "ServiceAccount") {
        let account: DynamicObject = serde_json::from_value(account.clone())?;
        let apply = PatchParams::apply("test-logins").force();
        api(&client, &account)?.patch(&account.name_any(), &apply, &Patch::Apply(&account)).await?;
    }
    let restricted = "auth-system";
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let mut seen = 0;
    for workload in objects.iter().filter(|object| !object["spec"]["template"].is_null()) {
        let mut pod = pod(workload);
        // The proxy's namespace is Tekton's; it would pass here too.
        pod["metadata"]["namespace"] = json!(restricted);
        let object: DynamicObject = serde_json::from_value(pod.clone())?;
        let api = api(&client, &object)?;
        // The namespace's own ServiceAccount appears a moment after the namespace.
        eventually(&format!("{} makes pods", workload["metadata"]["name"]), || async {
            api.create(&dry, &object).await.map(Some).map_err(anyhow::Error::from)
        })
        .await?;
        pod["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
        let lax: DynamicObject = serde_json::from_value(pod)?;
        let refused = api.create(&dry, &lax).await;
        assert!(
            matches!(&refused, Err(kube::Error::Api(status)) if status.message.contains("violates PodSecurity")),
            "{refused:?}"
        );
        seen += 1;
    }
    assert_eq!(seen, 5);
    Ok(())
}
