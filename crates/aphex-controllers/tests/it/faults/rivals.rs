//! Two processes that both believe they lead, or one that was stopped for a while and goes on with what it knew.

use std::time::Duration;

use anyhow::Context as _;
use aphex_api::organization::Organization;
use aphex_api::repo_binding::{RepoBinding, RepoBindingPhase};
use aphex_testkit::eventually;
use futures::StreamExt as _;
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;

use super::life::{Life, fresh, quiet};
use crate::engine::{Engine, PLATFORM};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_controllers_at_once_make_what_one_makes_and_then_rest() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let alone = Life::shared(&engine)?;
    let undisturbed = alone.record(&alone.faults()).await?;

    let together = Life::shared(&engine)?;
    let (one, other) = (together.faults(), together.faults());
    let processes = [together.start(&one)?, together.start(&other)?];
    for (stage, expected) in ["created", "changed", "deleted"].iter().zip(&undisturbed.stages) {
        together.act(stage).await?;
        together.settled(stage).await?;
        together.looks_like(expected).await?;
        quiet(&one).await?;
        quiet(&other).await?;
        // Each repairs what the other wrote, if that differs: then they would not come to rest.
        together.looks_like(expected).await?;
        let writes = one.counts().1 + other.counts().1;
        let bound = undisturbed.writes * 3;
        assert!(
            writes <= bound,
            "{stage}: {writes} writes, of one alone in its whole life {}",
            undisturbed.writes
        );
    }
    for process in processes {
        process.stop().await;
    }
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_does_not_bring_back_what_it_knew() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let life = Life::shared(&engine)?;
    let undisturbed = life.record(&life.faults()).await?;

    let life = Life::shared(&engine)?;
    let (stopped, working) = (life.faults(), life.faults());
    let first = life.start(&stopped)?;
    life.act("created").await?;
    // Somewhere in the middle of its first writes.
    eventually("it writes", || async { Ok((stopped.counts().1 > 12).then_some(())) }).await?;
    stopped.pause(true);
    let second = life.start(&working)?;
    life.settled("created").await?;
    life.act("changed").await?;
    life.settled("changed").await?;
    quiet(&working).await?;
    let before = stopped.counts().1;
    stopped.pause(false);
    quiet(&stopped).await?;
    quiet(&working).await?;
    life.settled("changed").await?;
    life.looks_like(&undisturbed.stages[1]).await?;
    let late = stopped.counts().1 - before;
    assert!(late <= undisturbed.writes, "{late} writes of the one that was stopped");

    life.act("deleted").await?;
    life.settled("deleted").await?;
    life.looks_like(&undisturbed.stages[2]).await?;
    first.stop().await;
    second.stop().await;
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_was_found_before_another_was_told_is_not_told_any_more() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let life = Life::shared(&engine)?;
    let (stopped, working) = (life.faults(), life.faults());
    let name = fresh();
    let binding = format!("{name}-app");
    let first = life.start(&stopped)?;
    // It is about to tell that the binding waits for its organization, which is not there yet.
    stopped.hold(|call| call.verb == "patch" && call.kind == "repobindings/status.aphex.io");
    engine.binding(&binding, &name).await?;
    eventually("it is about to tell a status", || async { Ok((stopped.holding() == 1).then_some(())) })
        .await?;
    let second = life.start(&working)?;
    engine.organization(&name).await?;
    engine.phase(&binding, "Ready").await?;
    quiet(&working).await?;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let only = ListParams::default().fields(&format!("metadata.name={binding}"));
    let since = bindings.list(&only).await?.metadata.resource_version.context("a list has a version")?;
    stopped.release();
    quiet(&stopped).await?;
    quiet(&working).await?;
    // Everything that was told meanwhile, up to a write of this test.
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "test/end": "1" } } }));
    bindings.patch(&binding, &PatchParams::default(), &patch).await?;
    let only = WatchParams::default().fields(&format!("metadata.name={binding}"));
    let mut told = bindings.watch(&only, &since).await?.boxed();
    while let Some(event) = told.next().await {
        let WatchEvent::Modified(now) = event? else { continue };
        let status = now.status.unwrap_or_default();
        assert_eq!(status.phase, RepoBindingPhase::Ready, "{}", status.message);
        if now.metadata.annotations.is_some_and(|annotations| annotations.contains_key("test/end")) {
            break;
        }
    }
    engine.take_back().await?;
    for process in [first, second] {
        process.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_somebody_may_have_read_is_not_made_up_again() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let life = Life::shared(&engine)?;
    let (one, other) = (life.faults(), life.faults());
    let processes = [life.start(&one)?, life.start(&other)?];
    let name = "rival";
    engine.organization(name).await?;
    engine.binding("rival-app", name).await?;
    let told = |binding: &RepoBinding| {
        binding.status.as_ref().and_then(|status| status.webhook_secret.clone()).is_some()
    };
    let first = engine.until::<RepoBinding>(PLATFORM, "rival-app", "a secret is told", told).await?;
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "test/poke": "1" } } }));
    engine.api::<Organization>(PLATFORM).patch(name, &PatchParams::default(), &patch).await?;
    engine.phase("rival-app", "Ready").await?;
    quiet(&one).await?;
    quiet(&other).await?;
    let last = engine.api::<RepoBinding>(PLATFORM).get("rival-app").await?;
    let secret = |binding: &RepoBinding| binding.status.as_ref().and_then(|s| s.webhook_secret.clone());
    assert_eq!(secret(&first), secret(&last));
    engine.take_back().await?;
    for process in processes {
        process.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_process_that_is_told_to_stop_before_it_knows_anything_stops() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let life = Life::shared(&engine)?;
    let faults = life.faults();
    faults.pause(true);
    let process = life.start(&faults)?;
    // Its lists are under way, and never answered.
    tokio::time::timeout(Duration::from_secs(20), process.stop()).await.context("it goes on")?;
    engine.finish().await
}
