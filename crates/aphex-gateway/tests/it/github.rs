//! What GitHub really sends: its own examples of every payload, whole and spoiled, and the special cases of pushes.

use std::path::Path;

use anyhow::Context as _;
use aphex_api::delivery::{Delivery, DeliveryVerdict};
use aphex_gateway::sign;
use aphex_testkit::{eventually, packages};
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::world::{REVISION, SECRET, World, push};

/// As many as the pinned version of the package has.
const EXAMPLES: usize = 329;

/// One example: event type, and payload.
type Example = (String, Value);

fn examples() -> anyhow::Result<Option<Vec<Example>>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/octokit");
    let Some(folder) = packages::npm("GitHub's own examples of payloads", "octokit", &source)? else {
        return Ok(None);
    };
    let index = folder.join("node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let index = std::fs::read_to_string(&index).with_context(|| index.display().to_string())?;
    let index: Vec<Value> = serde_json::from_str(&index)?;
    let mut examples = Vec::new();
    for event in index {
        let name = event["name"].as_str().context("an event has a name")?;
        for payload in event["examples"].as_array().into_iter().flatten() {
            examples.push((name.to_owned(), payload.clone()));
        }
    }
    Ok(Some(examples))
}

/// What the world's one trigger, which wants pushes to `master`, makes of an event.
fn expected(kind: &str, body: &Value) -> DeliveryVerdict {
    let git_ref = body["ref"].as_str().unwrap_or_default();
    match kind {
        "ping" => DeliveryVerdict::Ping,
        "push" if body["deleted"] == json!(true) => DeliveryVerdict::RefDeleted,
        "push" if git_ref.starts_with("refs/tags/") => DeliveryVerdict::Tag,
        "push" if git_ref == "refs/heads/master" => DeliveryVerdict::Created,
        _ => DeliveryVerdict::NotWanted,
    }
}

/// A request of which each part can be left out or spoiled.
struct Sent<'a> {
    id: Option<&'a str>,
    kind: Option<&'a str>,
    content_type: &'a str,
    signature: Option<String>,
    body: Vec<u8>,
}

impl Sent<'_> {
    async fn to(self, world: &World) -> anyhow::Result<(u16, Value)> {
        // Of one source alone so many spoiled ones would not all be told why.
        let source = std::net::Ipv4Addr::from_bits(0xc612_0000 | (rand::random::<u32>() >> 15));
        let mut request = world
            .post(&format!("/{}", world.name))
            .header("content-type", self.content_type)
            .header("x-forwarded-for", source.to_string())
            .body(self.body);
        let headers = [
            ("x-github-delivery", self.id),
            ("x-github-event", self.kind),
            ("x-hub-signature-256", self.signature.as_deref()),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }
}

#[tokio::test]
async fn every_example_of_github_has_its_verdict_and_no_spoiled_one_does_harm() -> anyhow::Result<()> {
    let Some(examples) = examples()? else { return Ok(()) };
    assert_eq!(examples.len(), EXAMPLES);
    let mut world = World::start("octokit").await?;
    world.inbox.trusted_proxies = vec!["127.0.0.0/8".parse()?];
    let world = world.gateway().await?;
    let signed = |body: &[u8]| Some(sign(SECRET.as_bytes(), body));
    let json_type = "application/json";
    let refused = json!({ "error": "Invalid webhook signature" });
    let unreadable = json!({ "error": "Invalid webhook payload" });
    for (number, (kind, payload)) in examples.iter().enumerate() {
        let body = payload.to_string().into_bytes();
        let id = format!("example-{number}");
        let about = format!("{id}: {kind}");
        let whole = |id| Sent {
            id,
            kind: Some(kind),
            content_type: json_type,
            signature: signed(&body),
            body: body.clone(),
        };
        // Doubled: the second is the first's.
        for _ in 0..2 {
            assert_eq!(whole(Some(&id)).to(&world).await?.0, 200, "{about}");
        }
        let (verdict, delivery) = world.verdict(&id).await?;
        let message = delivery.status.unwrap_or_default().message;
        assert_eq!(verdict, expected(kind, payload), "{about}: {message}");
        assert!(!message.is_empty(), "{about}");

        let cut = body[..body.len() / 2].to_vec();
        let truncated = Sent { signature: signed(&cut), body: cut, ..whole(Some("cut")) };
        assert_eq!(truncated.to(&world).await?, (400, unreadable.clone()), "{about}");
        let mut flipped = body.clone();
        flipped[number % body.len()] ^= 1 << (number % 7);
        let flipped = Sent { body: flipped, ..whole(Some("flipped")) };
        assert_eq!(flipped.to(&world).await?, (401, refused.clone()), "{about}");
        let wrong = Sent { signature: Some(sign(b"wrong", &body)), ..whole(Some("wrong")) };
        assert_eq!(wrong.to(&world).await?, (401, refused.clone()), "{about}");
        let unsigned = Sent { signature: None, ..whole(Some("unsigned")) };
        assert_eq!(unsigned.to(&world).await?, (401, refused.clone()), "{about}");
        let typed = Sent { content_type: "text/plain", ..whole(Some("typed")) };
        assert_eq!(typed.to(&world).await?.0, 415, "{about}");
        // Without the headers that say what it is, it is an event of no kind.
        let bare = Sent { kind: None, ..whole(None) };
        let (status, answer) = bare.to(&world).await?;
        assert_eq!(status, 200, "{about}");
        let id = answer["eventID"].as_str().context("an answer has an id")?.to_owned();
        assert_eq!(world.verdict(&id).await?.0, DeliveryVerdict::NotWanted, "{about}");
    }
    let deliveries: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    let stored = deliveries.list(&ListParams::default()).await?.items;
    let spoiled = ["cut", "flipped", "wrong", "unsigned", "typed"];
    assert!(stored.iter().all(|d| !spoiled.contains(&d.spec.delivery_id.as_str())));
    Ok(())
}

#[tokio::test]
async fn each_kind_of_push_has_its_verdict() -> anyhow::Result<()> {
    let world = World::start("pushes").await?;
    let zeros = "0".repeat(40);
    let changed = |changes: &[(&str, Value)]| -> anyhow::Result<Value> {
        let mut body = push()?;
        body["ref"] = "refs/heads/master".into();
        body["after"] = REVISION.into();
        body["deleted"] = false.into();
        body["head_commit"] = json!({ "id": REVISION, "message": "Change" });
        for (pointer, value) in changes {
            body[*pointer] = value.clone();
        }
        Ok(body)
    };
    let commit = |number: usize| json!({ "id": format!("{number:040x}"), "added": [], "modified": ["a"], "removed": [] });
    let commits: Value = (0..2_000).map(commit).collect();
    let said = |message: &str| json!({ "id": REVISION, "message": message });
    let cases = [
        ("plain", "push", changed(&[])?, DeliveryVerdict::Created),
        (
            "created",
            "push",
            changed(&[("created", true.into()), ("before", zeros.clone().into())])?,
            DeliveryVerdict::Created,
        ),
        ("forced", "push", changed(&[("forced", true.into())])?, DeliveryVerdict::Created),
        ("many", "push", changed(&[("commits", commits)])?, DeliveryVerdict::Created),
        (
            "deleted",
            "push",
            changed(&[("deleted", true.into()), ("after", zeros.clone().into())])?,
            DeliveryVerdict::RefDeleted,
        ),
        ("zeros", "push", changed(&[("after", zeros.into())])?, DeliveryVerdict::RefDeleted),
        ("tag", "push", changed(&[("ref", "refs/tags/v1".into())])?, DeliveryVerdict::Tag),
        (
            "skip",
            "push",
            changed(&[("head_commit", said("Typo [skip ci]"))])?,
            DeliveryVerdict::SkipRequested,
        ),
        (
            "trailer",
            "push",
            changed(&[("head_commit", said("Typo\n\nskip-checks: true"))])?,
            DeliveryVerdict::SkipRequested,
        ),
        ("branch", "push", changed(&[("ref", "refs/heads/烈/🦀".into())])?, DeliveryVerdict::NotWanted),
        (
            "queue",
            "merge_group",
            json!({ "action": "checks_requested", "merge_group": { "head_sha": REVISION } }),
            DeliveryVerdict::NotWanted,
        ),
        (
            "hello",
            "ping",
            json!({ "zen": "x", "hook": { "type": "Organization" }, "organization": { "login": "acme" } }),
            DeliveryVerdict::Ping,
        ),
        (
            "huge",
            "push",
            changed(&[("id", json!(u64::MAX)), ("float", json!(1e300))])?,
            DeliveryVerdict::Created,
        ),
    ];
    for (id, kind, body, expected) in cases {
        world.deliver(id, kind, &body, SECRET).await?;
        let (verdict, delivery) = world.verdict(id).await?;
        let message = delivery.status.unwrap_or_default().message;
        assert_eq!((verdict, message.is_empty()), (expected, false), "{id}: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_payload_nested_too_deep_is_refused_and_one_less_deep_is_not() -> anyhow::Result<()> {
    let world = World::start("deep").await?;
    let nested = |depth: usize| {
        let mut body = push().unwrap_or_default().to_string();
        body.pop();
        format!("{body},\"deep\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
    };
    for (id, depth, expected) in [("deep-enough", 100, 200), ("too-deep", 100_000, 400)] {
        let body = nested(depth);
        let signature = Some(sign(SECRET.as_bytes(), &body));
        let sent =
            Sent { id: Some(id), kind: Some("push"), content_type: "application/json", signature, body };
        assert_eq!(sent.to(&world).await?.0, expected, "{id}");
    }
    eventually("the deep one has its run", || async { Ok((world.runs().await?.len() == 1).then_some(())) })
        .await
}
