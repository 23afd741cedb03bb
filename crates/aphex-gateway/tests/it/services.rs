//! Interceptors that are services over TLS, GitHub's API with a token, and the addresses that nobody may name.

use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliveryVerdict, TriggerVerdict};
use aphex_runtime::Shutdown;
use aphex_testkit::{Service, eventually};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use kube::Api;
use serde_json::{Value, json};

use super::world::{SECRET, World, push};

impl World {
    /// The world whose trigger asks one more interceptor, between the signature and the branch.
    async fn asking(&self, interceptor: Value) -> anyhow::Result<()> {
        let mut trigger = self.binding("web", SECRET)[2].clone();
        if let Some(chain) = trigger["spec"]["interceptors"].as_array_mut() {
            chain.insert(1, interceptor);
        }
        self.apply(trigger).await
    }

    /// A namespaced interceptor at an address.
    async fn interceptor(&self, url: &str, ca: Option<&str>) -> anyhow::Result<()> {
        let mut config = json!({ "url": url });
        if let Some(ca) = ca {
            config["caBundle"] = STANDARD.encode(ca).into();
        }
        self.apply(json!({
            "apiVersion": "triggers.tekton.dev/v1alpha1", "kind": "Interceptor",
            "metadata": { "name": "own", "namespace": self.organization() },
            "spec": { "clientConfig": config },
        }))
        .await
    }

    /// Delivers until the gateway has seen what was applied last; what the trigger made of it then.
    async fn until(&self, seen: impl Fn(&Delivery) -> bool) -> anyhow::Result<Delivery> {
        let api: Api<Delivery> = Api::namespaced(self.client.clone(), &self.organization());
        eventually("the delivery comes out as expected", || async {
            let id = format!("asked-{:08x}", rand::random::<u32>());
            self.deliver(&id, "push", &push()?, SECRET).await?;
            let decided = eventually("the delivery was looked at", || async {
                let delivery = api.get(&id).await?;
                let looked_at = delivery.status.as_ref().is_some_and(|status| !status.triggers.is_empty());
                Ok(looked_at.then_some(delivery))
            })
            .await?;
            Ok(seen(&decided).then_some(decided))
        })
        .await
    }
}

fn own() -> Value {
    json!({ "ref": { "name": "own", "kind": "NamespacedInterceptor" }, "params": [{ "name": "level", "value": 3 }] })
}

fn verdict(delivery: &Delivery) -> Option<DeliveryVerdict> {
    delivery.status.as_ref().and_then(|status| status.verdict)
}

fn message(delivery: &Delivery) -> String {
    delivery.status.as_ref().map(|status| status.triggers[0].message.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_service_is_asked_over_tls_that_its_bundle_vouches_for() -> anyhow::Result<()> {
    let service =
        Service::https(|_| Response::new(json!({ "continue": true, "extensions": { "ok": 1 } }).to_string()))
            .await?;
    let stranger = Service::https(|_| Response::new(json!({ "continue": true }).to_string())).await?;
    let mut world = World::start("tls").await?;
    world.calls.allowed = vec!["localhost".parse()?];
    let world = world.gateway().await?;
    world.interceptor(&service.url, Some(&service.ca)).await?;
    world.asking(own()).await?;
    world
        .until(|delivery| verdict(delivery) == Some(DeliveryVerdict::Created) && !service.asked().is_empty())
        .await?;
    let asked = service.asked().pop().unwrap();
    let told: Value = serde_json::from_slice(asked.body())?;
    let body: Value = serde_json::from_str(told["body"].as_str().unwrap_or_default())?;
    assert_eq!(body, push()?);
    assert_eq!(told["interceptor_params"], json!({ "level": 3 }));
    let trigger = format!("namespaces/{}/triggers/web-trigger", world.organization());
    assert_eq!(told["context"]["trigger_id"], trigger.as_str());
    assert_eq!(told["header"]["X-Github-Event"], json!(["push"]));
    assert_eq!(told["header"].get("X-Hub-Signature-256"), None);
    // The wrong authority: nothing is told, and the event waits for better days.
    world.interceptor(&stranger.url, Some(&service.ca)).await?;
    let waiting = world.until(|delivery| verdict(delivery).is_none()).await?;
    assert_eq!(
        waiting.status.as_ref().map(|status| status.triggers[0].verdict),
        Some(TriggerVerdict::Retrying)
    );
    assert!(message(&waiting).contains("interceptor own does not answer"), "{}", message(&waiting));
    assert!(stranger.asked().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_whose_services_take_longer_than_a_claim_is_decided_once() -> anyhow::Result<()> {
    let service = Service::http(|_| {
        std::thread::sleep(Duration::from_secs(4));
        Response::new(json!({ "continue": true }).to_string())
    })
    .await?;
    let mut world = World::start("long").await?;
    world.calls.allowed = vec!["localhost".parse()?];
    let world = world.gateway().await?;
    let stop = Shutdown::new();
    world.replica("other", &stop).await?;
    world.interceptor(&service.url, None).await?;
    let mut trigger = world.binding("web", SECRET)[2].clone();
    if let Some(chain) = trigger["spec"]["interceptors"].as_array_mut() {
        // The same question is asked once.
        let level =
            |level: u32| json!({ "ref": own()["ref"], "params": [{ "name": "level", "value": level }] });
        chain.splice(1..1, (0..3).map(level));
    }
    world.apply(trigger).await?;
    let api: Api<Delivery> = Api::namespaced(world.client.clone(), &world.organization());
    world.until(|delivery| delivery.status.as_ref().is_some_and(|s| s.triggers.len() == 1)).await?;
    let before = service.asked().len();
    world.deliver("slow", "push", &push()?, SECRET).await?;
    let claimed = eventually("it is claimed", || async {
        Ok(api.get("slow").await?.status.and_then(|status| status.lease_until))
    })
    .await?;
    let renewed = eventually("the claim is renewed", || async {
        let now = api.get("slow").await?.status.and_then(|status| status.lease_until);
        Ok(now.filter(|now| *now != claimed))
    })
    .await?;
    assert!(renewed > claimed);
    let (verdict, delivery) = world.verdict("slow").await?;
    assert_eq!(verdict, DeliveryVerdict::Created);
    assert_eq!(delivery.status.map(|status| status.attempts), Some(1));
    assert_eq!(service.asked().len() - before, 3, "nobody asked once more");
    stop.trigger();
    Ok(())
}

#[tokio::test]
async fn no_trigger_leads_the_gateway_to_its_own_neighbourhood() -> anyhow::Result<()> {
    let service = Service::http(|_| Response::new(json!({ "continue": true }).to_string())).await?;
    let world = World::start("near").await?;
    world.asking(own()).await?;
    let port = service.url.rsplit(':').next().unwrap_or_default().to_owned();
    for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"] {
        world.interceptor(&format!("http://{host}:{port}/"), None).await?;
        let plain = host.trim_matches(['[', ']']);
        let refused = |delivery: &Delivery| {
            let message = message(delivery);
            message.contains("is not allowed") && (message.contains(plain) || message.contains("ffff"))
        };
        world.until(refused).await?;
    }
    assert!(service.asked().is_empty());
    Ok(())
}

#[tokio::test]
async fn what_a_service_does_not_answer_now_is_asked_again() -> anyhow::Result<()> {
    let calls = std::sync::atomic::AtomicU32::new(0);
    let service = Service::http(move |_| {
        let first = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        let mut response = Response::new(json!({ "continue": true }).to_string());
        if first {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    })
    .await?;
    let mut world = World::start("again").await?;
    world.calls.allowed = vec!["localhost".parse()?];
    let world = world.gateway().await?;
    world.interceptor(&service.url, None).await?;
    world.asking(own()).await?;
    let waiting = world.until(|delivery| verdict(delivery).is_none()).await?;
    assert!(message(&waiting).contains("answered 503"), "{}", message(&waiting));
    let name = waiting.metadata.name.unwrap_or_default();
    assert_eq!(world.verdict(&name).await?.0, DeliveryVerdict::Created);
    Ok(())
}

#[tokio::test]
async fn githubs_api_is_asked_with_the_token_of_the_triggers_namespace() -> anyhow::Result<()> {
    let files = "/api/v3/repos/Codertocat/Hello-World/pulls/2/files";
    let api = Service::http(move |request| {
        let second = request.uri().query().unwrap_or_default().contains("page=2");
        let names = if second { json!([{ "filename": "src/b" }]) } else { json!([{ "filename": "docs/a" }]) };
        let mut response = Response::new(names.to_string());
        if request.uri().path() != files {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        } else if !second {
            let host = request.headers()["host"].to_str().unwrap_or_default();
            let link = format!("<http://{host}{files}?per_page=100&page=2>; rel=\"next\"");
            response.headers_mut().insert("link", link.parse().unwrap());
        }
        response
    })
    .await?;
    let mut world = World::start("files").await?;
    world.calls.github_api = format!("{}/api/v3", api.url);
    let world = world.gateway().await?;
    world
        .apply(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "github-token", "namespace": world.organization() },
            "data": { "token": STANDARD.encode("ghp_of_the_tenant\n") },
        }))
        .await?;
    let token = json!({ "secretName": "github-token", "secretKey": "token" });
    let mut trigger = world.binding("web", SECRET)[2].clone();
    let chain = &mut trigger["spec"]["interceptors"];
    chain[0]["params"][1]["value"] = json!(["pull_request"]);
    chain[1]["params"][0]["value"] = "extensions.changed_files.split(',') == ['docs/a', 'src/b']".into();
    if let Some(params) = chain[0]["params"].as_array_mut() {
        params.push(
            json!({ "name": "addChangedFiles", "value": { "enabled": true, "personalAccessToken": token } }),
        );
    }
    trigger["spec"]["bindings"] = json!([{ "name": "revision", "value": "$(body.pull_request.head.sha)" }]);
    world.apply(trigger).await?;
    let body: Value = serde_json::from_str(include_str!("../golden/pull_request/event.json"))?;
    eventually("a run of the pull request is made", || async {
        let id = format!("pull-{:08x}", rand::random::<u32>());
        world.deliver(&id, "pull_request", &body, SECRET).await?;
        Ok((world.verdict(&id).await?.0 == DeliveryVerdict::Created).then_some(()))
    })
    .await?;
    for asked in api.asked() {
        assert_eq!(asked.headers()["authorization"], "Bearer ghp_of_the_tenant");
        assert_eq!(asked.headers()["accept"], "application/vnd.github+json");
    }
    assert!(api.asked().len() >= 2);
    Ok(())
}
