//! Events while the engine is away: kept on the replica's disk, or refused.

use std::path::Path;
use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliveryVerdict};
use aphex_api::labels;
use aphex_gateway::inbox::SpoolSettings;
use aphex_gateway::{Inbox, sign};
use aphex_runtime::Shutdown;
use aphex_testkit::eventually;
use aphex_testkit::faults::{Call, Fault};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::world::{SECRET, World, push};

/// A spool in a folder, and little patience with the engine.
pub(crate) fn spooling(folder: &Path) -> Inbox {
    let spool = SpoolSettings { folder: folder.to_owned(), limit: 1 << 20 };
    Inbox { spool: Some(spool), engine_timeout: Duration::from_millis(300), ..Inbox::default() }
}

/// How many files of a folder end so.
pub(crate) fn files(folder: &Path, end: &str) -> anyhow::Result<usize> {
    let names = std::fs::read_dir(folder)?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<std::io::Result<Vec<String>>>()?;
    Ok(names.iter().filter(|name| name.ends_with(end)).count())
}

pub(crate) async fn drained(folder: &Path) -> anyhow::Result<()> {
    eventually("the spool is empty", || async { Ok((files(folder, ".event")? == 0).then_some(())) }).await
}

/// The status and the `Retry-After` of a signed push.
async fn answer(world: &World, id: &str) -> anyhow::Result<(u16, String)> {
    let body = push()?.to_string();
    let request = world
        .post(&format!("/{}", world.name))
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", sign(SECRET.as_bytes(), body.as_bytes()))
        .body(body);
    let response = request.send().await?;
    let after =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok((response.status().as_u16(), after.to_owned()))
}

impl World {
    /// Everything that the gateway reads ahead has been read: it can verify by itself now.
    async fn warm(&self) -> anyhow::Result<()> {
        self.deliver("warm", "ping", &serde_json::json!({}), SECRET).await?;
        self.verdict("warm").await.map(drop)
    }

    /// A policy of the cluster that forbids a Delivery of one name, and its binding.
    fn refusing(&self, name: &str) -> [Value; 2] {
        let metadata = json!({ "name": format!("refusing-{}", self.name) });
        let rule = json!({
            "apiGroups": ["aphex.io"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["deliveries"],
        });
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": self.organization() } },
                    "resourceRules": [rule],
                },
                "validations": [{ "expression": format!("object.metadata.name != '{name}'"), "reason": "Forbidden" }],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata,
            "spec": { "policyName": metadata["name"], "validationActions": ["Deny"] },
        });
        [policy, binding]
    }
}

/// GitHub's push, to another branch.
fn push_to(branch: &str) -> anyhow::Result<Value> {
    let mut body = push()?;
    body["ref"] = format!("refs/heads/{branch}").into();
    Ok(body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_listener_leave_the_disk_at_once() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("at-once").await?;
    world.inbox = spooling(folder.path());
    let world = world.gateway().await?;
    world.warm().await?;
    world.faults.pause(true);
    let ids: Vec<String> = (0..12).map(|n| format!("many-{n}")).collect();
    for id in ["first"].into_iter().chain(ids.iter().map(String::as_str)) {
        assert_eq!(world.deliver(id, "push", &push()?, SECRET).await?["eventID"], id);
    }
    assert_eq!(files(folder.path(), ".event")?, 1 + ids.len());
    assert_eq!(world.deliver("first", "push", &push()?, SECRET).await?["eventID"], "first");

    world.faults.hold(|call| call.verb == "get" && call.object.contains("/many-"));
    world.faults.pause(false);
    eventually("all are under way", || async { Ok((world.faults.holding() == ids.len()).then_some(())) })
        .await?;
    world.faults.release();
    for id in &ids {
        let (verdict, delivery) = world.verdict(id).await?;
        let repository = delivery.spec.repository.as_str();
        assert_eq!((verdict, repository), (DeliveryVerdict::Created, "Codertocat/Hello-World"));
    }
    drained(folder.path()).await?;
    assert_eq!(world.runs().await?.len(), 1 + ids.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_stored_keeps_no_other_on_the_disk() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("stuck").await?;
    world.inbox = spooling(folder.path());
    let world = world.gateway().await?;
    world.warm().await?;
    let [policy, binding] = world.refusing("stuck");
    world.apply(policy).await?;
    world.apply(binding.clone()).await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let stuck = Delivery {
        spec: world.left_behind("nobody", jiff::Timestamp::now())?.spec,
        ..Delivery::new("stuck", <_>::default())
    };
    let rehearsed = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the engine refuses one", || async {
        Ok(matches!(deliveries.create(&rehearsed, &stuck).await, Err(kube::Error::Api(status)) if status.code == 403).then_some(()))
    })
    .await?;

    world.faults.pause(true);
    for id in ["stuck", "next", "last"] {
        world.deliver(id, "push", &push()?, SECRET).await?;
    }
    world.faults.pause(false);
    for id in ["next", "last"] {
        assert_eq!(world.verdict(id).await?.0, DeliveryVerdict::Created);
    }
    eventually("one is left", || async { Ok((files(folder.path(), ".event")? == 1).then_some(())) }).await?;
    // What comes now is taken as ever.
    world.deliver("now", "push", &push()?, SECRET).await?;
    assert_eq!(world.verdict("now").await?.0, DeliveryVerdict::Created);
    assert_eq!((files(folder.path(), ".event")?, files(folder.path(), ".bad")?), (1, 0));

    let kind =
        GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding");
    let bindings: Api<DynamicObject> = Api::all_with(world.client.clone(), &ApiResource::from_gvk(&kind));
    bindings
        .delete(binding["metadata"]["name"].as_str().unwrap_or_default(), &DeleteParams::default())
        .await?;
    assert_eq!(world.verdict("stuck").await?.0, DeliveryVerdict::Created);
    drained(folder.path()).await?;
    assert_eq!(world.runs().await?.len(), 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_runs_of_a_branch_are_compared_its_events_leave_in_their_order() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("order").await?;
    let kind = GroupVersionKind::gvk("triggers.tekton.dev", "v1beta1", "TriggerTemplate");
    let templates: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), &world.organization(), &ApiResource::from_gvk(&kind));
    let policy = json!({ "metadata": { "annotations": { labels::CONCURRENCY: "CancelSuperseded" } } });
    templates.patch("run", &PatchParams::default(), &Patch::Merge(policy)).await?;
    world.inbox = spooling(folder.path());
    let world = world.gateway().await?;
    world.warm().await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let before = deliveries.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();

    world.faults.pause(true);
    for number in 0..3 {
        world.deliver(&format!("master-{number}"), "push", &push()?, SECRET).await?;
        world
            .deliver(&format!("topic-{number}"), "push", &push_to(&format!("topic-{number}"))?, SECRET)
            .await?;
    }
    world.faults.stage("back");
    world.faults.hold(|call| call.object.ends_with("/master-0"));
    world.faults.pause(false);
    for number in 0..3 {
        assert_eq!(world.verdict(&format!("topic-{number}")).await?.0, DeliveryVerdict::NotWanted);
    }
    // The engine takes events again; one of the branch goes behind those that wait, one of another does not.
    world.deliver("master-3", "push", &push()?, SECRET).await?;
    world.deliver("topic-3", "push", &push_to("topic-3")?, SECRET).await?;
    assert_eq!(world.verdict("topic-3").await?.0, DeliveryVerdict::NotWanted);
    eventually("four are left", || async { Ok((files(folder.path(), ".event")? == 4).then_some(())) })
        .await?;
    let behind = |call: &Call| {
        call.stage == "back"
            && ["/master-1", "/master-2", "/master-3"].iter().any(|name| call.object.ends_with(name))
    };
    assert!(!world.faults.calls().iter().any(behind), "nothing overtakes the first of the branch");
    world.faults.release();

    let mut added = Vec::new();
    let mut changes = deliveries.watch(&WatchParams::default(), &before).await?.boxed();
    while added.len() < 4 {
        if let Some(WatchEvent::Added(delivery)) = changes.next().await.transpose()?
            && delivery.name_any().starts_with("master")
        {
            added.push(delivery.name_any());
        }
    }
    assert_eq!(added, ["master-0", "master-1", "master-2", "master-3"]);
    drained(folder.path()).await?;
    assert_eq!(world.runs().await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn without_room_on_a_disk_an_event_is_refused_and_may_come_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for limit in [None, Some(100)] {
        let mut world = World::start("refused").await?;
        let spool = limit.map(|limit| SpoolSettings { folder: folder.path().to_owned(), limit });
        world.inbox = Inbox { spool, engine_timeout: Duration::from_millis(300), ..Inbox::default() };
        let world = world.gateway().await?;
        world.warm().await?;
        world.faults.pause(true);
        assert_eq!(answer(&world, "again").await?, (503, "5".to_owned()), "{limit:?}");
        world.faults.pause(false);
        let (code, _) = eventually("the engine is back", || async {
            Ok(Some(answer(&world, "again").await?).filter(|(code, _)| *code == 200))
        })
        .await?;
        assert_eq!((code, world.verdict("again").await?.0), (200, DeliveryVerdict::Created));
        assert_eq!(world.runs().await?.len(), 1);
        world.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn what_waits_on_disk_outlives_the_process() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("restart").await?;
    world.inbox = spooling(folder.path());
    let world = world.gateway().await?;
    world.warm().await?;
    world.faults.pause(true);
    world.deliver("kept", "push", &push()?, SECRET).await?;
    world.stop().await;
    assert_eq!(files(folder.path(), ".event")?, 1);
    world.faults.pause(false);
    let world = world.gateway().await?;
    assert_eq!(world.verdict("kept").await?.0, DeliveryVerdict::Created);
    drained(folder.path()).await?;
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_store_that_took_effect_after_all_is_found_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("late").await?;
    world.inbox = spooling(folder.path());
    let world = world.gateway().await?;
    world.warm().await?;
    world.faults.stage("late");
    let object = "org-NAME/".to_owned();
    let call = Call {
        stage: "late",
        verb: "create".into(),
        kind: "deliveries.aphex.io".into(),
        object,
        occurrence: 1,
    };
    world.faults.arm(call, Fault::AnswerLost);
    assert_eq!(answer(&world, "late").await?.0, 200);
    assert!(world.faults.struck(), "{:?}", world.faults.calls());
    assert_eq!(world.verdict("late").await?.0, DeliveryVerdict::Created);
    drained(folder.path()).await?;
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_with_a_disk_each_one_may_die() -> anyhow::Result<()> {
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut world = World::start("two").await?;
    world.inbox = spooling(one.path());
    let world = world.gateway().await?;
    let mut stop = Shutdown::new();
    let other = world.replica_with("other", &stop, spooling(two.path())).await?;
    let body = push()?;
    world.warm().await?;
    world.deliver_to(other, "warm", "ping", &serde_json::json!({}), SECRET).await?;
    world.faults.pause(true);
    // One event at each, and one that was sent again and came to the other.
    world.deliver("first", "push", &body, SECRET).await?;
    for (id, address) in [("second", other), ("both", other), ("both", world.address)] {
        world.deliver_to(address, id, "push", &body, SECRET).await?;
    }
    stop.drain(Duration::from_secs(10)).await;
    world.faults.pause(false);
    for id in ["first", "both"] {
        assert_eq!(world.verdict(id).await?.0, DeliveryVerdict::Created);
    }
    assert_eq!(
        (files(one.path(), ".bad")?, files(two.path(), ".event")?),
        (0, 2),
        "the lost replica's disk keeps its own"
    );
    stop = Shutdown::new();
    world.replica_with("other", &stop, spooling(two.path())).await?;
    assert_eq!(world.verdict("second").await?.0, DeliveryVerdict::Created);
    drained(two.path()).await?;
    assert_eq!(world.runs().await?.len(), 3);
    stop.drain(Duration::from_secs(10)).await;
    Ok(())
}

#[tokio::test]
async fn an_event_whose_listener_is_gone_is_set_aside_and_keeps_nobody_waiting() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("aside").await?;
    world.inbox = spooling(folder.path());
    let world = world.gateway().await?;
    world.warm().await?;
    world.faults.pause(true);
    world.deliver("lost", "push", &push()?, SECRET).await?;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&world.organization(), &DeleteParams::default()).await?;
    eventually("the namespace is gone", || async {
        Ok(namespaces.get_opt(&world.organization()).await?.is_none().then_some(()))
    })
    .await?;
    world.faults.pause(false);
    drained(folder.path()).await?;
    assert_eq!(files(folder.path(), ".bad")?, 1);
    Ok(())
}
