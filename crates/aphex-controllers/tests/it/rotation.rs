//! Webhook secrets are rotated when an annotation asks for it, and what was before them goes in time.

use aphex_api::organization::Organization;
use aphex_api::repo_binding::RepoBinding;
use aphex_testkit::eventually;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::engine::{Engine, PLATFORM};

const ROTATE: &str = "platform.aphex/rotate-webhook-secret";
const GRACE: &str = "platform.aphex/rotate-webhook-secret-grace";

fn annotations(annotations: &Value) -> Patch<Value> {
    Patch::Merge(json!({ "metadata": { "annotations": annotations } }))
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    Some(String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).unwrap())
}

/// Waits until the status of a binding tells that a request was carried out; gives the secret it shows.
async fn rotated(engine: &Engine, name: &str, request: &str) -> anyhow::Result<String> {
    let is = |binding: &RepoBinding| {
        let status = binding.status.as_ref();
        let rotation = status.and_then(|status| status.webhook_secret_rotation.as_ref());
        rotation.is_some_and(|rotation| rotation.request == request)
    };
    let binding = engine.until(PLATFORM, name, &format!("{request} is carried out"), is).await?;
    Ok(binding.status.unwrap().webhook_secret.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_makes_a_new_secret_once_and_keeps_the_old_one_for_its_grace() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("turn").await?;
    engine.binding("turn-app", "turn").await?;
    let first = engine.phase("turn-app", "Ready").await?.webhook_secret.unwrap();
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let apply = |patch: Patch<Value>| {
        let bindings = bindings.clone();
        async move { bindings.patch("turn-app", &PatchParams::default(), &patch).await }
    };

    apply(annotations(&json!({ ROTATE: "one" }))).await?;
    let second = rotated(&engine, "turn-app", "one").await?;
    assert_ne!(second, first);
    let secrets = engine.api::<Secret>("org-turn");
    let secret = secrets.get("webhook-turn-app").await?;
    assert_eq!(text(&secret, "secret").as_deref(), Some(second.as_str()));
    assert_eq!(text(&secret, "secret.previous").as_deref(), Some(first.as_str()));
    let until: jiff::Timestamp = text(&secret, "secret.previous-until").unwrap().parse()?;
    let left = until.duration_since(jiff::Timestamp::now());
    assert!((23..=24).contains(&left.as_hours()), "{left}");

    let events = engine.api::<Event>(PLATFORM);
    eventually("an Event tells of it", || async {
        let events = events.list(&ListParams::default()).await?.items;
        let told = events.into_iter().find(|event| {
            event.reason.as_deref() == Some("WebhookSecretRotated")
                && event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some("turn-app")
        });
        for text in [&first, &second] {
            let note = told.as_ref().and_then(|event| event.note.as_deref()).unwrap_or_default();
            anyhow::ensure!(!note.contains(text.as_str()), "the note has the secret");
        }
        Ok(told)
    })
    .await?;

    // A pass for another reason makes no new secret; a short grace is soon over, and then the old secret goes.
    apply(annotations(&json!({ ROTATE: "two", GRACE: "1s" }))).await?;
    let third = rotated(&engine, "turn-app", "two").await?;
    assert_ne!(third, second);
    eventually("nothing is left of the secret before", || async {
        apply(annotations(&json!({ "touched": jiff::Timestamp::now().to_string() }))).await?;
        let secret = secrets.get("webhook-turn-app").await?;
        let keys: Vec<String> = secret.data.unwrap_or_default().into_keys().collect();
        Ok((keys == ["secret"]).then_some(()))
    })
    .await?;
    assert_eq!(rotated(&engine, "turn-app", "two").await?, third);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grace_that_is_none_is_refused_and_changes_nothing() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("grace").await?;
    engine.binding("grace-app", "grace").await?;
    let first = engine.phase("grace-app", "Ready").await?.webhook_secret;
    let bindings = engine.api::<RepoBinding>(PLATFORM);
    let patch = annotations(&json!({ ROTATE: "one", GRACE: "soon" }));
    bindings.patch("grace-app", &PatchParams::default(), &patch).await?;
    let status = engine.phase("grace-app", "Failed").await?;
    assert!(status.message.contains("'soon' is no duration"), "{}", status.message);
    assert_eq!(status.webhook_secret, first);
    engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organizations_secret_is_rotated_unless_somebody_chose_it() -> anyhow::Result<()> {
    let engine = Engine::start().await?;
    engine.organization("whole").await?;
    engine.organization_phase("whole", "Active").await?;
    let secrets = engine.api::<Secret>("org-whole");
    let first = text(&secrets.get("github-webhook-secret").await?, "secret").unwrap();
    let organizations = engine.api::<Organization>(PLATFORM);
    let patch = annotations(&json!({ ROTATE: "one" }));
    organizations.patch("whole", &PatchParams::default(), &patch).await?;
    engine
        .until::<Organization>(PLATFORM, "whole", "the status tells of it", |organization| {
            let rotation = organization.status.as_ref().and_then(|s| s.webhook_secret_rotation.as_ref());
            rotation.is_some_and(|rotation| rotation.request == "one" && rotation.previous_until.is_some())
        })
        .await?;
    let secret = secrets.get("github-webhook-secret").await?;
    assert_eq!(text(&secret, "secret.previous"), Some(first));
    assert_eq!(secret.annotations()[ROTATE], "one");

    let chosen = json!({ "metadata": { "annotations": { ROTATE: "two" } }, "spec": { "webhookSecret": "a-secret-of-my-own" } });
    organizations.patch("whole", &PatchParams::default(), &Patch::Merge(chosen)).await?;
    engine
        .until::<Secret>("org-whole", "github-webhook-secret", "the chosen secret is in force", |secret| {
            text(secret, "secret").as_deref() == Some("a-secret-of-my-own")
                && text(secret, "secret.previous").is_none()
        })
        .await?;
    engine.finish().await
}
