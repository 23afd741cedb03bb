//! More than can be taken: who is refused, and who is not.

use aphex_api::delivery::{Delivery, DeliveryVerdict};
use aphex_gateway::sign;
use aphex_testkit::eventually;
use kube::Api;
use kube::api::PostParams;

use super::inbox::spooling;
use super::world::{SECRET, World, push};

struct Sent<'a> {
    id: &'a str,
    secret: &'a str,
    forwarded: &'a str,
}

async fn send(world: &World, sent: Sent<'_>) -> anyhow::Result<(u16, String)> {
    let body = push()?.to_string();
    let mut request = world
        .post(&format!("/{}", world.name))
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", sent.id)
        .header("x-hub-signature-256", sign(sent.secret.as_bytes(), body.as_bytes()));
    if !sent.forwarded.is_empty() {
        request = request.header("x-forwarded-for", sent.forwarded);
    }
    let response = request.body(body).send().await?;
    let after =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok((response.status().as_u16(), after.to_owned()))
}

#[tokio::test]
async fn bad_signatures_are_limited_by_source_and_good_ones_never() -> anyhow::Result<()> {
    let mut world = World::start("guess").await?;
    // No time passes: nothing comes back to the budget.
    world.clock = aphex_runtime::Clock::manual(jiff::Timestamp::now()).0;
    world.inbox.trusted_proxies = vec!["127.0.0.0/8".parse()?];
    let world = world.gateway().await?;
    let from = |forwarded, secret, id| send(&world, Sent { id, secret, forwarded });
    for number in 0..20 {
        assert_eq!(from("192.0.2.1", "wrong", "bad").await?, (401, String::new()), "{number}");
    }
    for _ in 0..3 {
        assert_eq!(from("192.0.2.1", "wrong", "bad").await?, (429, "60".to_owned()));
        assert_eq!(from("192.0.2.1", SECRET, "good").await?.0, 200);
    }
    assert_eq!(from("192.0.2.2", "wrong", "bad").await?.0, 401, "another source has a budget of its own");
    // What stands left of the last address that is not a trusted proxy's, anybody may have written.
    assert_eq!(from("192.0.2.3, 192.0.2.1", "wrong", "bad").await?.0, 429);
    let (verdict, delivery) = world.verdict("good").await?;
    assert_eq!((verdict, delivery.spec.source.as_str()), (DeliveryVerdict::Created, "192.0.2.1"));
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_with_too_much_waiting_is_told_to_come_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut world = World::start("busy").await?;
    world.inbox = spooling(folder.path());
    world.inbox.queue_limit = 10;
    // Received by the process before this one, so that for a while nobody else takes them up.
    let before = jiff::Timestamp::now();
    let world = world.gateway().await?;
    let send = |id| send(&world, Sent { id, secret: SECRET, forwarded: "" });
    assert_eq!(send("calm").await?.0, 200);
    world.verdict("calm").await?;
    // Nobody works on what was left behind, since the engine gives no answers.
    world.faults.pause(true);
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    for number in 0..70 {
        let mut left = world.left_behind(&world.name, before)?;
        left.metadata.name = Some(format!("left-{number}"));
        left.spec.delivery_id = format!("left-{number}");
        deliveries.create(&PostParams::default(), &left).await?;
    }
    let refused = eventually("the queue is full", || async {
        Ok(Some(send("late").await?).filter(|(code, _)| *code == 429))
    })
    .await?;
    assert_eq!(refused.1, "5");
    world.faults.pause(false);
    eventually("there is room again", || async {
        Ok(Some(send("late").await?).filter(|(code, _)| *code == 200))
    })
    .await?;
    assert_eq!(world.verdict("late").await?.0, DeliveryVerdict::Created);
    for number in 0..70 {
        assert_eq!(world.verdict(&format!("left-{number}")).await?.0, DeliveryVerdict::Created);
    }
    assert_eq!(world.runs().await?.len(), 72);
    Ok(())
}
