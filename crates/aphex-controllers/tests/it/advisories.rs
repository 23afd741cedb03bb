//! What went wrong in other multi-tenancy software, tried here: each published advisory of Capsule is a case.
//!
//! Whoever asks has every right that the advisory takes for granted, so that RBAC is not what refuses it.

use aphex_api::repo_binding::RepoBinding;
use http::Method;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::engine::{Engine, PLATFORM, binding_spec, pipeline};

/// An organization with a tenant, and an account of the tenant's namespace that may do everything to namespaces.
async fn world(name: &str) -> anyhow::Result<(Engine, Client)> {
    let engine = Engine::start().await?;
    engine.organization(name).await?;
    let tenant = format!("{name}-app");
    engine.binding(&tenant, name).await?;
    engine.phase(&tenant, "Ready").await?;
    engine
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": "test-namespaces" },
            "rules": [{ "apiGroups": [""], "verbs": ["*"],
                "resources": ["namespaces", "namespaces/status", "namespaces/finalize"] }],
        }))
        .await?;
    engine
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": format!("test-namespaces-{name}") },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "test-namespaces" },
            "subjects": [{ "kind": "ServiceAccount", "namespace": tenant, "name": "web" }],
        }))
        .await?;
    let insider = engine.acting_as_account(&tenant, "web").await?;
    Ok((engine, insider))
}

/// The status code of a request; 200 for what is let through.
async fn code(client: &Client, method: Method, path: &str, kind: &str, body: &Value) -> anyhow::Result<u16> {
    let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
    match client.request::<Value>(request.body(body.to_string().into_bytes())?).await {
        Ok(_) => Ok(200),
        Err(kube::Error::Api(status)) => Ok(status.code),
        Err(other) => Err(other.into()),
    }
}

const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ghsa_x45c_cvp8_q4fm_a_tenant_does_not_take_off_what_says_whose_it_is() -> anyhow::Result<()> {
    let (engine, insider) = world("detach").await?;
    let before = Api::<Namespace>::all(engine.client.clone()).get("detach-app").await?;
    let ours = before.labels().keys().filter(|key| key.starts_with("platform.aphex/"));
    let kept = ours.map(String::as_str).chain(["aphex.dev/org", "pod-security.kubernetes.io/enforce"]);
    for key in kept {
        let patch = json!({ "metadata": { "labels": { key: null } } });
        let answer = code(&insider, Method::PATCH, "/api/v1/namespaces/detach-app", MERGE, &patch).await?;
        assert_eq!(answer, 403, "{key} was taken off");
    }
    let free = json!({ "metadata": { "labels": { "colour": "blue" } } });
    assert_eq!(code(&insider, Method::PATCH, "/api/v1/namespaces/detach-app", MERGE, &free).await?, 200);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ghsa_mq69_4j5w_3qwp_a_namespace_of_nobody_is_not_adopted() -> anyhow::Result<()> {
    let (engine, insider) = world("adopt").await?;
    let bare = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "adopted" } });
    engine.apply(&bare).await?;
    let owner = engine.api::<RepoBinding>(PLATFORM).get("adopt-app").await?.uid();
    let labels = json!({ "platform.aphex/owner-uid": owner, "platform.aphex/owner-kind": "RepoBinding" });
    let patch = json!({ "metadata": { "labels": labels } });
    assert_eq!(code(&insider, Method::PATCH, "/api/v1/namespaces/adopted", MERGE, &patch).await?, 403);
    // Nor by an owner reference, which means nothing here, nor by the name of the controllers' field manager.
    let reference = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "aphex.io/v1alpha1", "kind": "RepoBinding", "name": "adopted", "uid": owner }] } });
    code(&insider, Method::PATCH, "/api/v1/namespaces/adopted?dryRun=All", MERGE, &reference).await?;
    let manager = aphex_api::labels::FIELD_MANAGER;
    let path = format!("/api/v1/namespaces/adopted?fieldManager={manager}&force=true");
    let mut offered = bare.clone();
    offered["metadata"]["labels"] = json!({ "colour": "blue" });
    assert_eq!(code(&insider, Method::PATCH, &path, APPLY, &offered).await?, 200);
    engine.binding("adopted", "adopt").await?;
    let status = engine.phase("adopted", "Failed").await?;
    assert_eq!(status.message, "Namespace adopted exists already and is not this RepoBinding's");
    let namespace = Api::<Namespace>::all(engine.client.clone()).get("adopted").await?;
    assert!(!namespace.labels().keys().any(|key| key.starts_with("platform.aphex/")));
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ghsa_fcpm_6mxq_m5vv_and_2ww6_hf35_mfjm_no_label_is_injected_anywhere_by_any_way()
-> anyhow::Result<()> {
    let (engine, insider) = world("inject").await?;
    for place in ["kube-system", "default", PLATFORM, "argocd", "org-inject", "inject-app"] {
        for key in ["aphex.dev/org", "platform.aphex/tenant", "platform.aphex/managed-by"] {
            let value = json!({ "metadata": { "labels": { key: "victim" } } });
            let escaped = key.replace('/', "~1");
            let found = Api::<Namespace>::all(engine.client.clone()).get(place).await?;
            let mut whole = serde_json::to_value(&found)?;
            whole["metadata"]["labels"][key] = json!("victim");
            let mut applied = json!({ "apiVersion": "v1", "kind": "Namespace" });
            applied["metadata"] = json!({ "name": place, "labels": { key: "victim" } });
            let add =
                json!([{ "op": "add", "path": format!("/metadata/labels/{escaped}"), "value": "victim" }]);
            let strategic = "application/strategic-merge-patch+json";
            let attempts = [
                (Method::PATCH, "?dryRun=All", MERGE, &value),
                (Method::PATCH, "?dryRun=All", strategic, &value),
                (Method::PATCH, "?dryRun=All", JSON_PATCH, &add),
                (Method::PATCH, "?dryRun=All&fieldManager=aphex&force=true", APPLY, &applied),
                (Method::PUT, "?dryRun=All", "application/json", &whole),
                (Method::PATCH, "/status?dryRun=All", MERGE, &value),
                (Method::PUT, "/status?dryRun=All", "application/json", &whole),
                (Method::PUT, "/finalize?dryRun=All", "application/json", &whole),
            ];
            for (method, rest, kind, body) in attempts {
                let path = format!("/api/v1/namespaces/{place}{rest}");
                let answer = code(&insider, method.clone(), &path, kind, body).await?;
                assert_eq!(answer, 403, "{method} {path} {kind} with {key}");
            }
        }
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ghsa_gjw4_3v3v_rqxg_a_reserved_label_is_not_smuggled_in_on_creation() -> anyhow::Result<()> {
    let (engine, insider) = world("smuggle").await?;
    for labels in [
        json!({ "aphex.dev/org": "smuggle" }),
        json!({ "colour": "blue", "aphex.dev/org": "smuggle" }),
        json!({ "platform.aphex/profile": "elevated" }),
    ] {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "smuggled", "labels": labels } });
        let path = "/api/v1/namespaces?dryRun=All";
        assert_eq!(
            code(&insider, Method::POST, path, "application/json", &namespace).await?,
            403,
            "{labels}"
        );
        let generated = json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "generateName": "smuggled-", "labels": labels } });
        assert_eq!(
            code(&insider, Method::POST, path, "application/json", &generated).await?,
            403,
            "{labels}"
        );
        let apply = "/api/v1/namespaces/smuggled?dryRun=All&fieldManager=x";
        assert_eq!(code(&insider, Method::PATCH, apply, APPLY, &namespace).await?, 403, "{labels}");
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ghsa_qjjm_7j9w_pw72_and_jr6p_8pjj_mfx6_the_controllers_make_nothing_for_a_tenant_but_its_pipeline()
-> anyhow::Result<()> {
    let (engine, _) = world("raw").await?;
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: raw-evil }\nrules: []\n";
    let good = pipeline("raw-evil", "");
    let elsewhere = good.replace("name: raw-evil\n", "name: raw-evil\n  namespace: kube-system\n  ownerReferences: [{ apiVersion: v1, kind: Namespace, name: kube-system, uid: x }]\n  finalizers: [x.y/z]\n  labels: { platform.aphex/tenant: victim, aphex.dev/org: victim }\n");
    for (text, accepted) in [
        (role.to_owned(), false),
        (format!("{good}---\n{role}"), false),
        (good.replace("kind: Pipeline", "kind: List"), false),
        (elsewhere, true),
    ] {
        let mut spec = binding_spec("raw-evil", "raw");
        spec["pipelineSpec"] = json!(text);
        engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "raw-evil", spec).await?;
        engine.phase("raw-evil", if accepted { "Ready" } else { "Failed" }).await?;
        let roles: Api<ClusterRole> = Api::all(engine.client.clone());
        assert!(roles.get_opt("raw-evil").await?.is_none(), "{text}");
        assert_eq!(engine.has_namespace("raw-evil").await?, accepted, "{text}");
        if accepted {
            let made =
                engine.dynamic("tekton.dev", "v1", "Pipeline", Some("raw-evil")).get("raw-evil").await?;
            assert_eq!(made.labels().get("platform.aphex/tenant").map(String::as_str), Some("raw-evil"));
            assert!(!made.labels().contains_key("aphex.dev/org"));
            assert!(
                made.finalizers().is_empty() && made.owner_references().is_empty(),
                "{:?}",
                made.metadata
            );
            let there = engine.dynamic("tekton.dev", "v1", "Pipeline", Some("kube-system"));
            assert!(there.get_opt("raw-evil").await?.is_none());
        } else {
            engine.delete_raw("RepoBinding", "raw-evil").await?;
        }
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2023_46254_accounts_of_one_name_in_two_tenants_are_two() -> anyhow::Result<()> {
    let (engine, _) = world("twin").await?;
    engine.binding("twin-web", "twin").await?;
    engine.phase("twin-web", "Ready").await?;
    let runner = engine.acting_as_account("twin-web", "pipeline-runner").await?;
    for path in [
        "/api/v1/namespaces",
        "/api/v1/namespaces/twin-app",
        "/api/v1/namespaces/twin-app/secrets",
        "/apis/tekton.dev/v1/namespaces/twin-app/pipelineruns",
    ] {
        assert_eq!(code(&runner, Method::GET, path, MERGE, &json!({})).await?, 403, "{path}");
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_nodes_is_not_reaching_through_them() -> anyhow::Result<()> {
    let (engine, _) = world("node").await?;
    let mut elevated = binding_spec("node-infra", "node");
    elevated["permissionProfile"] = json!("elevated");
    engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "node-infra", elevated).await?;
    engine.phase("node-infra", "Ready").await?;
    let runner = engine.acting_as_account("node-infra", "pipeline-runner").await?;
    assert_eq!(code(&runner, Method::GET, "/api/v1/nodes", MERGE, &json!({})).await?, 200);
    let path = "/api/v1/nodes/some-node/proxy/exec/kube-system/some-pod/shell";
    for method in [Method::GET, Method::POST] {
        assert_eq!(code(&runner, method, path, MERGE, &json!({})).await?, 403);
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_writes_no_account_token_where_an_administrator_can_read_it() -> anyhow::Result<()> {
    let (engine, _) = world("token").await?;
    let administrator = engine.acting_as("ann@acme.com", &[]).await?;
    let token = |account: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": { "name": "org-secrets", "annotations": { "kubernetes.io/service-account.name": account } },
        })
    };
    let path = "/api/v1/namespaces/org-token/secrets";
    for account in ["eventlistener", "eso-secrets-reader"] {
        let answer = code(&administrator, Method::POST, path, "application/json", &token(account)).await?;
        assert_eq!(answer, 403, "{account}");
    }
    let runner = engine.acting_as_account("token-app", "pipeline-runner").await?;
    let path = "/api/v1/namespaces/token-app/secrets";
    assert_eq!(code(&runner, Method::POST, path, "application/json", &token("default")).await?, 403);
    let plain = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "org-secrets" } });
    let path = "/api/v1/namespaces/org-token/secrets";
    assert_eq!(code(&administrator, Method::POST, path, "application/json", &plain).await?, 200);
    // The type of a Secret is immutable, so it does not become one later.
    let secrets = engine.api::<Secret>("org-token");
    let patch = Patch::Merge(json!({ "type": "kubernetes.io/service-account-token" }));
    assert!(secrets.patch("org-secrets", &PatchParams::default(), &patch).await.is_err());
    engine.finish().await
}
