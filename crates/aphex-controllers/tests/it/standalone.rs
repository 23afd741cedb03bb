//! Tenants that belong to no organization: a listener, a secret and a way in of their own.

use aphex_api::foreign::tekton::Pipeline;
use aphex_api::foreign::triggers::{EventListener, TriggerBinding, TriggerTemplate};
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::eventually;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::engine::{Engine, GATEWAY, PLATFORM, standalone_spec};

const HOST: &str = "hooks.example.com";

async fn standalone(engine: &Engine, tenant: &str, host: Option<&str>) -> anyhow::Result<()> {
    let spec = standalone_spec(tenant, host);
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", tenant, spec).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_alone_gets_a_listener_a_secret_and_a_way_in_of_its_own() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    standalone(&engine, "archon", Some(HOST)).await?;
    let status = engine.phase("archon", "Ready").await?;
    assert!(status.conditions.iter().all(|c| c.status == "True"), "{:?}", status.conditions);
    assert_eq!(
        status.message,
        "All resources provisioned successfully; pushes start Pipeline archon/cdktf-deploy, which is not there yet"
    );
    let webhook = status.webhook_configuration.clone().unwrap();
    assert_eq!(webhook.url, "https://hooks.example.com/archon");
    assert_eq!(status.webhook_url.as_ref(), Some(&webhook.url));
    let flags = serde_json::to_value(&status)?;
    for flag in [
        "namespaceCreated",
        "serviceAccountCreated",
        "rbacCreated",
        "quotasCreated",
        "networkPolicyCreated",
        "terraformSecretCreated",
        "eventListenerCreated",
        "ingressCreated",
    ] {
        assert_eq!(flags[flag], true, "{flag}");
    }
    let listener = engine.api::<EventListener>("archon").get("github-listener").await?;
    assert_eq!(listener.spec.service_account_name, "pipeline-runner");
    assert_eq!(listener.spec.triggers[0].name, "github-push");
    let template = listener.spec.triggers[0].template.clone().unwrap().reference;
    assert_eq!(template.as_deref(), Some("cdktf-deploy-trigger-template"));
    engine.api::<TriggerBinding>("archon").get("github-push-binding").await?;
    let secret = engine.api::<Secret>("archon").get("webhook-archon").await?;
    assert_eq!(aphex_controllers::webhook_secret::read(&secret), Some(webhook.secret));
    let service = engine.api::<Service>("archon").get("github-webhook").await?.spec.unwrap();
    assert_eq!(service.external_name.as_deref(), Some("aphex-gateway.platform-system.svc.cluster.local"));
    let ingress = engine.api::<Ingress>("archon").get("github-webhook").await?.spec.unwrap();
    assert_eq!(ingress.rules.unwrap()[0].host.as_deref(), Some(HOST));
    let namespace = Api::<Namespace>::all(engine.client.clone()).get("archon").await?;
    assert!(!namespace.labels().contains_key("aphex.dev/org"), "no organization's secrets may be read there");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_host_name_webhooks_arrive_at_the_gateways_own_address() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    standalone(&engine, "homely", None).await?;
    let status = engine.phase("homely", "Ready").await?;
    assert_eq!(status.webhook_url, Some(format!("{GATEWAY}/homely")));
    assert!(status.event_listener_created && !status.ingress_created);
    let ingresses = engine.api::<Ingress>("homely");
    assert!(ingresses.get_opt("github-webhook").await?.is_none());

    // The host name comes, and goes again with all that was for it.
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let patch = |host: Value| Patch::Merge(json!({ "spec": { "ingressHost": host } }));
    bindings.patch("homely", &PatchParams::default(), &patch(json!(HOST))).await?;
    let there = |binding: &RepoBinding| binding.status.as_ref().is_some_and(|s| s.ingress_created);
    let binding = engine.until::<RepoBinding>(PLATFORM, "homely", "an Ingress is seen", there).await?;
    assert_eq!(binding.status.unwrap().webhook_url.as_deref(), Some("https://hooks.example.com/homely"));
    bindings.patch("homely", &PatchParams::default(), &patch(Value::Null)).await?;
    eventually("Ingress and Service are pruned", || async {
        let service = engine.api::<Service>("homely").get_opt("github-webhook").await?;
        Ok((service.is_none() && ingresses.get_opt("github-webhook").await?.is_none()).then_some(()))
    })
    .await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_fitted_to_the_pipeline_that_the_tenant_brings() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    standalone(&engine, "fitted", None).await?;
    engine.phase("fitted", "Ready").await?;
    let workspaces = |template: &TriggerTemplate| {
        template.spec.resource_templates[0]["spec"]["workspaces"].as_array().map(Vec::len)
    };
    let name = "cdktf-deploy-trigger-template";
    let templates = engine.api::<TriggerTemplate>("fitted");
    assert_eq!(workspaces(&templates.get(name).await?), None);

    let pipeline = |param: &str| {
        json!({
            "apiVersion": "tekton.dev/v1", "kind": "Pipeline",
            "metadata": { "name": "cdktf-deploy", "namespace": "fitted" },
            "spec": {
                "params": [{ "name": param, "type": "string" }],
                "workspaces": [{ "name": "source" }],
                "tasks": [{ "name": "build", "taskRef": { "name": "build" } }],
            },
        })
    };
    engine.apply(&pipeline("no-such-param")).await?;
    let bound = |template: &TriggerTemplate| workspaces(template) == Some(1);
    engine.until::<TriggerTemplate>("fitted", name, "the workspace is bound", bound).await?;
    let says = |words: &'static str| {
        move |binding: &RepoBinding| binding.status.as_ref().is_some_and(|s| s.message.contains(words))
    };
    let message =
        "its runs will fail until Pipeline fitted/cdktf-deploy is mended: parameter \"no-such-param\"";
    engine.until::<RepoBinding>(PLATFORM, "fitted", "what is wrong is told", says(message)).await?;
    engine.apply(&pipeline("git-url")).await?;
    let settled = |binding: &RepoBinding| {
        binding.status.as_ref().is_some_and(|s| s.message == "All resources provisioned successfully")
    };
    engine.until::<RepoBinding>(PLATFORM, "fitted", "nothing is left to say", settled).await?;

    // One that cannot be read is the tenant's trouble alone.
    let pipelines = engine.api::<Pipeline>("fitted");
    pipelines.delete("cdktf-deploy", &DeleteParams::default()).await?;
    let status =
        engine.until::<RepoBinding>(PLATFORM, "fitted", "it is missed", says("not there yet")).await?;
    assert_eq!(format!("{:?}", status.status.unwrap().phase), "Ready");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tekton_makes_of_a_listener_is_left_to_tekton() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    standalone(&engine, "beside", Some(HOST)).await?;
    engine.phase("beside", "Ready").await?;
    let listener = engine.api::<EventListener>("beside").get("github-listener").await?;
    // Its Service carries the listener's labels.
    let service: Service = serde_json::from_value(json!({
        "metadata": { "name": "el-github-listener", "labels": listener.labels() },
        "spec": { "ports": [{ "port": 8080 }], "selector": { "eventlistener": "github-listener" } },
    }))?;
    let services = engine.api::<Service>("beside");
    let made = services.create(&PostParams::default(), &service).await?;
    // A pass that prunes: the Ingress goes, and with it the Service that is ours.
    let patch = Patch::Merge(json!({ "spec": { "ingressHost": null } }));
    engine.api::<RepoBinding>(PLATFORM).patch("beside", &PatchParams::default(), &patch).await?;
    eventually("our Service is pruned", || async {
        Ok(services.get_opt("github-webhook").await?.is_none().then_some(()))
    })
    .await?;
    assert_eq!(services.get("el-github-listener").await?.uid(), made.uid());
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_in_is_repaired_and_goes_with_the_tenant() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    standalone(&engine, "leaving", Some(HOST)).await?;
    engine.phase("leaving", "Ready").await?;
    let (ingresses, services) = (engine.api::<Ingress>("leaving"), engine.api::<Service>("leaving"));
    ingresses.delete("github-webhook", &DeleteParams::default()).await?;
    let astray = Patch::Merge(json!({ "spec": { "externalName": "elsewhere.example.com" } }));
    services.patch("github-webhook", &PatchParams::default(), &astray).await?;
    eventually("both are as they were", || async {
        let service = services.get("github-webhook").await?.spec.and_then(|spec| spec.external_name);
        let right = service.is_some_and(|name| name.starts_with("aphex-gateway."));
        Ok((right && ingresses.get_opt("github-webhook").await?.is_some()).then_some(()))
    })
    .await?;
    engine.phase("leaving", "Ready").await?;
    engine.api::<RepoBinding>(PLATFORM).delete("leaving", &DeleteParams::default()).await?;
    eventually("nothing is left", || async {
        let left = engine.labelled("platform.aphex/owner-name=leaving").await?;
        let binding = engine.api::<RepoBinding>(PLATFORM).get_opt("leaving").await?;
        Ok((left.is_empty() && binding.is_none() && !engine.has_namespace("leaving").await?).then_some(()))
    })
    .await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_let_in_and_names_are_kept_apart() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    standalone(&engine, "first", None).await?;
    engine.phase("first", "Ready").await?;
    let gateway = engine.api::<RoleBinding>("first").get("aphex-gateway").await?;
    assert_eq!(gateway.role_ref.name, "aphex-gateway-listener");
    // Two tenants alone have no owner in common, so neither wildcard may reach the other.
    standalone(&engine, "first-too", None).await?;
    let status = engine.phase("first-too", "Failed").await?;
    assert_eq!(status.message, "first-too overlaps first, the tenant of RepoBinding first of another owner");
    assert!(!engine.has_namespace("first-too").await?);
    standalone(&engine, "argocd", None).await?;
    let status = engine.phase("argocd", "Failed").await?;
    assert_eq!(status.message, "Cannot create namespace with privileged name");
    assert!(!status.namespace_created && !status.ingress_created);
    engine.finish().await
}
