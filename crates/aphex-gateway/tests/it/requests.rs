//! What the gateway answers.

use std::fmt::Write as _;

use aphex_api::delivery::Delivery;
use aphex_gateway::sign;
use aphex_testkit::eventually;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::world::{PLATFORM, SECRET, World, push};

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<(u16, Value)> {
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.json().await?))
}

#[tokio::test]
async fn requests_that_are_not_signed_events_are_refused_and_not_stored() -> anyhow::Result<()> {
    let world = World::start("refuse").await?;
    let path = format!("/{}", world.name);
    let body = push()?.to_string();
    let signed = |body: &str, content_type: &str| {
        world
            .post(&path)
            .header("content-type", content_type)
            .header("x-hub-signature-256", sign(SECRET.as_bytes(), body.as_bytes()))
            .body(body.to_owned())
    };
    let unsigned = world.post(&path).header("content-type", "application/json").body(body.clone());
    let invalid = json!({ "error": "Invalid webhook signature" });
    assert_eq!(answer(unsigned.try_clone().unwrap()).await?, (401, invalid.clone()));
    let wrong = unsigned.header("x-hub-signature-256", sign(b"wrong", body.as_bytes()));
    assert_eq!(answer(wrong).await?, (401, invalid));
    let payload = json!({ "error": "Invalid webhook payload" });
    for broken in ["{", "[]", "\"text\"", ""] {
        assert_eq!(answer(signed(broken, "application/json")).await?, (400, payload.clone()), "{broken}");
    }
    let form = "application/x-www-form-urlencoded";
    assert_eq!(answer(signed("x=1", form)).await?, (400, payload.clone()));
    assert_eq!(answer(signed(&body, "text/plain")).await?.0, 415);
    let compressed = signed(&body, "application/json").header("content-encoding", "gzip");
    let plain_only = json!({ "error": "Webhook payloads must not be compressed (Content-Encoding)" });
    assert_eq!(answer(compressed).await?, (415, plain_only));
    // Deeper than serde_json goes (128), within and beyond what the stack would bear.
    for depth in [128, 1_000_000] {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(answer(signed(&deep, "application/json")).await?, (400, payload.clone()), "{depth}");
    }
    assert_eq!(answer(world.post("/nobody").body(body.clone())).await?.0, 404);
    let large =
        world.post(&path).header("content-type", "application/json").body(vec![b' '; 25 * 1024 * 1024 + 1]);
    // The answer comes before the body was sent, so a client may see the connection close instead.
    assert!(answer(large).await.map_or(true, |(code, _)| code == 413));
    // Small enough as it comes, and not as it would be kept: with U+FFFD for each byte that is no UTF-8.
    let growing = [b"{\"a\":\"", vec![0xff; 9_500_000].as_slice(), b"\"}"].concat();
    let growing = world
        .post(&path)
        .header("content-type", "application/json")
        .header("x-hub-signature-256", sign(SECRET.as_bytes(), &growing))
        .body(growing);
    assert_eq!(answer(growing).await?.0, 413);
    let get = reqwest::Method::GET;
    let request = world.post(&path).build()?;
    let mut get_request = reqwest::Request::new(get, request.url().clone());
    get_request.headers_mut().clone_from(request.headers());
    let response = reqwest::Client::new().execute(get_request).await?;
    assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str()?), (405, "POST"));
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    assert_eq!(deliveries.list(&ListParams::default()).await?.items, []);
    Ok(())
}

#[tokio::test]
async fn forms_and_hosts_are_understood() -> anyhow::Result<()> {
    let world = World::start("form").await?;
    let mut form = String::from("payload=");
    for byte in push()?.to_string().bytes() {
        write!(form, "%{byte:02X}")?;
    }
    let request = world
        .post("/")
        .header("host", format!("{}.hooks.example.com", world.name))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-github-event", "push")
        .header("x-github-delivery", "by-host")
        .header("x-hub-signature-256", sign(SECRET.as_bytes(), form.as_bytes()))
        .body(form);
    let expected = json!({ "eventListener": "github-listener", "namespace": world.organization(), "eventID": "by-host" });
    assert_eq!(answer(request).await?, (200, expected));
    world.verdict("by-host").await?;
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

/// What the controllers make for a tenant that stands alone, in its own namespace.
fn standalone(tenant: &str) -> [Value; 8] {
    let metadata = |name: &str| json!({ "name": name, "namespace": tenant });
    let role = |kind: &str, name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
    let account = |name: &str, namespace: &str| json!([{ "kind": "ServiceAccount", "name": name, "namespace": namespace }]);
    let github = json!({
        "ref": { "name": "github", "kind": "ClusterInterceptor" },
        "params": [{ "name": "secretRef", "value": { "secretName": format!("webhook-{tenant}"), "secretKey": "secret" } }],
    });
    [
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": tenant } }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("pipeline-runner") }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata(&format!("webhook-{tenant}")),
            "stringData": { "secret": ALONE },
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata("pipeline-runner"),
            "rules": [{ "apiGroups": ["tekton.dev"], "resources": ["pipelineruns"], "verbs": ["create"] }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata("pipeline-runner"),
            "roleRef": role("Role", "pipeline-runner"), "subjects": account("pipeline-runner", tenant),
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata("aphex-gateway"),
            "roleRef": role("ClusterRole", "aphex-gateway-listener"), "subjects": account("aphex-gateway", PLATFORM),
        }),
        json!({
            "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "TriggerTemplate",
            "metadata": metadata("cdktf-deploy-trigger-template"),
            "spec": { "resourcetemplates": [{
                "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
                "metadata": { "generateName": "cdktf-deploy-", "namespace": tenant },
                "spec": { "pipelineRef": { "name": "cdktf-deploy" } },
            }] },
        }),
        json!({
            "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "EventListener", "metadata": metadata("github-listener"),
            "spec": { "serviceAccountName": "pipeline-runner", "triggers": [{
                "name": "github-push", "interceptors": [github], "template": { "ref": "cdktf-deploy-trigger-template" },
            }] },
        }),
    ]
}

const ALONE: &str = "whsec_of_the_tenant_that_stands_alone";

#[tokio::test]
async fn a_tenant_that_stands_alone_is_served_under_its_name_with_its_own_secret() -> anyhow::Result<()> {
    let world = World::start("alone").await?;
    let tenant = format!("{}-archon", world.name);
    for object in standalone(&tenant) {
        world.apply(object).await?;
    }
    let body = push()?.to_string();
    let post = |secret: &str| {
        world
            .post(&format!("/{tenant}"))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", "alone")
            .header("x-hub-signature-256", sign(secret.as_bytes(), body.as_bytes()))
            .body(body.clone())
    };
    let answered = eventually("the listener is known", || async {
        Ok(Some(answer(post(ALONE)).await?).filter(|(code, _)| *code == 200))
    })
    .await?;
    assert_eq!(answered.1["eventListener"], "github-listener");
    assert_eq!(answered.1["namespace"], tenant.as_str());
    // The secret of an organization's repository says nothing here.
    assert_eq!(answer(post(SECRET)).await?.0, 401);
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &tenant);
    let delivery = eventually("the delivery has a verdict", || async {
        let delivery = deliveries.get("alone").await?;
        Ok(delivery.status.filter(|status| status.verdict.is_some()))
    })
    .await?;
    assert_eq!(format!("{:?}", delivery.verdict), "Some(Created)", "{}", delivery.message);
    assert_eq!(delivery.created[0].namespace.as_deref(), Some(tenant.as_str()));
    assert!(delivery.created[0].name.starts_with("cdktf-deploy-"), "{:?}", delivery.created);
    Ok(())
}
