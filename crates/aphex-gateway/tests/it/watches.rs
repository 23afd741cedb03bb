//! Events that come while a watch is being begun anew: what it does not know yet, nobody is refused for.

use std::time::Duration;

use anyhow::Context as _;
use aphex_testkit::eventually;
use aphex_testkit::faults::{Call, Fault, Which};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::world::{SECRET, World, push};

const STAGE: &str = "behind";

/// A world whose gateway has lost its watch of a kind, and is kept from listing it again; the object of that kind comes meanwhile.
async fn behind(name: &str, kind: &str, plural: &str, object: &str, list: Which) -> anyhow::Result<World> {
    let world = World::start(name).await?;
    world.stop().await;
    let types = ApiResource::from_gvk(&GroupVersionKind::gvk("triggers.tekton.dev", "v1beta1", kind));
    let objects: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), &world.organization(), &types);
    let mut kept: Value = serde_json::to_value(objects.get(object).await?)?;
    objects.delete(object, &DeleteParams::default()).await?;
    world.faults.stage(STAGE);
    let call = Call {
        stage: STAGE,
        verb: "watch".into(),
        kind: format!("{plural}.triggers.tekton.dev"),
        object: "/".into(),
        occurrence: 1,
    };
    world.faults.arm(call, Fault::WatchExpired);
    world.faults.hold(list);
    let world = world.gateway().await?;
    eventually("the list is held back", || async { Ok((world.faults.holding() == 1).then_some(())) }).await?;
    anyhow::ensure!(world.faults.struck(), "{:?}", world.faults.calls());
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
        kept["metadata"].as_object_mut().map(|metadata| metadata.remove(field));
    }
    world.apply(kept).await?;
    Ok(world)
}

async fn is_waited_for(world: &World) -> anyhow::Result<()> {
    let body = push()?;
    let mut answer = std::pin::pin!(world.deliver("early", "push", &body, SECRET));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut answer).await;
    anyhow::ensure!(early.is_err(), "answered at once: {early:?}");
    world.faults.release();
    answer.await?;
    anyhow::ensure!(world.runs().await?.len() == 1);
    Ok(())
}

#[tokio::test]
async fn a_listener_that_a_broken_watch_does_not_know_yet_is_waited_for() -> anyhow::Result<()> {
    let list = |call: &Call| is_second_list(call, "eventlisteners");
    let world = behind("listener", "EventListener", "eventlisteners", "github-listener", list).await?;
    is_waited_for(&world).await
}

#[tokio::test]
async fn a_trigger_that_a_broken_watch_does_not_know_yet_is_waited_for() -> anyhow::Result<()> {
    let list = |call: &Call| is_second_list(call, "triggers");
    let world = behind("trigger", "Trigger", "triggers", "web-trigger", list).await?;
    is_waited_for(&world).await
}

#[tokio::test]
async fn what_is_not_there_is_not_waited_for_longer_than_two_seconds() -> anyhow::Result<()> {
    let list = |call: &Call| is_second_list(call, "eventlisteners");
    let world = behind("nobody", "EventListener", "eventlisteners", "github-listener", list).await?;
    let answer = world.post("/nobody-at-all").body("{}").send();
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await??;
    anyhow::ensure!(answer.status() == 404, "{}", answer.status());
    world.faults.release();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_signatures_that_wait_for_a_watch_keep_no_good_one_waiting() -> anyhow::Result<()> {
    let list = |call: &Call| is_second_list(call, "triggertemplates");
    let world = behind("bad", "TriggerTemplate", "triggertemplates", "run", list).await?;
    let body = push()?;
    let (world, body) = (&world, &body);
    let sent = |good: bool| async move {
        let id = format!("sent-{:08x}", rand::random::<u32>());
        let answer = world.deliver(&id, "push", body, if good { SECRET } else { "whsec_of_nobody" }).await;
        (good, answer)
    };
    // More than a source may have wrong in a moment.
    for (_, refused) in futures::future::join_all((0..40).map(|_| sent(false))).await {
        anyhow::ensure!(refused.is_err(), "{refused:?}");
    }
    let mut all: FuturesUnordered<_> = (0..21).map(|number| sent(number == 20)).collect();
    let (good, answer) = all.next().await.context("one is answered")?;
    anyhow::ensure!(good, "a bad one was answered first: {answer:?}");
    answer?;
    world.faults.release();
    Ok(())
}

fn is_second_list(call: &Call, plural: &str) -> bool {
    call.stage == STAGE
        && call.verb == "list"
        && call.kind == format!("{plural}.triggers.tekton.dev")
        && call.occurrence > 1
}
