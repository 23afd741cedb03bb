//! Events that come again: after they failed, and while their Delivery goes.

use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliveryPhase, DeliveryStatus, DeliveryVerdict};
use aphex_testkit::eventually;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use serde_json::json;

use super::world::{SECRET, World, push};

const ID: &str = "left-behind";
const OTHER: &str = "whsec_of_the_other_repository";

impl World {
    /// A push of long ago that failed after many attempts.
    async fn failed_long_ago(&self) -> anyhow::Result<Api<Delivery>> {
        let deliveries: Api<Delivery> = Api::namespaced(self.client.clone(), &self.organization());
        let received = jiff::Timestamp::now() - Duration::from_hours(48);
        let mut failed = self.left_behind("lost-replica", received)?;
        failed.status = Some(DeliveryStatus {
            phase: DeliveryPhase::Failed,
            verdict: Some(DeliveryVerdict::Failed),
            attempts: 10,
            completed_time: Some(MicroTime(received)),
            ..DeliveryStatus::default()
        });
        deliveries.create(&PostParams::default(), &failed).await?;
        Ok(deliveries)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_a_failed_delivery_is_tried_again_is_written_before_its_sender_is_answered() -> anyhow::Result<()>
{
    let world = World::start("redelivered").await?;
    let deliveries = world.failed_long_ago().await?;
    world.faults.stage("again");
    // Nobody begins with it.
    world.faults.hold(|call| {
        let of_a_delivery = call.verb == "patch" && call.kind == "deliveries.aphex.io";
        call.stage == "again" && of_a_delivery && call.occurrence > 1
    });
    assert_eq!(world.deliver(ID, "push", &push()?, SECRET).await?["eventID"], ID);
    let status = deliveries.get(ID).await?.status.unwrap_or_default();
    assert_eq!((status.phase, status.verdict), (DeliveryPhase::Pending, None), "{}", status.message);
    // Whatever the watch tells meanwhile, and though it is sent once more.
    world.deliver(ID, "push", &push()?, SECRET).await?;
    world.faults.release();
    assert_eq!(world.verdict(ID).await?.0, DeliveryVerdict::Created);
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_delivery_that_is_sent_again_has_its_attempts_once_more() -> anyhow::Result<()> {
    let world = World::start("old-again").await?;
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.tenant());
    bindings.delete("web", &DeleteParams::default()).await?;
    let deliveries = world.failed_long_ago().await?;
    world.deliver(ID, "push", &push()?, SECRET).await?;
    let status = eventually("it was tried twice", || async {
        let status = deliveries.get(ID).await?.status.unwrap_or_default();
        anyhow::ensure!(status.phase != DeliveryPhase::Failed, "given up: {}", status.message);
        Ok((status.attempts == 2 && status.next_attempt_time.is_some()).then_some(status))
    })
    .await?;
    assert!(status.message.contains("cannot create"), "{}", status.message);
    world.apply(world.permission("web")).await?;
    assert_eq!(world.verdict(ID).await?.0, DeliveryVerdict::Created);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_stored_though_the_delivery_that_had_its_name_is_gone_when_it_is_read()
-> anyhow::Result<()> {
    let world = World::start("fleeting").await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let mut others = world.left_behind("lost-replica", jiff::Timestamp::now())?;
    others.spec.listener = "another-listener".into();
    deliveries.create(&PostParams::default(), &others).await?;
    world.verdict(ID).await?;
    world.faults.stage("gone");
    world.faults.hold(|call| {
        let read = call.stage == "gone" && call.verb == "get" && call.kind == "deliveries.aphex.io";
        read && call.object.ends_with("/left-behind") && call.occurrence == 2
    });
    let delete = async {
        eventually("it is about to be read", || async { Ok((world.faults.holding() == 1).then_some(())) })
            .await?;
        deliveries.delete(ID, &DeleteParams::default()).await?;
        world.faults.release();
        anyhow::Ok(())
    };
    let body = push()?;
    let (sent, deleted) = tokio::join!(world.deliver(ID, "push", &body, SECRET), delete);
    deleted?;
    assert_eq!(sent?["eventID"], ID);
    let (verdict, delivery) = world.verdict(ID).await?;
    assert_eq!((verdict, delivery.spec.listener.as_str()), (DeliveryVerdict::Created, "github-listener"));
    Ok(())
}

#[tokio::test]
async fn of_what_a_trigger_asks_for_nothing_is_made_again_when_the_rest_is_tried() -> anyhow::Result<()> {
    let world = World::start("half").await?;
    let [secret, account, mut trigger] = world.binding("half", OTHER);
    trigger["spec"]["template"] = json!({ "spec": { "params": [], "resourcetemplates": [
        {
            "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
            "metadata": { "generateName": "half-", "namespace": world.tenant() },
            "spec": { "pipelineRef": { "name": "web" } },
        },
        {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "generateName": "half-", "namespace": world.tenant() },
        },
    ] } });
    for object in [secret, account, trigger, world.permission("half")] {
        world.apply(object).await?;
    }
    eventually("the other secret is known", || async {
        Ok(world.deliver("known", "ping", &json!({}), OTHER).await.ok())
    })
    .await?;
    world.deliver("half", "push", &push()?, OTHER).await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let status = deliveries.get("half").await?.status.unwrap_or_default();
    assert_eq!((status.phase, status.created.len()), (DeliveryPhase::Pending, 1), "{}", status.message);
    // As the pruning of a pipeline's history would.
    let run = &status.created[0].name;
    world.run_api().delete(run, &DeleteParams::default()).await?;
    eventually("it was tried twice more", || async {
        let status = deliveries.get("half").await?.status.unwrap_or_default();
        Ok((status.attempts >= 3).then_some(()))
    })
    .await?;
    let mut rights = world.permission("half");
    let rule = json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"] });
    if let Some(rules) = rights["items"][0]["rules"].as_array_mut() {
        rules.push(rule);
    }
    world.apply(rights).await?;
    let (verdict, delivery) = world.verdict("half").await?;
    let created = delivery.status.unwrap_or_default().created;
    let kinds: Vec<&str> = created.iter().map(|created| created.kind.as_str()).collect();
    assert_eq!((verdict, kinds), (DeliveryVerdict::Created, vec!["PipelineRun", "ConfigMap"]));
    assert_eq!((world.runs().await?.len(), &created[0].name), (0, run));
    Ok(())
}
