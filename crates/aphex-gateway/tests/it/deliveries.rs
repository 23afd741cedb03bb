//! What becomes of events.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use aphex_api::delivery::{
    Delivery, DeliveryPhase, DeliveryStatus, DeliveryVerdict, InterceptorVerdict, REPLAY_ANNOTATION,
    RunConcurrency, TriggerVerdict,
};
use aphex_api::foreign::triggers::TriggerTemplate;
use aphex_gateway::inbox::Keep;
use aphex_testkit::{eventually, platform};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::world::{REVISION, SECRET, World, push};

const ID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

#[tokio::test]
async fn a_signed_push_becomes_one_run_however_often_it_is_delivered() -> anyhow::Result<()> {
    let world = World::start("push").await?;
    let answer = world.deliver(ID, "push", &push()?, SECRET).await?;
    let expected =
        json!({ "eventListener": "github-listener", "namespace": world.organization(), "eventID": ID });
    assert_eq!(answer, expected);
    let (verdict, delivery) = world.verdict(ID).await?;
    assert_eq!(verdict, DeliveryVerdict::Created);
    assert_eq!(delivery.spec.repository, "Codertocat/Hello-World");
    assert!(!delivery.spec.headers.contains_key("X-Hub-Signature-256"));
    assert_eq!(world.deliver(ID, "push", &push()?, SECRET).await?, expected);
    let runs = world.runs().await?;
    let [run] = runs.as_slice() else { panic!("one run, not {}", runs.len()) };
    assert_eq!(run.data["spec"]["params"][0]["value"], REVISION);
    assert_eq!(run.labels()["triggers.tekton.dev/triggers-eventid"], ID);
    assert_eq!(run.labels()["triggers.tekton.dev/trigger"], "web-trigger");
    let status = delivery.status.unwrap_or_default();
    assert_eq!(status.created[0].name, run.name_any());
    assert_eq!(status.created[0].uid, run.uid());
    assert_eq!(status.conditions[0].status, "True");
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    assert_eq!(deliveries.list(&ListParams::default()).await?.items.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_needs_nobody_else_is_answered_with_its_verdict_stored() -> anyhow::Result<()> {
    let world = World::start("at-once").await?;
    let mut topic = push()?;
    topic["ref"] = "refs/heads/topic".into();
    world.deliver("wanted", "push", &push()?, SECRET).await?;
    world.deliver("unwanted", "push", &topic, SECRET).await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    for (id, verdict) in [("wanted", DeliveryVerdict::Created), ("unwanted", DeliveryVerdict::NotWanted)] {
        let delivery = deliveries.get(id).await?;
        let status = delivery.status.clone().unwrap_or_default();
        assert_eq!(status.verdict, Some(verdict), "{id}, not a moment after the answer");
        assert_eq!(Some(status.observed_generation), delivery.metadata.generation, "{id}");
        assert_eq!(status.conditions[0].observed_generation, delivery.metadata.generation, "{id}");
    }
    let asked = world.requests.asked();
    let patched = asked.iter().find(|asked| asked.verb == "patch" && asked.namespace == world.organization());
    assert_eq!(patched, None, "a run and two deliveries were created, and nothing was written twice");
    let looked_for = |name: &str| asked.iter().any(|asked| asked.verb == "get" && asked.name == name);
    assert!(looked_for("wanted") && !looked_for("unwanted"), "whose run could be made twice is looked for");
    world.deliver("unwanted", "push", &topic, SECRET).await?;
    assert_eq!(deliveries.list(&ListParams::default()).await?.items.len(), 2, "it is known again");
    Ok(())
}

#[tokio::test]
async fn a_run_of_one_who_died_before_it_stored_the_event_is_found_by_the_senders_next_try()
-> anyhow::Result<()> {
    let world = World::start("orphan").await?;
    world.deliver(ID, "push", &push()?, SECRET).await?;
    let (_, first) = world.verdict(ID).await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    // As if the gateway had been killed between the two writes.
    deliveries.delete(ID, &DeleteParams::default()).await?;
    assert_eq!(world.runs().await?.len(), 1);
    world.deliver(ID, "push", &push()?, SECRET).await?;
    let (verdict, second) = world.verdict(ID).await?;
    assert_eq!(verdict, DeliveryVerdict::Created);
    assert_ne!(first.uid(), second.uid());
    assert_eq!(first.status.map(|status| status.created), second.status.map(|status| status.created));
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_event_that_the_engine_did_not_store_after_its_run_was_made_is_not_acknowledged()
-> anyhow::Result<()> {
    let world = World::start("unstored").await?;
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), &world.organization());
    let admitted = world.admitted();
    // Everything but the right to create Deliveries.
    let manifests = platform::manifests("gateway")?;
    let role = manifests.iter().find(|object| object["metadata"]["name"] == "aphex-gateway-listener");
    let mut rules = role.context("the gateway has a role")?["rules"].clone();
    for rule in rules.as_array_mut().into_iter().flatten().filter(|rule| rule["resources"][0] == "deliveries")
    {
        rule["verbs"] = json!(["get", "patch", "delete"]);
    }
    let metadata = json!({ "name": "less", "namespace": world.organization() });
    let kind = "rbac.authorization.k8s.io/v1";
    world.apply(json!({ "apiVersion": kind, "kind": "Role", "metadata": metadata, "rules": rules })).await?;
    let mut less = admitted.clone();
    less["metadata"] = metadata;
    less["roleRef"] = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "less" });
    world.apply(less).await?;
    bindings.delete("aphex-gateway", &DeleteParams::default()).await?;
    let tries = AtomicU32::new(0);
    let (id, refused) = eventually("the right is gone", || async {
        let id = format!("try-{}", tries.fetch_add(1, Ordering::Relaxed));
        let answer = world.deliver(&id, "push", &push()?, SECRET).await;
        Ok(answer.err().map(|error| (id, error.to_string())))
    })
    .await?;
    assert!(refused.starts_with("503"), "{refused}");
    world.apply(admitted).await?;
    eventually("it is stored now", || async { Ok(world.deliver(&id, "push", &push()?, SECRET).await.ok()) })
        .await?;
    let (verdict, delivery) = world.verdict(&id).await?;
    assert_eq!(verdict, DeliveryVerdict::Created);
    let mut runs = world.runs().await?;
    runs.retain(|run| run.labels()["triggers.tekton.dev/triggers-eventid"] == id);
    let [run] = runs.as_slice() else { panic!("one run, not {}", runs.len()) };
    assert_eq!(delivery.status.unwrap_or_default().created[0].uid, run.uid());
    Ok(())
}

#[tokio::test]
async fn a_redelivery_makes_no_run_in_place_of_one_that_was_deleted() -> anyhow::Result<()> {
    let world = World::start("pruned").await?;
    world.deliver(ID, "push", &push()?, SECRET).await?;
    let (_, first) = world.verdict(ID).await?;
    let run = world.runs().await?.pop().context("a run was made")?;
    world.run_api().delete(&run.name_any(), &DeleteParams::default()).await?;
    eventually("the run is gone", || async { Ok(world.runs().await?.is_empty().then_some(())) }).await?;
    // To the replica that stored it, and to one that has just begun and has seen nothing yet.
    world.deliver(ID, "push", &push()?, SECRET).await?;
    let world = world.gateway().await?;
    world.deliver(ID, "push", &push()?, SECRET).await?;
    let (_, second) = world.verdict(ID).await?;
    assert_eq!((first.uid(), first.status), (second.uid(), second.status));
    assert_eq!(world.runs().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_not_wanted_says_why() -> anyhow::Result<()> {
    let world = World::start("unwanted").await?;
    let mut topic = push()?;
    topic["ref"] = "refs/heads/topic".into();
    world.deliver("other-branch", "push", &topic, SECRET).await?;
    let (verdict, delivery) = world.verdict("other-branch").await?;
    assert_eq!(verdict, DeliveryVerdict::NotWanted);
    let trigger = &delivery.status.unwrap_or_default().triggers[0];
    assert_eq!(trigger.verdict, TriggerVerdict::NotWanted);
    let cel = &trigger.interceptors[1];
    assert_eq!((cel.name.as_str(), cel.verdict), ("cel", InterceptorVerdict::Stopped));
    assert_eq!(cel.values["body.ref"], "refs/heads/topic");
    world.deliver("other-event", "issues", &json!({ "action": "opened" }), SECRET).await?;
    assert_eq!(world.verdict("other-event").await?.0, DeliveryVerdict::NotWanted);
    world.deliver("greeting", "ping", &json!({ "zen": "Keep it logically awesome." }), SECRET).await?;
    assert_eq!(world.verdict("greeting").await?.0, DeliveryVerdict::Ping);
    let mut deleted = push()?;
    deleted["after"] = "0".repeat(40).into();
    world.deliver("deleted", "push", &deleted, SECRET).await?;
    assert_eq!(world.verdict("deleted").await?.0, DeliveryVerdict::RefDeleted);
    assert_eq!(world.runs().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn one_repositorys_secret_fires_no_other_repositorys_trigger() -> anyhow::Result<()> {
    let world = World::start("forge").await?;
    for object in world.binding("evil", "whsec_of_the_evil_repository") {
        world.apply(object).await?;
    }
    world.apply(world.permission("evil")).await?;
    // The trigger reaches the gateway by a watch: until then its secret is nobody's.
    eventually("the second secret is known", || async {
        Ok(world.deliver(ID, "push", &push()?, "whsec_of_the_evil_repository").await.ok())
    })
    .await?;
    let (_, delivery) = world.verdict(ID).await?;
    let triggers: Vec<String> =
        delivery.status.unwrap_or_default().triggers.into_iter().map(|t| t.name).collect();
    assert_eq!(triggers, ["evil-trigger"]);
    // GitHub gives the same event the same id at every webhook: it is still an event of its own for the other secret.
    world.deliver(ID, "push", &push()?, SECRET).await?;
    eventually("both triggers made their run", || async {
        Ok((world.runs().await?.len() == 2).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_the_account_may_not_create_is_created_once_it_may() -> anyhow::Result<()> {
    let world = World::start("rights").await?;
    for object in world.binding("late", "whsec_of_the_late_repository") {
        world.apply(object).await?;
    }
    eventually("the second secret is known", || async {
        Ok(world.deliver(ID, "push", &push()?, "whsec_of_the_late_repository").await.ok())
    })
    .await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let message = eventually("the delivery waits", || async {
        let status = deliveries.get(ID).await?.status.unwrap_or_default();
        Ok(status.next_attempt_time.is_some().then_some(status.message))
    })
    .await?;
    assert!(
        message.contains("cannot create pipelineruns") || message.contains("cannot create resource"),
        "{message}"
    );
    assert_eq!(world.runs().await?.len(), 0);
    world.apply(world.permission("late")).await?;
    assert_eq!(world.verdict(ID).await?.0, DeliveryVerdict::Created);
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

/// A trigger that may create runs, and whose template is not there; gives the template.
async fn without_template(world: &World, name: &str, secret: &str) -> anyhow::Result<serde_json::Value> {
    let templates: Api<TriggerTemplate> = Api::namespaced(world.client.clone(), &world.organization());
    let mut template = serde_json::to_value(templates.get("run").await?)?;
    template["metadata"] = json!({ "name": format!("{name}-run"), "namespace": world.organization() });
    for mut object in world.binding(name, secret) {
        if object["kind"] == "Trigger" {
            object["spec"]["template"]["ref"] = json!(format!("{name}-run"));
        }
        world.apply(object).await?;
    }
    world.apply(world.permission(name)).await?;
    eventually("the second secret is known", || async {
        Ok(world.deliver(ID, "push", &push()?, secret).await.ok())
    })
    .await?;
    Ok(template)
}

#[tokio::test]
async fn a_template_that_comes_a_moment_after_the_event_is_waited_for() -> anyhow::Result<()> {
    let world = World::start("later").await?;
    let template = without_template(&world, "late", "whsec_of_the_late_template").await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let status = deliveries.get(ID).await?.status.unwrap_or_default();
    assert_eq!((status.phase, status.verdict), (DeliveryPhase::Pending, None), "{}", status.message);
    assert!(status.message.contains("TriggerTemplate late-run does not exist"), "{}", status.message);
    world.apply(template).await?;
    assert_eq!(world.verdict(ID).await?.0, DeliveryVerdict::Created);
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_template_that_does_not_come_is_not_waited_for_long() -> anyhow::Result<()> {
    let world = World::start("never").await?;
    without_template(&world, "never", "whsec_of_no_template").await?;
    let (verdict, delivery) = world.verdict(ID).await?;
    let status = delivery.status.unwrap_or_default();
    assert_eq!((verdict, status.attempts), (DeliveryVerdict::Failed, 4), "{}", status.message);
    assert!(status.message.contains("TriggerTemplate never-run does not exist"), "{}", status.message);
    assert_eq!(world.runs().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_delivery_that_nobody_finished_is_taken_up_at_start() -> anyhow::Result<()> {
    let world = World::start("restart").await?;
    let left = world.left_behind(&world.name, jiff::Timestamp::now())?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    deliveries.create(&PostParams::default(), &left).await?;
    let world = world.gateway().await?;
    assert_eq!(world.verdict("left-behind").await?.0, DeliveryVerdict::Created);
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn good_pushes_do_not_throw_out_a_failure_that_somebody_has_to_look_at() -> anyhow::Result<()> {
    let mut world = World::start("kept").await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let now = jiff::Timestamp::now();
    let store = async |name: String, ago: u64, phase: DeliveryPhase| {
        let mut delivery = world.left_behind(&world.name, now - std::time::Duration::from_secs(ago))?;
        delivery.metadata.name = Some(name);
        let verdict = Some(match phase {
            DeliveryPhase::Failed => DeliveryVerdict::Failed,
            _ => DeliveryVerdict::NotWanted,
        });
        delivery.status =
            Some(DeliveryStatus { phase, verdict, observed_generation: 1, ..Default::default() });
        anyhow::Ok(deliveries.create(&PostParams::default(), &delivery).await.map(drop)?)
    };
    for n in 0..3 {
        store(format!("failed-{n}"), 1000 - n, DeliveryPhase::Failed).await?;
    }
    for n in 0..25 {
        store(format!("done-{n:02}"), 100 - n, DeliveryPhase::Done).await?;
    }
    world.inbox.keep = Keep::new(2, Keep::DAYS);
    let world = world.gateway().await?;
    eventually("the last two are left, and every failure", || async {
        let left = deliveries.list_metadata(&ListParams::default()).await?;
        let mut left: Vec<String> = left.items.iter().map(kube::ResourceExt::name_any).collect();
        left.sort();
        Ok((left == ["done-23", "done-24", "failed-0", "failed-1", "failed-2"]).then_some(()))
    })
    .await?;
    world.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_payload_too_large_for_one_object_is_kept_in_parts() -> anyhow::Result<()> {
    let world = World::start("large").await?;
    let mut large = push()?;
    let noise: String = (0..3_000_000).map(|_| char::from(rand::random_range(b'0'..=b'z'))).collect();
    large["noise"] = noise.replace('\\', "/").into();
    world.deliver(ID, "push", &large, SECRET).await?;
    let (verdict, delivery) = world.verdict(ID).await?;
    assert_eq!(verdict, DeliveryVerdict::Created);
    assert!(delivery.spec.payload_parts >= 1);
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.organization());
    let part = eventually("the part is owned", || async {
        let part = secrets.get(&format!("{ID}-payload-1")).await?;
        Ok(part.metadata.owner_references.clone().map(|_| part))
    })
    .await?;
    assert_eq!(part.owner_references()[0].name, ID);
    assert_eq!(world.deliver(ID, "push", &large, SECRET).await?["eventID"], ID);
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_the_controllers_write_about_a_run_is_no_news_to_the_gateway() -> anyhow::Result<()> {
    let world = World::start("noted").await?;
    world.deliver(ID, "push", &push()?, SECRET).await?;
    world.verdict(ID).await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let said = RunConcurrency::superseded("web-2");
    let note = json!([{ "op": "add", "path": "/status/created/0/concurrency", "value": said }]);
    let note = Patch::Json::<()>(serde_json::from_value(note)?);
    let noted = deliveries.patch(ID, &PatchParams::default(), &note).await?;
    world.deliver(ID, "push", &push()?, SECRET).await?;
    world.deliver("another", "push", &push()?, SECRET).await?;
    world.verdict("another").await?;
    let there = deliveries.get(ID).await?;
    assert_eq!(there.resource_version(), noted.resource_version(), "nobody wrote to it again");
    assert_eq!(there.status.unwrap_or_default().created[0].concurrency, Some(said));
    assert_eq!(world.runs().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_replay_is_evaluated_again_and_creates_anew() -> anyhow::Result<()> {
    let world = World::start("replay").await?;
    world.deliver(ID, "push", &push()?, SECRET).await?;
    world.verdict(ID).await?;
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let annotation = json!({ "metadata": { "annotations": { REPLAY_ANNOTATION: "1" } } });
    deliveries.patch(ID, &PatchParams::default(), &Patch::Merge(annotation)).await?;
    eventually("there is a second run", || async { Ok((world.runs().await?.len() == 2).then_some(())) })
        .await?;
    let replayed = eventually("the replay is noted", || async {
        let status = deliveries.get(ID).await?.status.unwrap_or_default();
        Ok((status.observed_replay.as_deref() == Some("1")).then_some(status))
    })
    .await?;
    assert_eq!(replayed.verdict, Some(DeliveryVerdict::Created));
    Ok(())
}

#[tokio::test]
async fn a_changed_secret_counts_at_once_and_its_predecessor_while_it_may() -> anyhow::Result<()> {
    let world = World::start("rotate").await?;
    world.deliver("first", "push", &push()?, SECRET).await?;
    world
        .apply(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "webhook-web", "namespace": world.organization() },
            "data": { "secret": STANDARD.encode("whsec_new"), "secret.previous": STANDARD.encode(SECRET) },
        }))
        .await?;
    eventually("the new secret is known", || async {
        Ok(world.deliver("second", "push", &push()?, "whsec_new").await.ok())
    })
    .await?;
    world.deliver("third", "push", &push()?, SECRET).await?;
    for id in ["first", "second", "third"] {
        assert_eq!(world.verdict(id).await?.0, DeliveryVerdict::Created);
    }
    Ok(())
}

#[tokio::test]
async fn of_triggers_of_one_name_each_makes_its_own_run_and_makes_it_once() -> anyhow::Result<()> {
    let world = World::start("same-name").await?;
    let mut first = world.binding("web", SECRET)[2]["spec"].clone();
    first["name"] = "same".into();
    let mut second = first.clone();
    second["template"]["ref"] = "late".into();
    world
        .apply(json!({
            "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "EventListener",
            "metadata": { "name": "same", "namespace": world.organization() },
            "spec": { "triggers": [first, second] },
        }))
        .await?;
    let path = format!("/{}/same", world.organization());
    eventually("the gateway knows the listener", || async {
        Ok((world.post(&path).send().await?.status().as_u16() != 404).then_some(()))
    })
    .await?;
    let body = push()?.to_string();
    let sent = world
        .post(&path)
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", "of-one-name")
        .header("x-hub-signature-256", aphex_gateway::sign(SECRET.as_bytes(), body.as_bytes()));
    assert_eq!(sent.body(body).send().await?.status().as_u16(), 200);
    let api: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let waiting = eventually("the first has made its run, and the second waits", || async {
        let triggers = api.get("of-one-name").await?.status.unwrap_or_default().triggers;
        Ok((triggers.len() == 2).then_some(triggers))
    })
    .await?;
    assert_eq!(
        (waiting[0].verdict, waiting[1].verdict),
        (TriggerVerdict::Created, TriggerVerdict::Retrying),
        "{waiting:?}"
    );
    let templates: Api<TriggerTemplate> = Api::namespaced(world.client.clone(), &world.organization());
    let run = templates.get("run").await?.spec;
    templates.create(&PostParams::default(), &TriggerTemplate::new("late", run)).await?;
    let (verdict, delivery) = world.verdict("of-one-name").await?;
    assert_eq!(verdict, DeliveryVerdict::Created);
    let triggers = delivery.status.unwrap_or_default().triggers;
    assert_eq!(triggers[0], waiting[0], "what it made is not made again");
    let names: Vec<&str> = triggers.iter().map(|trigger| trigger.name.as_str()).collect();
    assert_eq!(names, ["same", "same#2"]);
    assert_ne!(triggers[1].created[0].name, triggers[0].created[0].name);
    assert_eq!(world.runs().await?.len(), 2);
    Ok(())
}
