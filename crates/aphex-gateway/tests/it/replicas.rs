//! Several gateways over one engine, and the rights that they have there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aphex_api::delivery::{Delivery, DeliveryPhase, DeliveryStatus, DeliveryVerdict};
use aphex_runtime::Shutdown;
use aphex_testkit::{eventually, platform};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::world::{SECRET, World, large_push, push};

const OTHER: &str = "whsec_of_the_other_repository";
/// Within this time after a replica is lost, what it had must be done.
const PATIENCE: Duration = Duration::from_secs(15);
/// Rules that are used seldom: retention deletes finished Deliveries. On a server that several tests share, another test's
/// gateway may be the one that deletes parts whose Delivery is gone.
const RETENTION: [&str; 2] = ["deliveries.aphex.io", "secrets"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_at_two_replicas_at_once_makes_one_run() -> anyhow::Result<()> {
    let world = World::start("twice").await?;
    let stop = Shutdown::new();
    let other = world.replica("other", &stop).await?;
    let body = push()?;
    let ids: Vec<String> = (0..20).map(|n| format!("event-{n}")).collect();
    let sent = ids.iter().flat_map(|id| [(id, world.address), (id, other)]);
    let answers =
        futures::future::join_all(sent.map(|(id, to)| world.deliver_to(to, id, "push", &body, SECRET))).await;
    answers.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for id in &ids {
        assert_eq!(world.verdict(id).await?.0, DeliveryVerdict::Created);
    }
    assert_eq!(world.runs().await?.len(), ids.len());
    stop.trigger();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_at_two_webhooks_at_once_makes_one_run_for_each() -> anyhow::Result<()> {
    let world = World::start("hooks").await?;
    for object in world.binding("other", OTHER) {
        world.apply(object).await?;
    }
    world.apply(world.permission("other")).await?;
    eventually("the other secret is known", || async {
        Ok(world.deliver("known", "ping", &json!({}), OTHER).await.ok())
    })
    .await?;
    world.deliver("warm", "ping", &json!({}), SECRET).await?;
    let body = push()?;
    world.faults.hold(|call| call.verb == "get" && call.object.ends_with("/together"));
    let together = async {
        eventually("none is there when they are looked for", || async {
            Ok((world.faults.holding() == 2).then_some(()))
        })
        .await?;
        world.faults.release();
        anyhow::Ok(())
    };
    let [one, two] = [SECRET, OTHER].map(|secret| world.deliver("together", "push", &body, secret));
    let (one, two, together) = tokio::join!(one, two, together);
    for answered in [one, two] {
        answered?;
    }
    together?;
    assert_eq!(world.verdict("together").await?.0, DeliveryVerdict::Created);
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let found = deliveries.list(&ListParams::default()).await?.items;
    let mut named: Vec<String> = found
        .into_iter()
        .filter(|delivery| delivery.spec.delivery_id == "together")
        .flat_map(|delivery| delivery.status.unwrap_or_default().created)
        .map(|created| created.name)
        .collect();
    let mut runs: Vec<String> = world.runs().await?.iter().map(ResourceExt::name_any).collect();
    named.sort();
    runs.sort();
    assert_eq!((runs.len(), runs), (2, named));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_payloads_with_one_id_at_once_make_one_run_each() -> anyhow::Result<()> {
    let world = World::start("payloads").await?;
    world.deliver("warm", "ping", &json!({}), SECRET).await?;
    let (one, mut two) = (push()?, push()?);
    two["after"] = "f".repeat(40).into();
    // An id with a payload's digits behind it has no room for the last two as they are.
    let long = "together".repeat(7);
    for (round, (stage, id)) in
        [("round 1", "together"), ("round 2", "Together/2"), ("round 3", &long)].into_iter().enumerate()
    {
        // Once the run of one is made and its Delivery is not, the other comes.
        world.faults.stage(stage);
        world.faults.hold(|call| {
            let of_a_delivery = call.stage.starts_with("round")
                && call.verb == "create"
                && call.kind == "deliveries.aphex.io";
            of_a_delivery && call.object == "org-NAME/" && call.occurrence == 1
        });
        let other = async {
            eventually("one has its run", || async { Ok((world.faults.holding() == 1).then_some(())) })
                .await?;
            let answer = world.deliver(id, "push", &two, SECRET).await?;
            world.faults.release();
            anyhow::Ok(answer)
        };
        let (first, second) = tokio::join!(world.deliver(id, "push", &one, SECRET), other);
        let ids = [first?, second?].map(|answer| text(&answer["eventID"]));
        assert_ne!(ids[0], ids[1]);
        for (id, body) in ids.iter().zip([&one, &two]) {
            let (verdict, delivery) = world.verdict(id).await?;
            assert_eq!((verdict, &delivery.spec.revision), (DeliveryVerdict::Created, &text(&body["after"])));
            let created = delivery.status.unwrap_or_default().created.remove(0);
            let run = world.run_api().get(&created.name).await?;
            assert_eq!(run.data["spec"]["params"][0]["value"], body["after"], "the run is its own");
            assert_eq!(world.deliver(id, "push", body, SECRET).await?["eventID"], id.as_str());
        }
        assert_eq!(world.runs().await?.len(), 2 * (round + 1));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_had_an_id_of_its_own_finds_its_run_when_it_gets_the_senders() -> anyhow::Result<()> {
    let world = World::start("later").await?;
    let (one, mut two) = (push()?, push()?);
    two["after"] = "f".repeat(40).into();
    world.deliver("shared", "push", &one, SECRET).await?;
    let own = text(&world.deliver("shared", "push", &two, SECRET).await?["eventID"]);
    assert_ne!(own, "shared");
    let created = world.verdict(&own).await?.1.status.unwrap_or_default().created.remove(0);
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    for id in ["shared", &own] {
        world.verdict(id).await?;
        deliveries.delete(id, &DeleteParams::default()).await?;
    }
    let again = text(&world.deliver("shared", "push", &two, SECRET).await?["eventID"]);
    let (verdict, delivery) = world.verdict(&again).await?;
    assert_eq!((again.as_str(), verdict), ("shared", DeliveryVerdict::Created));
    assert_eq!(delivery.status.unwrap_or_default().created.remove(0).name, created.name);
    assert_eq!(world.runs().await?.len(), 2);
    Ok(())
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_a_lost_replica_received_another_takes_up() -> anyhow::Result<()> {
    let world = World::start("lost").await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let lost = Instant::now();
    let left = world.left_behind("lost-replica", jiff::Timestamp::now())?;
    deliveries.create(&PostParams::default(), &left).await?;
    assert_eq!(world.verdict("left-behind").await?.0, DeliveryVerdict::Created);
    assert!(lost.elapsed() < PATIENCE, "it took {:?}", lost.elapsed());
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_a_lost_replica_had_claimed_another_takes_up_when_the_claim_ends() -> anyhow::Result<()> {
    let world = World::start("claimed").await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let now = jiff::Timestamp::now();
    let left = world.left_behind("lost-replica", now)?;
    deliveries.create(&PostParams::default(), &left).await?;
    let claimed = DeliveryStatus {
        phase: DeliveryPhase::Processing,
        holder: Some("lost-replica".into()),
        started_time: Some(MicroTime(now)),
        lease_until: Some(MicroTime(now + Duration::from_secs(2))),
        ..DeliveryStatus::default()
    };
    let claim = Patch::Merge(json!({ "status": claimed }));
    deliveries.patch("left-behind", &PatchParams::default(), &claim).await?;
    let (verdict, _) = world.verdict("left-behind").await?;
    assert_eq!(verdict, DeliveryVerdict::Created);
    assert!(jiff::Timestamp::now() >= now + Duration::from_secs(2), "the claim stood until its end");
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_roles_give_what_is_asked_for_and_nothing_else() -> anyhow::Result<()> {
    let world = World::start("roles").await?;
    world.apply(world.malformed()).await?;
    world.told("Trigger", "malformed-trigger").await?;
    world.apply(world.malformed_of_the_cluster()).await?;
    world.told_in("default", "ClusterTriggerBinding", &format!("{}-malformed", world.name)).await?;
    let large = large_push()?;
    world.at_home().await?;
    for _ in 0..2 {
        world.deliver("small", "push", &push()?, SECRET).await?;
        world.verdict_in(&world.tenant(), "small").await?;
    }
    world.deliver("large", "push", &large, SECRET).await?;
    world.verdict_in(&world.tenant(), "large").await?;
    let again = world.deliver("large", "push", &large, SECRET).await?;
    assert_eq!(again["eventID"], "large", "a payload that is kept in parts is compared as well");
    let kept: Api<Delivery> = Api::namespaced(world.client.clone(), &world.tenant());
    kept.delete("large", &DeleteParams::default()).await?;
    world.parts_are_gone().await?;
    // A claim is only asked for on what others left behind, and a run only looked at when it is there already.
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let long_ago = jiff::Timestamp::now() - Duration::from_hours(1);
    deliveries.create(&PostParams::default(), &world.left_behind("lost-replica", long_ago)?).await?;
    world.verdict("left-behind").await?;
    let looked = || {
        let asked = world.requests.asked();
        asked.iter().any(|asked| asked.verb == "get" && asked.resource == "pipelineruns")
    };
    // On a server that several tests share, another test's gateway may be the one that works on it once more.
    for _ in 0..50 {
        if looked() {
            break;
        }
        let anew = Patch::Merge(json!({ "status": null }));
        deliveries.patch("left-behind", &PatchParams::default(), &anew).await?;
        world.verdict("left-behind").await?;
    }
    assert!(looked(), "a run that is there already is looked at");

    let manifests = platform::manifests("gateway")?;
    let role = |name: &str| {
        let is_role = |o: &serde_json::Value| o["kind"] == "ClusterRole" || o["kind"] == "Role";
        let role = manifests.iter().find(|o| is_role(o) && o["metadata"]["name"] == name);
        platform::rules(role.unwrap_or(&serde_json::Value::Null))
    };
    let (everywhere, at_listeners) = (role("aphex-gateway")?, role("aphex-gateway-listener")?);
    let (at_tenants, of_the_cluster) = (role("aphex-gateway-tenant")?, role("aphex-gateway-cluster-events")?);
    let of_organizations = role("aphex-gateway-payloads")?;
    let asked = world.requests.asked();
    // On a server that several tests share, this gateway sees the other tests' listeners as well, those of thieves among them.
    let own = [String::new(), "default".to_owned(), world.organization(), world.tenant()];
    let refused: Vec<String> = asked
        .iter()
        .filter(|asked| own.contains(&asked.namespace))
        .filter(|asked| {
            let at_a_listener = asked.namespace.starts_with("org-")
                && (platform::allow(&at_listeners, asked) || platform::allow(&of_organizations, asked));
            let at_a_tenant = asked.namespace == world.tenant() && platform::allow(&at_tenants, asked);
            let in_default = asked.namespace == "default" && platform::allow(&of_the_cluster, asked);
            !at_a_listener && !at_a_tenant && !in_default && !platform::allow(&everywhere, asked)
        })
        .map(ToString::to_string)
        .collect();
    assert_eq!(refused, Vec::<String>::new(), "asked for and not allowed");
    let used: BTreeSet<(String, String)> =
        asked.iter().map(|asked| (asked.kind(), asked.verb.clone())).collect();
    let held = [&everywhere, &at_listeners, &of_organizations, &at_tenants, &of_the_cluster]
        .into_iter()
        .flat_map(|rules| platform::single(rules));
    let idle: Vec<_> = held
        .filter(|held| !used.contains(held))
        .filter(|(kind, verb)| !(verb == "delete" && RETENTION.contains(&kind.as_str())))
        .collect();
    assert_eq!(idle, Vec::new(), "allowed and never asked for");
    Ok(())
}

#[tokio::test]
async fn in_a_namespace_that_no_controller_opened_to_it_the_gateway_acts_as_nobody() -> anyhow::Result<()> {
    let world = World::start("closed").await?;
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> =
        Api::namespaced(world.client.clone(), &world.organization());
    bindings.delete("aphex-gateway", &kube::api::DeleteParams::default()).await?;
    let refused = world.deliver("refused", "push", &push()?, SECRET).await.unwrap_err().to_string();
    assert!(refused.starts_with("503") || refused.starts_with("500"), "{refused}");
    assert_eq!(world.runs().await?.len(), 0);
    Ok(())
}
