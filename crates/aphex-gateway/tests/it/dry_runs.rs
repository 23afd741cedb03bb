//! Dry runs of events: decided wholly, and nothing is left behind.

use aphex_api::delivery::Delivery;
use aphex_gateway::rehearsal::FIELD;
use aphex_testkit::eventually;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use super::world::{SECRET, World, push};

#[tokio::test]
async fn a_dry_run_is_decided_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let world = World::start("dry").await?;
    let mut body = push()?;
    body[FIELD] = json!(true);
    let answer = world.deliver("dry", "push", &body, SECRET).await?;
    assert_eq!((&answer["dryRun"], &answer["eventListener"]), (&json!(true), &json!("github-listener")));
    let decision = &answer["decision"];
    assert_eq!(decision["verdict"], "Created", "{answer}");
    let trigger = &decision["triggers"][0];
    assert_eq!(trigger["account"], format!("{}/web-trigger", world.organization()));
    assert_eq!(trigger["created"][0]["namespace"], world.tenant());
    // Secrets and values of expressions are not among what is told.
    assert!(
        !answer.to_string().contains("webhook-web") && !answer.to_string().contains("body.ref"),
        "{answer}"
    );
    let mut other = body.clone();
    other["ref"] = json!("refs/heads/topic");
    let answer = world.deliver("other", "push", &other, SECRET).await?;
    assert_eq!(answer["decision"]["verdict"], "NotWanted");
    assert_eq!(answer["decision"]["triggers"][0]["stoppedBy"], "cel");
    let answer = world.deliver("ping", "ping", &json!({ FIELD: true }), SECRET).await?;
    assert_eq!(answer["decision"]["verdict"], "Ping");
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    assert_eq!(deliveries.list(&ListParams::default()).await?.items, []);
    assert_eq!(world.runs().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_dry_run_tells_what_the_account_may_not_create() -> anyhow::Result<()> {
    let world = World::start("drytold").await?;
    for object in world.binding("late", "whsec_of_the_late_repository") {
        world.apply(object).await?;
    }
    let mut body = push()?;
    body[FIELD] = json!(true);
    let answer = eventually("the second secret is known", || async {
        Ok(world.deliver("dry", "push", &body, "whsec_of_the_late_repository").await.ok())
    })
    .await?;
    let trigger = &answer["decision"]["triggers"][0];
    assert_eq!(trigger["verdict"], "Failed", "{answer}");
    let message = trigger["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("cannot create PipelineRun") && message.contains("late-trigger"),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn nobody_has_a_dry_run_who_knows_no_secret() -> anyhow::Result<()> {
    let world = World::start("dryliar").await?;
    let mut body = push()?;
    body[FIELD] = json!(true);
    let refused = world.deliver("dry", "push", &body, "guessed").await.unwrap_err().to_string();
    assert!(refused.starts_with("401"), "{refused}");
    Ok(())
}
