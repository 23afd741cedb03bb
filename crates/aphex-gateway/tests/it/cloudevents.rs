//! CloudEvents: those that come in, and those that tell a listener's `cloudEventURI` what became of its events.

use aphex_api::delivery::DeliveryVerdict;
use aphex_gateway::sign;
use aphex_testkit::{Service, eventually};
use http::Response;
use serde_json::{Value, json};

use super::world::{SECRET, World, push};

impl World {
    /// The organization's listener, which tells an address of its events.
    async fn telling(&self, uri: &str) -> anyhow::Result<()> {
        let organization = self.organization();
        self.apply(json!({
            "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "EventListener",
            "metadata": { "name": "github-listener", "namespace": organization },
            "spec": { "namespaceSelector": { "matchNames": [organization] }, "cloudEventURI": uri },
        }))
        .await
    }
}

#[tokio::test]
async fn what_becomes_of_an_event_is_told_as_cloud_events() -> anyhow::Result<()> {
    let broker = Service::http(|_| Response::new(String::new())).await?;
    let mut world = World::start("broker").await?;
    world.calls.allowed = vec!["127.0.0.0/8".parse()?, "localhost".parse()?];
    world.telling(&broker.url).await?;
    let world = world.gateway().await?;
    world.deliver("told", "push", &push()?, SECRET).await?;
    let sent = eventually("all of them came", || async {
        let asked = broker.asked();
        Ok((asked.len() >= 3).then_some(asked))
    })
    .await?;
    let header = |at: usize, name: &str| sent[at].headers()[name].to_str().unwrap_or_default().to_owned();
    let kinds: Vec<String> = (0..sent.len()).map(|at| header(at, "ce-type")).collect();
    let kind = |word: &str| format!("dev.tekton.event.triggers.{word}.v1");
    assert_eq!(kinds, [kind("started"), kind("successful"), kind("done")]);
    for at in 0..3 {
        assert_eq!(header(at, "ce-id"), "told");
        assert_eq!(header(at, "ce-specversion"), "1.0");
        assert_eq!(header(at, "ce-subject"), "github-listener processing told");
        assert_eq!(header(at, "content-type"), "application/json");
    }
    let source = format!("/apis//v1beta1/namespaces/{}/EventListener/github-listener", world.organization());
    assert_eq!(header(0, "ce-source"), source);
    let headers: Value = serde_json::from_slice(sent[0].body())?;
    assert_eq!(headers["X-Github-Event"], json!(["push"]));
    assert_eq!(headers.get("X-Hub-Signature-256"), None, "nothing secret is told");
    Ok(())
}

#[tokio::test]
async fn no_listener_leads_the_gateway_to_its_own_neighbourhood() -> anyhow::Result<()> {
    let service = Service::http(|_| Response::new(String::new())).await?;
    let port = service.url.rsplit(':').next().unwrap_or_default().to_owned();
    for host in ["127.0.0.1", "localhost"] {
        let world = World::start("beside").await?;
        world.telling(&format!("http://{host}:{port}/")).await?;
        let world = world.gateway().await?;
        world.deliver("untold", "push", &push()?, SECRET).await?;
        assert_eq!(world.verdict("untold").await?.0, DeliveryVerdict::Created);
        let note = world.told("EventListener", "github-listener").await?;
        assert!(note.contains("spec.cloudEventURI") && note.contains("is not allowed"), "{note}");
    }
    assert!(service.asked().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_cloud_event_is_taken_as_it_comes() -> anyhow::Result<()> {
    let world = World::start("structured").await?;
    // The whole of it is the body, as Tekton's sink sees it.
    let mut body = push()?;
    body["specversion"] = "1.0".into();
    body["type"] = "com.example.push".into();
    let body = body.to_string();
    let request = world
        .post(&format!("/{}", world.name))
        .header("content-type", "application/cloudevents+json; charset=UTF-8")
        .header("x-github-event", "push")
        .header("x-github-delivery", "structured")
        .header("x-hub-signature-256", sign(SECRET.as_bytes(), body.as_bytes()));
    assert_eq!(request.body(body).send().await?.status().as_u16(), 200);
    assert_eq!(world.verdict("structured").await?.0, DeliveryVerdict::Created);
    Ok(())
}

#[tokio::test]
async fn a_listener_with_deprecated_interceptors_works_as_tekton_rewrites_it() -> anyhow::Result<()> {
    let world = World::start("deprecated").await?;
    let secret = json!({ "secretName": "webhook-web", "secretKey": "secret" });
    let entry = |name: &str, filter: &str| {
        json!({
            "name": name, "serviceAccountName": "web-trigger",
            "interceptors": [
                { "github": { "secretRef": secret, "eventTypes": ["push"] } },
                { "cel": { "filter": filter, "overlays": [{ "key": "short", "expression": "body.after.truncate(7)" }] } },
            ],
            "bindings": [{ "name": "revision", "value": "$(extensions.short)" }],
            "template": { "ref": "run" },
        })
    };
    world
        .apply(json!({
            "apiVersion": "triggers.tekton.dev/v1alpha1", "kind": "EventListener",
            "metadata": { "name": "github-listener", "namespace": world.organization() },
            "spec": { "triggers": [entry("yes", "body.ref == 'refs/heads/master'"), entry("no", "false")] },
        }))
        .await?;
    let world = world.gateway().await?;
    world.deliver("deprecated", "push", &push()?, SECRET).await?;
    let (verdict, delivery) = world.verdict("deprecated").await?;
    let triggers = delivery.status.unwrap_or_default().triggers;
    assert_eq!(verdict, DeliveryVerdict::Created, "{triggers:?}");
    let made: Vec<(&str, usize)> =
        triggers.iter().map(|trigger| (trigger.name.as_str(), trigger.created.len())).collect();
    assert_eq!(made, [("yes", 1), ("no", 0)]);
    let revision = world.runs().await?[0].data["spec"]["params"][0]["value"].clone();
    assert_eq!(revision, super::world::REVISION[..7], "what an overlay made is bound");
    Ok(())
}
