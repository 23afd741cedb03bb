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

    /// A ClusterTriggerBinding whose parameter cannot be read.
    pub(crate) fn malformed_of_the_cluster(&self) -> Value {
        json!({
            "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "ClusterTriggerBinding",
            "metadata": { "name": format!("{}-malformed", self.name) },
            "spec": { "params": [{ "name": "a", "value": "$(body.a[)" }] },
        })
    }

    /// The notes of Events about an object, once there is one.
    pub(crate) async fn told(&self, kind: &str, name: &str) -> anyhow::Result<String> {
        self.told_in(&self.organization(), kind, name).await
    }

    /// The same of Events in a namespace.
    pub(crate) async fn told_in(&self, namespace: &str, kind: &str, name: &str) -> anyhow::Result<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
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
async fn what_is_malformed_for_the_whole_cluster_is_told_of_where_kubernetes_has_such_events()
-> anyhow::Result<()> {
    let world = World::start("whole").await?;
    let binding = world.malformed_of_the_cluster();
    let interceptor = json!({
        "apiVersion": "triggers.tekton.dev/v1alpha1", "kind": "ClusterInterceptor",
        "metadata": { "name": format!("{}-nowhere", world.name) }, "spec": { "clientConfig": {} },
    });
    for (object, expected) in [(binding, "spec.params[0]"), (interceptor, "it has neither")] {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        world.apply(object.clone()).await?;
        let note = world.told_in("default", &kind, &name).await?;
        assert!(note.starts_with(expected), "{note}");
    }
    Ok(())
}

#[tokio::test]
async fn an_entry_of_a_listener_that_cannot_be_read_harms_no_other_entry() -> anyhow::Result<()> {
    let world = World::start("entries").await?;
    let good = world.binding("web", SECRET)[2]["spec"].clone();
    let entry = |name: &str, version: &str, changed: &[(&str, Value)]| {
        let mut entry = good.clone();
        entry["name"] = name.into();
        for (field, value) in changed {
            entry[*field] = value.clone();
        }
        json!({
            "apiVersion": format!("triggers.tekton.dev/{version}"), "kind": "EventListener",
            "metadata": { "name": format!("with-{name}"), "namespace": world.organization() },
            "spec": { "triggers": [good, entry] },
        })
    };
    let valueless = json!([
        good["interceptors"][0], { "ref": { "name": "cel" }, "params": [{ "name": "filter" }] }
    ]);
    let mut nameless = entry("nameless", "v1alpha1", &[]);
    nameless["spec"]["triggerGroups"] = json!([
        { "interceptors": [], "triggerSelector": { "labelSelector": "oops" } },
        { "interceptors": [], "triggerSelector": { "namespaceSelector": { "matchNames": ["nowhere"] } } },
    ]);
    let cases = [
        (entry("oops", "v1alpha1", &[("bindings", "oops".into())]), "spec.triggers[1] cannot be read, and"),
        (
            entry("valueless", "v1beta1", &[("interceptors", valueless)]),
            "spec.triggers[1].interceptors[1] has a filter without a value",
        ),
        (nameless, "spec.triggerGroups[0] cannot be read, and"),
    ];
    for (listener, expected) in cases {
        let name = listener["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        world.apply(listener).await?;
        let note = world.told("EventListener", &name).await?;
        assert!(note.contains(expected), "{name}: {note}");
        let body = push()?.to_string();
        let sent = world
            .post(&format!("/{}/{name}", world.organization()))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", &name)
            .header("x-hub-signature-256", aphex_gateway::sign(SECRET.as_bytes(), body.as_bytes()));
        assert_eq!(sent.body(body).send().await?.status().as_u16(), 200, "{name}");
        let (verdict, delivery) = world.verdict(&name).await?;
        let triggers = delivery.status.unwrap_or_default().triggers;
        let made = triggers.iter().filter(|trigger| !trigger.created.is_empty()).count();
        let unharmed = if name == "with-oops" { 1 } else { 2 };
        assert_eq!(made, unharmed, "{name}: {verdict:?} {triggers:?}");
    }
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
        // Who asks so often is told to wait; what is told of the first stays.
        let status = answer.status().as_u16();
        anyhow::ensure!(matches!(status, 401 | 429), "it was answered {status}");
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
