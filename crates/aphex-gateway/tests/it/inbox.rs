//! Events while the engine is away: kept on the replica's disk, or refused.

use std::path::Path;
use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliveryVerdict};
use aphex_gateway::inbox::SpoolSettings;
use aphex_gateway::{Inbox, sign};
use aphex_runtime::Shutdown;
use aphex_testkit::eventually;
use aphex_testkit::faults::{Call, Fault};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};

use super::world::{SECRET, World, push};

/// A spool in a folder, and little patience with the engine.
pub(crate) fn spooling(folder: &Path) -> Inbox {
    let spool = SpoolSettings { folder: folder.to_owned(), limit: 1 << 20 };
    Inbox { spool: Some(spool), engine_timeout: Duration::from_millis(300), ..Inbox::default() }
}

/// How many files of a folder end so.
fn files(folder: &Path, end: &str) -> anyhow::Result<usize> {
    let names = std::fs::read_dir(folder)?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<std::io::Result<Vec<String>>>()?;
    Ok(names.iter().filter(|name| name.ends_with(end)).count())
}

async fn drained(folder: &Path) -> anyhow::Result<()> {
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_engine_is_away_events_wait_on_disk_and_then_become_runs_in_their_order()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("away").await?;
    world.inbox = spooling(folder.path());
    let world = world.gateway().await?;
    world.warm().await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let before = deliveries.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();

    world.faults.pause(true);
    let body = push()?;
    let ids: Vec<String> = (0..6).map(|n| format!("waiting-{n}")).collect();
    for id in &ids {
        let answer = world.deliver(id, "push", &body, SECRET).await?;
        assert_eq!(answer["eventID"], id.as_str());
    }
    assert_eq!(files(folder.path(), ".event")?, ids.len());
    assert_eq!(world.deliver(&ids[0], "push", &body, SECRET).await?["eventID"], ids[0].as_str());

    world.faults.pause(false);
    for id in &ids {
        let (verdict, delivery) = world.verdict(id).await?;
        assert_eq!(
            (verdict, delivery.spec.repository.as_str()),
            (DeliveryVerdict::Created, "Codertocat/Hello-World")
        );
    }
    drained(folder.path()).await?;
    assert_eq!(world.runs().await?.len(), ids.len());
    let mut added = Vec::new();
    let mut changes = deliveries.watch(&WatchParams::default(), &before).await?.boxed();
    while added.len() < ids.len() {
        if let Some(WatchEvent::Added(delivery)) = changes.next().await.transpose()? {
            added.push(delivery.name_any());
        }
    }
    assert_eq!(added, ids);
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
