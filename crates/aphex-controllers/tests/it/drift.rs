//! What happens once everything is in place: nothing, until somebody changes something.

use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::eventually;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::engine::{Engine, PLATFORM};

/// Requests of so many reads are more than one whole pass of either controller.
const A_PASS: usize = 80;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steady_state_makes_no_write_request() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("steady").await?;
    engine.binding("steady-app", "steady").await?;
    engine.phase("steady-app", "Ready").await?;
    engine.organization_phase("steady", "Active").await?;
    // The event of the transition may still be on its way; after a pass that was woken later it is not.
    passes(&engine, "first").await?;
    let before = engine.requests.writes();
    passes(&engine, "second").await?;
    assert_eq!(engine.requests.writes(), before, "passes over objects that want nothing wrote something");
    engine.finish().await
}

/// Wakes the controllers of both by annotations until they have made several whole passes.
async fn passes(engine: &Engine, mark: &str) -> anyhow::Result<()> {
    for round in 0..3 {
        let target = engine.requests.reads() + A_PASS;
        let patch = Patch::Merge(
            json!({ "metadata": { "annotations": { "test/poke": format!("{mark}-{round}") } } }),
        );
        let parameters = PatchParams::default();
        engine.api::<RepoBinding>(PLATFORM).patch("steady-app", &parameters, &patch).await?;
        engine.api::<Organization>(PLATFORM).patch("steady", &parameters, &patch).await?;
        eventually("a pass of each controller", || async {
            // A pass that ends quickly is followed by another only when something wakes it.
            if engine.requests.reads() < target {
                let again = json!({ "metadata": { "annotations": { "test/again": jiff::Timestamp::now().to_string() } } });
                engine.api::<RepoBinding>(PLATFORM).patch("steady-app", &parameters, &Patch::Merge(&again)).await?;
                return Ok(None);
            }
            Ok(Some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_changes_or_deletes_comes_back() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("drift").await?;
    engine.binding("drift-app", "drift").await?;
    let ready = engine.phase("drift-app", "Ready").await?;
    let parameters = PatchParams::default();

    engine.api::<NetworkPolicy>("drift-app").delete("tenant-isolation", &DeleteParams::default()).await?;
    engine.until::<NetworkPolicy>("drift-app", "tenant-isolation", "the policy is back", |_| true).await?;

    // Inside of a list that has no keys: everything wanted is still there.
    let policies = engine.api::<NetworkPolicy>("drift-app");
    let mut policy = policies.get("tenant-isolation").await?;
    let is_closed = |policy: &NetworkPolicy| {
        let peers = policy.spec.iter().flat_map(|spec| spec.ingress.iter().flatten());
        peers.flat_map(|rule| rule.from.iter().flatten()).all(|peer| peer.namespace_selector.is_none())
    };
    assert!(is_closed(&policy));
    for rule in policy.spec.iter_mut().flat_map(|spec| spec.ingress.iter_mut().flatten()) {
        for peer in rule.from.iter_mut().flatten() {
            peer.namespace_selector = Some(LabelSelector::default());
        }
    }
    policies.replace("tenant-isolation", &PostParams::default(), &policy).await?;
    assert!(!is_closed(&policy));
    engine
        .until::<NetworkPolicy>("drift-app", "tenant-isolation", "the policy is closed again", is_closed)
        .await?;

    let open = Patch::Merge(json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] }));
    engine.api::<Role>("drift-app").patch("pipeline-runner", &parameters, &open).await?;
    let closed = |role: &Role| role.rules.iter().flatten().all(|rule| !rule.verbs.contains(&"*".to_owned()));
    engine.until::<Role>("drift-app", "pipeline-runner", "the rules are back", closed).await?;

    let more = Patch::Merge(
        json!({ "subjects": [{ "kind": "ServiceAccount", "name": "evil", "namespace": "default" }] }),
    );
    engine.api::<RoleBinding>("org-drift").patch("eventlistener", &parameters, &more).await?;
    let original =
        |binding: &RoleBinding| binding.subjects.iter().flatten().all(|s| s.name == "eventlistener");
    engine.until::<RoleBinding>("org-drift", "eventlistener", "the subject is back", original).await?;

    let bare = Patch::Merge(
        json!({ "metadata": { "labels": { "platform.aphex/owner-uid": null, "aphex.dev/org": null } } }),
    );
    let namespaces: Api<Namespace> = Api::all(engine.client.clone());
    namespaces.patch("drift-app", &parameters, &bare).await?;
    eventually("the namespace's labels are back", || async {
        let namespace = namespaces.get("drift-app").await?;
        Ok((namespace.labels().get("aphex.dev/org").map(String::as_str) == Some("drift")).then_some(()))
    })
    .await?;

    engine.api::<Secret>("org-drift").delete("webhook-drift-app", &DeleteParams::default()).await?;
    let changed = |binding: &RepoBinding| {
        binding
            .status
            .as_ref()
            .is_some_and(|s| s.webhook_secret.is_some() && s.webhook_secret != ready.webhook_secret)
    };
    engine.until(PLATFORM, "drift-app", "the status shows the new secret", changed).await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_new_spec_no_longer_wants_goes() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("prune").await?;
    engine.organization_phase("prune", "Active").await?;
    let bob = "organization-admin-bob@acme.com";
    let bindings = engine.api::<RoleBinding>("org-prune");
    assert!(bindings.get_opt(bob).await?.is_some());
    let patch = Patch::Merge(json!({ "spec": { "adminUsers": ["ann@acme.com"] } }));
    engine.api::<Organization>(PLATFORM).patch("prune", &PatchParams::default(), &patch).await?;
    eventually("bob is no administrator", || async {
        Ok(bindings.get_opt(bob).await?.is_none().then_some(()))
    })
    .await?;
    assert!(bindings.get_opt("organization-admin-ann@acme.com").await?.is_some());
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_profile_changes_rights_and_quota() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("grow").await?;
    engine.binding("grow-app", "grow").await?;
    engine.phase("grow-app", "Ready").await?;
    let quota = |cpu: &'static str| {
        move |quota: &ResourceQuota| {
            let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
            hard.is_some_and(|hard| hard["requests.cpu"].0 == cpu)
        }
    };
    engine.until("grow-app", "tenant-quota", "the standard quota", quota("2")).await?;
    let patch = Patch::Merge(json!({ "spec": { "permissionProfile": "elevated" } }));
    engine.api::<RepoBinding>(PLATFORM).patch("grow-app", &PatchParams::default(), &patch).await?;
    engine.until("grow-app", "tenant-quota", "the elevated quota", quota("4")).await?;
    engine.phase("grow-app", "Ready").await?;
    let role = Api::<ClusterRole>::all(engine.client.clone()).get("pipeline-runner-grow-app").await?;
    assert!(role.rules.iter().flatten().any(|rule| rule.resources.iter().flatten().any(|r| r == "nodes")));
    engine.finish().await
}
