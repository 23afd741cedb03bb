//! Names: who may have them, who gets them when several want them, and what is left for who has them next.

use std::collections::BTreeSet;

use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::eventually;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::engine::{Engine, PLATFORM, binding_spec};

/// Every privileged name of the published list; those with a star by an example and by their shortest form.
const PRIVILEGED: [&str; 18] = [
    "kube-system",
    "kube-x",
    "default",
    "platform-system",
    "argocd",
    "tekton-pipelines",
    "tekton-x",
    "auth-system",
    "external-secrets",
    "cert-manager",
    "ingress-nginx",
    "pipeline-x",
    "org-x",
    "org-own",
    "user-x",
    "team-x",
    "platform",
    "cert",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_of_the_privileged_names_becomes_a_tenant() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("own").await?;
    engine.organization_phase("own", "Active").await?;
    let existing = |engine: &Engine| {
        let namespaces: Api<Namespace> = Api::all(engine.client.clone());
        async move {
            let list = namespaces.list(&kube::api::ListParams::default()).await?.items;
            anyhow::Ok(list.iter().map(|n| (n.name_any(), n.labels().clone())).collect::<BTreeSet<_>>())
        }
    };
    let before = existing(&engine).await?;
    for name in PRIVILEGED {
        let spec = binding_spec(name, "own");
        let object = format!("try-{name}");
        engine.create::<RepoBinding>(PLATFORM, "RepoBinding", &object, spec).await?;
        let status = engine.phase(&object, "Failed").await?;
        assert_eq!(status.message, "Cannot create namespace with privileged name", "{name}");
    }
    assert_eq!(existing(&engine).await?, before, "no namespace was made or marked");
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wildcard_of_a_project_reaches_into_nobody_elses_namespaces_whoever_came_first()
-> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("long").await?;
    engine.organization("short").await?;
    engine.binding("cart-web-eu", "long").await?;
    engine.phase("cart-web-eu", "Ready").await?;
    for name in ["cart", "cart-web"] {
        engine.binding(name, "short").await?;
        let status = engine.phase(name, "Failed").await?;
        let expected =
            format!("{name} overlaps cart-web-eu, the tenant of RepoBinding cart-web-eu of another owner");
        assert_eq!(status.message, expected);
        let project = engine.dynamic("argoproj.io", "v1alpha1", "AppProject", Some("argocd"));
        assert!(project.get_opt(name).await?.is_none());
    }
    // Beside it and beginning alike is not within it.
    engine.binding("cart-webs", "short").await?;
    engine.phase("cart-webs", "Ready").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wildcard_of_a_project_reaches_into_no_namespace_that_was_there_before() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("reach").await?;
    let system = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "mesh-system" } });
    engine.apply(&system).await?;
    engine.binding("mesh", "reach").await?;
    let refused = engine.phase("mesh", "Failed").await?;
    assert!(
        refused.message.starts_with("Namespace mesh-system was there before and is no tenant of this owner"),
        "{}",
        refused.message
    );
    let project = engine.dynamic("argoproj.io", "v1alpha1", "AppProject", Some("argocd"));
    assert!(project.get_opt("mesh").await?.is_none());
    assert!(!engine.has_namespace("mesh").await?);
    // Beside it and beginning alike is not within it.
    engine.binding("meshes", "reach").await?;
    engine.phase("meshes", "Ready").await?;

    let namespaces: Api<Namespace> = Api::all(engine.client.clone());
    namespaces.delete("mesh-system", &DeleteParams::default()).await?;
    engine.phase("mesh", "Ready").await?;
    engine.binding("mesh-web", "reach").await?;
    engine.phase("mesh-web", "Ready").await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_want_a_name_at_once_one_has_it_for_good() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    for name in ["race-one", "race-two"] {
        engine.organization(name).await?;
        engine.organization_phase(name, "Active").await?;
    }
    let wanted: Vec<(String, &str)> =
        (0..6).map(|n| (format!("racer-{n}"), ["race-one", "race-two"][n % 2])).collect();
    let created = wanted.iter().map(|(name, organization)| {
        let spec = binding_spec("prize", organization);
        engine.create::<RepoBinding>(PLATFORM, "RepoBinding", name, spec)
    });
    try_join_all(created).await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let phases = || async {
        let list = bindings.list(&kube::api::ListParams::default()).await?.items;
        let phase = |binding: &RepoBinding| {
            let status = binding.status.clone().unwrap_or_default();
            (binding.name_any(), format!("{:?}", status.phase))
        };
        anyhow::Ok(list.iter().map(phase).collect::<Vec<_>>())
    };
    let winner = eventually("one is ready and the others are refused", || async {
        let phases = phases().await?;
        let ready: Vec<&String> = phases.iter().filter(|(_, p)| p == "Ready").map(|(name, _)| name).collect();
        let refused = phases.iter().filter(|(_, phase)| phase == "Failed").count();
        assert!(ready.len() < 2, "{phases:?}");
        Ok((ready.len() == 1 && refused == 5).then(|| ready[0].clone()))
    })
    .await?;
    let namespace = Api::<Namespace>::all(engine.client.clone()).get("prize").await?;
    assert_eq!(namespace.labels().get("platform.aphex/owner-name"), Some(&winner));
    bindings.delete(&winner, &DeleteParams::default()).await?;
    let next = eventually("another one has it", || async {
        let phases = phases().await?;
        let ready = phases.iter().find(|(name, phase)| phase == "Ready" && *name != winner);
        Ok(ready.map(|(name, _)| name.clone()))
    })
    .await?;
    let namespace = Api::<Namespace>::all(engine.client.clone()).get("prize").await?;
    assert_eq!(namespace.labels().get("platform.aphex/owner-name"), Some(&next));
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_name_next_finds_nothing_of_who_had_it_before() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    for name in ["former", "latter"] {
        engine.organization(name).await?;
        engine.organization_phase(name, "Active").await?;
    }
    let create = |organization: &'static str| {
        let spec = binding_spec("reused", organization);
        engine.create::<RepoBinding>(PLATFORM, "RepoBinding", "reused", spec)
    };
    create("former").await?;
    let before = engine.phase("reused", "Ready").await?;
    let left = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "left", "namespace": "reused" }, "data": { "key": "value" } });
    engine.apply(&left).await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let uid = bindings.get("reused").await?.uid();
    bindings.delete("reused", &DeleteParams::default()).await?;
    eventually("it is gone", || async { Ok(bindings.get_opt("reused").await?.is_none().then_some(())) })
        .await?;
    create("latter").await?;
    let after = engine.phase("reused", "Ready").await?;
    assert_ne!(before.webhook_secret, after.webhook_secret);
    assert!(engine.api::<ConfigMap>("reused").get_opt("left").await?.is_none());
    let old = engine.labelled(&format!("platform.aphex/owner-uid={}", uid.unwrap_or_default())).await?;
    assert_eq!(old, Vec::<String>::new());
    let former = engine.dynamic("triggers.tekton.dev", "v1beta1", "Trigger", Some("org-former"));
    assert!(former.list(&kube::api::ListParams::default()).await?.items.is_empty());
    let namespace = Api::<Namespace>::all(engine.client.clone()).get("reused").await?;
    assert_eq!(namespace.labels().get("aphex.dev/org").map(String::as_str), Some("latter"));
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_that_was_deleted_and_is_made_again_is_a_new_one() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    let organizations = engine.api::<Organization>(PLATFORM);
    let secret = || async {
        let found = engine
            .api::<k8s_openapi::api::core::v1::Secret>("org-phoenix")
            .get("github-webhook-secret")
            .await?;
        anyhow::Ok(found.data)
    };
    engine.organization("phoenix").await?;
    engine.organization_phase("phoenix", "Active").await?;
    let (before, uid) = (secret().await?, organizations.get("phoenix").await?.uid());
    organizations.delete("phoenix", &DeleteParams::default()).await?;
    eventually("it is gone", || async {
        Ok(organizations.get_opt("phoenix").await?.is_none().then_some(()))
    })
    .await?;
    engine.organization("phoenix").await?;
    engine.organization_phase("phoenix", "Active").await?;
    assert_ne!(before, secret().await?, "the secret of the old one was told to others");
    let uid = uid.unwrap_or_default();
    assert_eq!(engine.labelled(&format!("platform.aphex/owner-uid={uid}")).await?, Vec::<String>::new());
    engine.binding("phoenix-app", "phoenix").await?;
    engine.phase("phoenix-app", "Ready").await?;
    engine.finish().await
}
