//! Clocks that step, and events that come again long after.

use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliveryVerdict};
use aphex_runtime::Clock;
use jiff::Timestamp;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};

use super::world::{SECRET, World, push};

#[tokio::test]
async fn a_clock_that_steps_forward_and_back_loses_and_doubles_nothing() -> anyhow::Result<()> {
    let mut world = World::start("steps").await?;
    let start = Timestamp::now();
    let (clock, hand) = Clock::manual(start);
    world.clock = clock;
    let world = world.gateway().await?;
    let body = push()?;
    let steps = [0, 3 * 3600, -2 * 3600, 30 * 3600, 0];
    for (number, seconds) in steps.into_iter().enumerate() {
        hand.set(Timestamp::from_second(start.as_second() + seconds)?);
        let id = format!("step-{number}");
        world.deliver(&id, "push", &body, SECRET).await?;
        assert_eq!(world.verdict(&id).await?.0, DeliveryVerdict::Created, "{seconds}");
    }
    // A replica whose clock was two hours ahead died; nobody waits two hours for what it had received.
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let ahead = world.left_behind("lost-replica", start + Duration::from_hours(2))?;
    deliveries.create(&PostParams::default(), &ahead).await?;
    assert_eq!(world.verdict("left-behind").await?.0, DeliveryVerdict::Created);
    for number in 0..steps.len() {
        world.deliver(&format!("step-{number}"), "push", &body, SECRET).await?;
    }
    assert_eq!(world.runs().await?.len(), steps.len() + 1);
    Ok(())
}

#[tokio::test]
async fn an_event_that_comes_again_a_day_later_makes_no_second_run() -> anyhow::Result<()> {
    let mut world = World::start("again").await?;
    let (clock, hand) = Clock::manual(Timestamp::now());
    world.clock = clock;
    let world = world.gateway().await?;
    let body = push()?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    world.deliver("again", "push", &body, SECRET).await?;
    let (_, first) = world.verdict("again").await?;
    hand.advance(Duration::from_hours(25));

    // While its Delivery is there, nothing happens at all.
    world.deliver("again", "push", &body, SECRET).await?;
    assert_eq!(deliveries.list(&ListParams::default()).await?.items.len(), 1);
    assert_eq!(world.verdict("again").await?.1.uid(), first.uid());

    // Once retention has taken it, the event is evaluated anew and finds the run that it made.
    deliveries.delete("again", &DeleteParams::default()).await?;
    world.deliver("again", "push", &body, SECRET).await?;
    let (verdict, second) = world.verdict("again").await?;
    assert_eq!(verdict, DeliveryVerdict::Created);
    assert_ne!(second.uid(), first.uid());
    let runs = world.runs().await?;
    assert_eq!(runs.len(), 1);

    // With the run gone as well, the event is new to everybody, and its run has the same name again.
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.tenant(), &kind);
    api.delete(&runs[0].name_any(), &DeleteParams::default()).await?;
    deliveries.delete("again", &DeleteParams::default()).await?;
    world.deliver("again", "push", &body, SECRET).await?;
    world.verdict("again").await?;
    let anew = world.runs().await?;
    assert_eq!((anew.len(), anew[0].name_any()), (1, runs[0].name_any()));
    assert_ne!(anew[0].uid(), runs[0].uid());
    Ok(())
}
