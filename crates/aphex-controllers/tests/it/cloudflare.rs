//! Organizations behind Cloudflare: the controllers on an engine, and a stand-in for Cloudflare.

use std::sync::Arc;
use std::time::Duration;

use aphex_api::organization::Organization;
use aphex_controllers::Settings;
use aphex_runtime::Clock;
use aphex_runtime::clock::Hand;
use aphex_testkit::cloudflare::{self as stand_in, Connector, Fault, Scope};
use aphex_testkit::eventually;
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::engine::{Controllers, Engine, GATEWAY, PLATFORM};
use crate::tunnels::provider;

#[path = "cloudflare/change.rs"]
mod change;
#[path = "cloudflare/secrecy.rs"]
mod secrecy;

/// More than what was seen at Cloudflare is believed for.
const LATER: Duration = Duration::from_mins(11);

struct World {
    engine: Engine,
    cloudflare: stand_in::Cloudflare,
    clock: Clock,
    hand: Hand,
    controllers: Controllers,
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let engine = Engine::without_controllers().await?;
        let cloudflare = stand_in::Cloudflare::start().await?;
        let (clock, hand) = Clock::manual(jiff::Timestamp::now());
        let controllers = run(&engine, &cloudflare, &clock)?;
        Ok(Self { engine, cloudflare, clock, hand, controllers })
    }

    /// Other controllers, which know nothing of what those before did.
    async fn restart(&mut self) -> anyhow::Result<()> {
        let fresh = run(&self.engine, &self.cloudflare, &self.clock)?;
        std::mem::replace(&mut self.controllers, fresh).end().await
    }

    /// An organization whose connectors run.
    async fn active(&self, name: &str) -> anyhow::Result<Organization> {
        self.engine.organization(name).await?;
        self.connectors_run(name).await?;
        self.engine.organization_phase(name, "Active").await
    }

    /// Says what a cluster says once the connectors' pods run and are connected.
    async fn connectors_run(&self, name: &str) -> anyhow::Result<()> {
        connectors_run(&self.engine, name).await
    }

    async fn message(&self, name: &str, part: &str) -> anyhow::Result<Organization> {
        let says = |organization: &Organization| {
            organization.status.as_ref().is_some_and(|status| status.message.contains(part))
        };
        self.engine.until(PLATFORM, name, &format!("{name} says {part:?}"), says).await
    }

    /// Wakes the controller.
    async fn poke(&self, name: &str) -> anyhow::Result<()> {
        let mark = jiff::Timestamp::now().to_string();
        let patch = json!({ "metadata": { "annotations": { "test/poke": mark } } });
        let api = self.engine.api::<Organization>(PLATFORM);
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    async fn gone(&self, name: &str) -> anyhow::Result<()> {
        let api = self.engine.api::<Organization>(PLATFORM);
        eventually(&format!("{name} is gone"), || async {
            Ok(api.get_opt(name).await?.is_none().then_some(()))
        })
        .await
    }

    async fn delete(&self, name: &str) -> anyhow::Result<()> {
        let api = self.engine.api::<Organization>(PLATFORM);
        api.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }
}

pub(crate) fn run(
    engine: &Engine,
    cloudflare: &stand_in::Cloudflare,
    clock: &Clock,
) -> anyhow::Result<Controllers> {
    let tunnels = Arc::new(provider(cloudflare, clock)?);
    Ok(engine.run_controllers_with(Settings::new(GATEWAY)?, clock.clone(), tunnels))
}

/// Says what a cluster says once the connectors' pods run and are connected.
pub(crate) async fn connectors_run(engine: &Engine, name: &str) -> anyhow::Result<()> {
    let (namespace, deployment) = (format!("org-{name}"), format!("cloudflared-{name}"));
    engine.until::<Deployment>(&namespace, &deployment, "connectors are wanted", |_| true).await?;
    let parameters = PatchParams::default();
    if engine.cluster.is_embedded() {
        let status = json!({ "status": { "conditions": [{ "type": "Available", "status": "True" }] } });
        let api = engine.api::<Deployment>(&namespace);
        api.patch_status(&deployment, &parameters, &Patch::Merge(&status)).await?;
        return Ok(());
    }
    // Somebody else counts there, and there may be no node: the pods are said to run.
    let pods = engine.api::<Pod>(&namespace);
    let ready =
        json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    eventually("the connectors are available", || async {
        for pod in pods.list(&ListParams::default().labels("app=cloudflared")).await?.items {
            pods.patch_status(&pod.name_any(), &parameters, &Patch::Merge(&ready)).await?;
        }
        let found = engine.api::<Deployment>(&namespace).get_opt(&deployment).await?;
        let conditions = found.and_then(|found| found.status?.conditions).unwrap_or_default();
        Ok(conditions.iter().any(|c| c.type_ == "Available" && c.status == "True").then_some(()))
    })
    .await
}

fn condition(organization: &Organization, name: &str) -> (String, String) {
    let conditions = organization.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition.type_ == name);
    found.map(|condition| (condition.status, condition.reason)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_organization_gets_a_tunnel_a_name_and_connectors() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.engine.organization("tunnelled").await?;
    let waiting =
        world.message("tunnelled", "Waiting for Deployment org-tunnelled/cloudflared-tunnelled").await?;
    assert_eq!(condition(&waiting, "WebhookReady"), ("Unknown".to_owned(), "Provisioning".to_owned()));
    world.connectors_run("tunnelled").await?;
    let organization = world.engine.organization_phase("tunnelled", "Active").await?;
    assert_eq!(condition(&organization, "WebhookReady"), ("True".to_owned(), "Provisioned".to_owned()));
    let status = organization.status.unwrap_or_default();
    assert_eq!(status.webhook_url.as_deref(), Some("https://tunnelled.example.com"));

    let tunnel = world.cloudflare.tunnel("webhooks-tunnelled").unwrap();
    let records = world.cloudflare.records_of("tunnelled.example.com");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].content, format!("{}.cfargotunnel.com", tunnel.id));

    let secret = world.engine.api::<Secret>("org-tunnelled").get("cloudflared-credentials-tunnelled").await?;
    let file: Value = serde_json::from_slice(&secret.data.unwrap_or_default()["credentials.json"].0)?;
    assert_eq!((&file["TunnelID"], &file["TunnelSecret"]), (&json!(tunnel.id), &json!(tunnel.secret)));
    let config = world.engine.api::<ConfigMap>("org-tunnelled").get("cloudflared-config").await?;
    let config: Value = serde_saphyr::from_str(&config.data.unwrap_or_default()["config.yaml"])?;
    assert_eq!(config["tunnel"], json!(tunnel.id));
    let rules = json!([
        {
            "hostname": "tunnelled.example.com",
            "path": "^/(tunnelled/?)?$",
            "service": "http://aphex-gateway.platform-system.svc:80",
        },
        { "service": "http_status:404" },
    ]);
    assert_eq!(config["ingress"], rules);
    world.engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_steady_state_writes_nothing_to_cloudflare_or_the_engine_not_even_after_a_restart()
-> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.active("steady-tunnel").await?;
    let tunnel = world.cloudflare.tunnel("webhooks-steady-tunnel").unwrap();
    passes(&world, "steady-tunnel").await?;
    let (writes, calls) = (world.cloudflare.writes(), world.cloudflare.calls().len());
    let written = world.engine.requests.writes();
    passes(&world, "steady-tunnel").await?;
    assert_eq!(world.cloudflare.calls().len(), calls, "nothing is asked");
    world.hand.advance(LATER);
    passes(&world, "steady-tunnel").await?;
    assert_eq!(world.cloudflare.calls().len(), calls + 3, "one look, for all passes");
    world.restart().await?;
    passes(&world, "steady-tunnel").await?;
    eventually("the new controllers have looked", || async {
        Ok((world.cloudflare.calls().len() > calls + 3).then_some(()))
    })
    .await?;
    passes(&world, "steady-tunnel").await?;
    assert_eq!(world.cloudflare.writes(), writes, "{:?}", world.cloudflare.calls());
    assert_eq!(world.engine.requests.writes(), written);
    assert_eq!(world.cloudflare.tunnel("webhooks-steady-tunnel").unwrap().id, tunnel.id);
    world.engine.finish().await
}

/// Wakes the controller until it made several whole passes.
async fn passes(world: &World, name: &str) -> anyhow::Result<()> {
    let target = world.engine.requests.reads() + 100;
    eventually("several passes", || async {
        world.poke(name).await?;
        Ok((world.engine.requests.reads() > target).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_changes_on_the_engine_or_at_cloudflare_comes_back() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.active("mended").await?;
    let (namespace, host) = ("org-mended", "mended.example.com");
    let secrets = world.engine.api::<Secret>(namespace);
    let before = secrets.get("cloudflared-credentials-mended").await?.data;
    secrets.delete("cloudflared-credentials-mended", &DeleteParams::default()).await?;
    let same = |secret: &Secret| secret.data == before;
    world.engine.until(namespace, "cloudflared-credentials-mended", "the same credentials", same).await?;
    world.engine.api::<Deployment>(namespace).delete("cloudflared-mended", &DeleteParams::default()).await?;
    world.connectors_run("mended").await?;
    world.engine.organization_phase("mended", "Active").await?;
    let template = async || {
        let found = world.engine.api::<Deployment>(namespace).get("cloudflared-mended").await?;
        let pods = found.spec.and_then(|spec| spec.template.metadata);
        anyhow::Ok(pods.and_then(|metadata| metadata.annotations).unwrap_or_default())
    };
    let old = template().await?;
    let rotated = "cm90YXRlZC1yb3RhdGVkLXJvdGF0ZWQtcm90YXRlZC0=";
    world.cloudflare.change_tunnel("webhooks-mended", |tunnel| tunnel.secret = rotated.to_owned());
    world.cloudflare.drop_records(host);
    world.hand.advance(LATER);
    world.poke("mended").await?;
    let has = |secret: &Secret| {
        let file = secret.data.as_ref().and_then(|data| data.get("credentials.json"));
        file.is_some_and(|file| String::from_utf8_lossy(&file.0).contains(rotated))
    };
    world
        .engine
        .until(namespace, "cloudflared-credentials-mended", "the secret that is true now", has)
        .await?;
    eventually("the connectors roll", || async { Ok((template().await? != old).then_some(())) }).await?;
    eventually("the name is back", || async {
        Ok((world.cloudflare.records_of(host).len() == 1).then_some(()))
    })
    .await?;
    world.engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_somebody_elses_is_a_failure_that_says_what_to_do() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.cloudflare.put_record("CNAME", "foreign.example.com", "shop.example.net");
    let before = world.cloudflare.records();
    world.engine.organization("foreign").await?;
    let failed = world.engine.organization_phase("foreign", "Failed").await?;
    assert_eq!(condition(&failed, "Ready"), ("False".to_owned(), "NameTaken".to_owned()));
    assert_eq!(condition(&failed, "WebhookReady"), ("False".to_owned(), "NameTaken".to_owned()));
    let message = failed.status.unwrap_or_default().message;
    assert!(message.contains("foreign.example.com") && message.contains("shop.example.net"), "{message}");
    assert_eq!(world.cloudflare.records(), before);
    world.cloudflare.drop_records("foreign.example.com");
    world.poke("foreign").await?;
    world.connectors_run("foreign").await?;
    world.engine.organization_phase("foreign", "Active").await?;
    world.engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_a_permission_is_a_failure_that_names_it() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.cloudflare.forbid(Scope::TunnelEdit);
    world.engine.organization("scoped").await?;
    let failed = world.engine.organization_phase("scoped", "Failed").await?;
    let message = failed.status.unwrap_or_default().message;
    assert!(
        message.contains("code 10000") && message.contains("Account/Cloudflare Tunnel/Edit"),
        "{message}"
    );
    world.cloudflare.allow_all();
    world.connectors_run("scoped").await?;
    world.engine.organization_phase("scoped", "Active").await?;
    world.engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_goes_from_the_name_over_the_connectors_to_the_tunnel() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.active("leaving").await?;
    world.cloudflare.change_tunnel("webhooks-leaving", |tunnel| tunnel.connector = Connector::Live);
    let refused = Fault::Answer { status: 500, code: 0, message: "oops".to_owned() };
    world.cloudflare.inject(&Method::DELETE, "/dns_records", 1000, refused);
    world.delete("leaving").await?;
    let failed = world.message("leaving", "could not delete the DNS record: status 500").await?;
    assert_eq!(failed.metadata.finalizers.unwrap_or_default(), ["platform.aphex/organization-finalizer"]);
    assert!(world.engine.api::<Deployment>("org-leaving").get_opt("cloudflared-leaving").await?.is_some());

    world.cloudflare.heal();
    world.poke("leaving").await?;
    world.message("leaving", "Waiting for the connections of tunnel webhooks-leaving to end").await?;
    assert_eq!(world.cloudflare.records_of("leaving.example.com"), []);
    assert!(world.engine.api::<Deployment>("org-leaving").get_opt("cloudflared-leaving").await?.is_none());
    assert!(world.engine.has_namespace("org-leaving").await?, "the namespace goes last");

    world.cloudflare.change_tunnel("webhooks-leaving", |tunnel| tunnel.connector = Connector::Stale);
    world.poke("leaving").await?;
    world.gone("leaving").await?;
    assert!(world.cloudflare.tunnel("webhooks-leaving").is_none());
    assert!(!world.engine.has_namespace("org-leaving").await?);
    let kinds = |call: &String| {
        let parts = ["dns_records", "connections", "cfd_tunnel"];
        call.starts_with("DELETE").then(|| parts.into_iter().find(|part| call.contains(part))).flatten()
    };
    let mut deleted: Vec<&str> = world.cloudflare.calls().iter().filter_map(kinds).collect();
    deleted.dedup();
    assert_eq!(deleted[..3], ["dns_records", "connections", "cfd_tunnel"]);
    world.engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pass_that_was_cut_off_left_is_used_and_what_was_refused_is_left_alone() -> anyhow::Result<()>
{
    let world = World::start().await?;
    let half = world.cloudflare.put_tunnel("webhooks-half", |_| {});
    world.active("half").await?;
    assert_eq!(world.cloudflare.tunnel("webhooks-half").unwrap().id, half.id);

    let used = world.cloudflare.put_tunnel("webhooks-used", |tunnel| {
        tunnel.connector = Connector::Live;
        tunnel.created_at = jiff::Timestamp::UNIX_EPOCH;
    });
    world.engine.organization("used").await?;
    world.message("used", "has live connections").await?;
    world.delete("used").await?;
    world.gone("used").await?;
    assert_eq!(
        world.cloudflare.tunnel("webhooks-used").unwrap().id,
        used.id,
        "it was never the organization's"
    );
    world.engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_leads_to_the_gateway_and_goes_with_the_organization() -> anyhow::Result<()> {
    let engine = Engine::without_controllers().await?;
    let tunnels = Arc::new(aphex_controllers::tunnels::ThroughIngress::new("hooks.example.com"));
    let mut settings = Settings::new(GATEWAY)?;
    settings.exposure.ingress_class = Some("nginx".to_owned());
    engine.run_controllers_with(settings, Clock::system(), tunnels);
    engine.organization("routed").await?;
    let organization = engine.organization_phase("routed", "Active").await?;
    let status = organization.status.unwrap_or_default();
    assert_eq!(status.webhook_url.as_deref(), Some("https://routed.hooks.example.com"));
    let ingresses = engine.api::<Ingress>(PLATFORM);
    let spec = ingresses.get("webhooks-routed").await?.spec.unwrap_or_default();
    assert_eq!(spec.ingress_class_name.as_deref(), Some("nginx"));
    let rule = serde_json::to_value(&spec.rules.unwrap_or_default()[0])?;
    assert_eq!(rule["host"], "routed.hooks.example.com");
    let paths: Vec<&str> = rule["http"]["paths"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|path| path["path"].as_str())
        .collect();
    assert_eq!(paths, ["/", "/routed"]);
    let service = &rule["http"]["paths"][0]["backend"]["service"];
    assert_eq!(*service, json!({ "name": "aphex-gateway", "port": { "name": "http" } }));
    engine.api::<Organization>(PLATFORM).delete("routed", &DeleteParams::default()).await?;
    eventually("the Ingress is gone", || async {
        Ok(ingresses.get_opt("webhooks-routed").await?.is_none().then_some(()))
    })
    .await?;
    engine.finish().await
}
