//! What the gateway answers.

use std::fmt::Write as _;

use aphex_api::delivery::Delivery;
use aphex_gateway::sign;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::world::{SECRET, World, push};

async fn answer(request: reqwest::RequestBuilder) -> anyhow::Result<(u16, Value)> {
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.json().await?))
}

#[tokio::test]
async fn requests_that_are_not_signed_events_are_refused_and_not_stored() -> anyhow::Result<()> {
    let world = World::start("refuse").await?;
    let path = format!("/{}", world.name);
    let body = push()?.to_string();
    let signed = |body: &str, content_type: &str| {
        world
            .post(&path)
            .header("content-type", content_type)
            .header("x-hub-signature-256", sign(SECRET.as_bytes(), body.as_bytes()))
            .body(body.to_owned())
    };
    let unsigned = world.post(&path).header("content-type", "application/json").body(body.clone());
    let invalid = json!({ "error": "Invalid webhook signature" });
    assert_eq!(answer(unsigned.try_clone().unwrap()).await?, (401, invalid.clone()));
    let wrong = unsigned.header("x-hub-signature-256", sign(b"wrong", body.as_bytes()));
    assert_eq!(answer(wrong).await?, (401, invalid));
    let payload = json!({ "error": "Invalid webhook payload" });
    for broken in ["{", "[]", "\"text\"", ""] {
        assert_eq!(answer(signed(broken, "application/json")).await?, (400, payload.clone()), "{broken}");
    }
    let form = "application/x-www-form-urlencoded";
    assert_eq!(answer(signed("x=1", form)).await?, (400, payload));
    assert_eq!(answer(signed(&body, "text/plain")).await?.0, 415);
    assert_eq!(answer(world.post("/nobody").body(body.clone())).await?.0, 404);
    let large =
        world.post(&path).header("content-type", "application/json").body(vec![b' '; 25 * 1024 * 1024 + 1]);
    // The answer comes before the body was sent, so a client may see the connection close instead.
    assert!(answer(large).await.map_or(true, |(code, _)| code == 413));
    let get = reqwest::Method::GET;
    let request = world.post(&path).build()?;
    let mut get_request = reqwest::Request::new(get, request.url().clone());
    get_request.headers_mut().clone_from(request.headers());
    let response = reqwest::Client::new().execute(get_request).await?;
    assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str()?), (405, "POST"));
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    assert_eq!(deliveries.list(&ListParams::default()).await?.items, []);
    Ok(())
}

#[tokio::test]
async fn forms_and_hosts_are_understood() -> anyhow::Result<()> {
    let world = World::start("form").await?;
    let mut form = String::from("payload=");
    for byte in push()?.to_string().bytes() {
        write!(form, "%{byte:02X}")?;
    }
    let request = world
        .post("/")
        .header("host", format!("{}.hooks.example.com", world.name))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-github-event", "push")
        .header("x-github-delivery", "by-host")
        .header("x-hub-signature-256", sign(SECRET.as_bytes(), form.as_bytes()))
        .body(form);
    let expected = json!({ "eventListener": "github-listener", "namespace": world.organization(), "eventID": "by-host" });
    assert_eq!(answer(request).await?, (200, expected));
    world.verdict("by-host").await?;
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}
