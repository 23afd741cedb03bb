//! What is wrong with a trigger is told when it is written, and harms no other.

use aphex_api::delivery::DeliveryVerdict;
use aphex_testkit::eventually;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::world::{SECRET, World, push};

impl World {
    /// A Trigger whose expression cannot be read.
    pub(crate) fn malformed(&self) -> Value {
        let mut trigger = self.binding("malformed", "no_secret_of_anything")[2].clone();
        trigger["spec"]["interceptors"][1]["params"][0]["value"] = "body.ref ==".into();
        trigger
    }

    /// The notes of Events about an object, once there is one.
    pub(crate) async fn told(&self, kind: &str, name: &str) -> anyhow::Result<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.organization());
        eventually("an Event tells what is wrong", || async {
            let events = api.list(&ListParams::default()).await?.items;
            let about = events.into_iter().find(|event| {
                let regarding = event.regarding.clone().unwrap_or_default();
                (regarding.kind.as_deref(), regarding.name.as_deref()) == (Some(kind), Some(name))
            });
            Ok(about.and_then(|event| event.note))
        })
        .await
    }
}

#[tokio::test]
async fn a_malformed_trigger_is_told_of_and_harms_no_other() -> anyhow::Result<()> {
    let world = World::start("malformed").await?;
    world.apply(world.malformed()).await?;
    let note = world.told("Trigger", "malformed-trigger").await?;
    assert!(
        note.starts_with("spec.interceptors[1] has the filter body.ref ==, which cannot be read"),
        "{note}"
    );
    // Its type is right and its value is none: nothing of it can be read.
    world
        .apply(json!({
            "apiVersion": "triggers.tekton.dev/v1alpha1", "kind": "Interceptor",
            "metadata": { "name": "unreadable", "namespace": world.organization() },
            "spec": { "clientConfig": { "service": { "name": "a", "namespace": "b", "port": 70_000 } } },
        }))
        .await?;
    let note = world.told("Interceptor", "unreadable").await?;
    assert!(note.starts_with("it cannot be read, and counts as not there"), "{note}");
    world.deliver("unharmed", "push", &push()?, SECRET).await?;
    assert_eq!(world.verdict("unharmed").await?.0, DeliveryVerdict::Created);
    // A gateway that is started with them there has everything else all the same.
    let world = world.gateway().await?;
    world.deliver("still-unharmed", "push", &push()?, SECRET).await?;
    assert_eq!(world.verdict("still-unharmed").await?.0, DeliveryVerdict::Created);
    Ok(())
}

#[tokio::test]
async fn what_was_malformed_works_once_it_is_written_right() -> anyhow::Result<()> {
    let world = World::start("mended").await?;
    let [secret, account, trigger] = world.binding("late", "whsec_of_the_late_repository");
    let mut broken = trigger.clone();
    broken["spec"]["template"] = json!({});
    for object in [secret, account, broken, world.permission("late")] {
        world.apply(object).await?;
    }
    let note = world.told("Trigger", "late-trigger").await?;
    assert!(note.contains("spec.template has neither ref nor spec"), "{note}");
    world.apply(trigger).await?;
    eventually("the trigger makes a run", || async {
        let id = format!("late-{:08x}", rand::random::<u32>());
        world.deliver(&id, "push", &push()?, "whsec_of_the_late_repository").await?;
        Ok((world.verdict(&id).await?.0 == DeliveryVerdict::Created).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_trigger_that_no_secret_guards_is_told_of_with_the_event_that_it_misses() -> anyhow::Result<()> {
    let world = World::start("unguarded").await?;
    let mut trigger = world.binding("open", "no_secret_of_anything")[2].clone();
    trigger["spec"]["interceptors"][0]["params"] = json!([{ "name": "eventTypes", "value": ["push"] }]);
    world.apply(trigger).await?;
    let api: Api<Event> = Api::namespaced(world.client.clone(), &world.organization());
    let note = eventually("an Event on the listener tells of it", || async {
        let unsigned = world.post(&format!("/{}", world.name)).header("content-type", "application/json");
        let answer = unsigned.header("x-github-event", "push").body(push()?.to_string()).send().await?;
        anyhow::ensure!(answer.status().as_u16() == 401, "it was answered {}", answer.status());
        let events = api.list(&ListParams::default()).await?.items;
        let notes = events.into_iter().filter_map(|event| Some((event.regarding?.kind?, event.note?)));
        Ok(notes.into_iter().find(|(kind, _)| kind == "EventListener").map(|(_, note)| note))
    })
    .await?;
    let expected = format!(
        "it offers events to Trigger {}/open-trigger, which has no interceptor with a secretRef",
        world.organization()
    );
    assert!(note.starts_with(&expected), "{note}");
    assert!(!note.contains("web-trigger"), "{note}");
    Ok(())
}
