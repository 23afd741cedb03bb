//! Objects that carry an owner's name in their labels, and the uid of another: they are left alone, and told of.

use std::collections::BTreeMap;

use aphex_api::conditions::{self, FOREIGN_OBJECTS};
use aphex_api::organization::Organization;
use aphex_api::pipeline::Pipeline;
use aphex_api::repo_binding::RepoBinding;
use aphex_controllers::Settings;
use aphex_controllers::plan::{Subject, SubjectKind, examine};
use aphex_testkit::eventually;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::engine::{Engine, GATEWAY, PLATFORM};

const ANOTHER: &str = "11111111-2222-3333-4444-555555555555";

/// A Role or ClusterRole that claims to be an owner's.
fn claiming(kind: &str, namespace: Option<&str>, name: &str, owner: (&str, &str)) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": { "name": name, "namespace": namespace, "labels": {
            "platform.aphex/owner-kind": owner.0, "platform.aphex/owner-name": owner.1,
            "platform.aphex/owner-uid": ANOTHER,
        } },
        "rules": [],
    })
}

fn told(all: &[Condition]) -> Option<String> {
    conditions::find(all, FOREIGN_OBJECTS).map(|found| found.message.clone())
}

/// How often each reason was told in Events about an object.
async fn events(engine: &Engine, uid: Option<&str>) -> anyhow::Result<BTreeMap<String, i32>> {
    let mut counts = BTreeMap::new();
    for event in engine.api::<Event>(PLATFORM).list(&ListParams::default()).await? {
        if event.regarding.as_ref().and_then(|about| about.uid.as_deref()) == uid {
            let times = event.series.as_ref().map_or(1, |series| series.count);
            *counts.entry(event.reason.unwrap_or_default()).or_default() += times;
        }
    }
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_leaves_what_is_anothers_and_tells_of_it() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("exact").await?;
    engine.organization_phase("exact", "Active").await?;
    engine.apply(&claiming("Role", Some("org-exact"), "claims", ("Organization", "exact"))).await?;
    let roles = engine.api::<Role>("org-exact");
    let before = roles.get("claims").await?.resource_version();

    let told_of = |object: &Organization| {
        let status = object.status.clone().unwrap_or_default();
        told(&status.conditions).is_some_and(|message| message.starts_with("Role org-exact/claims "))
    };
    let organization = engine.until::<Organization>(PLATFORM, "exact", "it is told of", told_of).await?;
    let status = organization.status.clone().unwrap_or_default();
    let ready = conditions::find(&status.conditions, "Ready").map(|ready| ready.status.as_str());
    assert_eq!(ready, Some("True"), "it keeps nothing from being ready");
    let uid = organization.uid();
    eventually("an Event tells of it", || async {
        Ok((events(&engine, uid.as_deref()).await?.get(FOREIGN_OBJECTS) == Some(&1)).then_some(()))
    })
    .await?;

    // Pruning, and passes that find the same again.
    let fewer = Patch::Merge(json!({ "spec": { "adminUsers": ["ann@acme.com"] } }));
    engine.api::<Organization>(PLATFORM).patch("exact", &PatchParams::default(), &fewer).await?;
    let bindings = engine.api::<RoleBinding>("org-exact");
    eventually("bob's binding is pruned", || async {
        Ok(bindings.get_opt("organization-admin-bob@acme.com").await?.is_none().then_some(()))
    })
    .await?;
    engine.organization_phase("exact", "Active").await?;
    assert_eq!(roles.get("claims").await?.resource_version(), before, "it is as it was");
    assert_eq!(events(&engine, uid.as_deref()).await?.get(FOREIGN_OBJECTS), Some(&1), "told once");

    let subject =
        Subject { kind: SubjectKind::Organization, namespace: PLATFORM.to_owned(), name: "exact".to_owned() };
    let found = examine(&engine.client, Settings::new(GATEWAY)?, &subject).await?.unwrap();
    assert_eq!(found.foreign.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["claims"]);
    assert!(found.owned.iter().all(|one| one.named.name != "claims"));

    roles.delete("claims", &DeleteParams::default()).await?;
    let quiet = |object: &Organization| told(&object.status.clone().unwrap_or_default().conditions).is_none();
    engine.until::<Organization>(PLATFORM, "exact", "nothing is told any more", quiet).await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_leaves_what_is_anothers() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("leaving").await?;
    engine.binding("leaving-app", "leaving").await?;
    engine.phase("leaving-app", "Ready").await?;
    engine.apply(&claiming("ClusterRole", None, "leaving-stranger", ("RepoBinding", "leaving-app"))).await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    bindings.delete("leaving-app", &DeleteParams::default()).await?;
    eventually("the binding is gone", || async {
        Ok(bindings.get_opt("leaving-app").await?.is_none().then_some(()))
    })
    .await?;
    let roles: Api<ClusterRole> = Api::all(engine.client.clone());
    assert!(roles.get_opt("pipeline-runner-leaving-app").await?.is_none());
    assert!(roles.get_opt("leaving-stranger").await?.is_some());
    roles.delete("leaving-stranger", &DeleteParams::default()).await?;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_of_one_name_in_two_namespaces_are_no_strangers() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("twins").await?;
    engine.ready_pipeline("team-twins-a", "twin", "twins").await?;
    // The second one's name is taken; its binding exists all the same, and carries the same name.
    let spec = engine.api::<Pipeline>("team-twins-a").get("twin").await?.spec;
    engine.team_pipeline("team-twins-b", "twin", "twins", spec).await?;
    let refused = |object: &Pipeline| {
        object.status.as_ref().is_some_and(|status| status.message.contains("already has the name"))
    };
    let second = engine.until::<Pipeline>("team-twins-b", "twin", "it is refused", refused).await?;
    assert_eq!(told(&second.status.unwrap_or_default().conditions), None);
    let first = engine.api::<Pipeline>("team-twins-a").get("twin").await?;
    assert_eq!(told(&first.status.unwrap_or_default().conditions), None);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_tells_of_a_transition_and_of_nothing_else() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    let binding = engine.binding("told-app", "told").await?;
    engine.phase("told-app", "Pending").await?;
    // The message changes while it waits for another thing; phase and reason do not.
    engine.organization("told").await?;
    engine.phase("told-app", "Ready").await?;
    engine.organization_phase("told", "Active").await?;
    let uid = binding.uid();
    let counts = eventually("the last transition is told", || async {
        let counts = events(&engine, uid.as_deref()).await?;
        Ok(counts.contains_key("Provisioned").then_some(counts))
    })
    .await?;
    assert_eq!(counts.get("WaitingFor"), Some(&1), "{counts:?}");
    assert_eq!(counts.get("Provisioned"), Some(&1), "{counts:?}");

    // Drift is repaired without a word: nothing about the binding is otherwise than before.
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "test/poke": "1" } } }));
    engine.api::<RepoBinding>(PLATFORM).patch("told-app", &PatchParams::default(), &patch).await?;
    engine.api::<Role>("told-app").delete("pipeline-runner", &DeleteParams::default()).await?;
    engine.until::<Role>("told-app", "pipeline-runner", "the role is back", |_| true).await?;
    engine.phase("told-app", "Ready").await?;
    let again = events(&engine, uid.as_deref()).await?;
    assert_eq!(again.get("WaitingFor"), Some(&1), "{again:?}");
    engine.finish().await
}
