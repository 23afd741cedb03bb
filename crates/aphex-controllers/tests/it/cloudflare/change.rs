//! The way in changes while organizations exist: what the former one made is taken back, and nothing else.

use std::sync::Arc;

use aphex_controllers::tunnels::{Local, Successor, ThroughIngress, Tunnels};

use super::*;

impl World {
    /// Other controllers with another way in, which has taken the place of tunnels.
    async fn change(&mut self, now: impl Tunnels + 'static, token: bool) -> anyhow::Result<()> {
        let before = if token { Some(Arc::new(provider(&self.cloudflare, &self.clock)?) as _) } else { None };
        let tunnels = Arc::new(Successor::new(Arc::new(now), before));
        let settings = Settings::new(GATEWAY)?;
        let fresh = self.engine.run_controllers_with(settings, self.clock.clone(), tunnels);
        std::mem::replace(&mut self.controllers, fresh).end().await
    }

    /// Waits until an organization is Active under an address.
    async fn reached_at(&self, name: &str, url: &str) -> anyhow::Result<Organization> {
        let there = |organization: &Organization| {
            let status = organization.status.as_ref();
            status.is_some_and(|s| {
                s.webhook_url.as_deref() == Some(url) && format!("{:?}", s.phase) == "Active"
            })
        };
        self.engine.until(PLATFORM, name, &format!("{name} is reached at {url}"), there).await
    }

    /// Waits until the condition that tells what is left of the former exposure says so; nothing for none.
    async fn left(&self, name: &str, part: Option<&str>) -> anyhow::Result<()> {
        let says = |organization: &Organization| {
            let conditions = organization.status.as_ref().map(|status| status.conditions.clone());
            let found = conditions.into_iter().flatten().find(|found| found.type_ == "FormerExposure");
            match part {
                Some(part) => found.is_some_and(|found| found.message.contains(part)),
                None => found.is_none(),
            }
        };
        self.engine.until(PLATFORM, name, &format!("left of {name}: {part:?}"), says).await.map(drop)
    }

    /// Which of the tunnel's objects an organization has.
    async fn objects(&self, name: &str) -> anyhow::Result<[bool; 4]> {
        let (engine, namespace) = (&self.engine, format!("org-{name}"));
        Ok([
            engine
                .api::<Secret>(&namespace)
                .get_opt(&format!("cloudflared-credentials-{name}"))
                .await?
                .is_some(),
            engine.api::<ConfigMap>(&namespace).get_opt("cloudflared-config").await?.is_some(),
            engine.api::<Deployment>(&namespace).get_opt(&format!("cloudflared-{name}")).await?.is_some(),
            engine.api::<Ingress>(PLATFORM).get_opt(&format!("webhooks-{name}")).await?.is_some(),
        ])
    }

    async fn has(&self, name: &str, wanted: [bool; 4]) -> anyhow::Result<()> {
        let what = format!("Secret, ConfigMap, Deployment, Ingress of {name}: {wanted:?}");
        eventually(&what, || async { Ok((self.objects(name).await? == wanted).then_some(())) }).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_cloudflare_to_an_ingress_to_local_and_back_each_takes_the_other_away() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.active("moving").await?;
    world.cloudflare.put_record("A", "other.example.com", "192.0.2.1");
    world.cloudflare.put_tunnel("webhooks-other", |_| {});
    let first = world.cloudflare.tunnel("webhooks-moving").unwrap();
    world.cloudflare.change_tunnel("webhooks-moving", |tunnel| tunnel.connector = Connector::Live);

    world.change(ThroughIngress::new("hooks.example.com"), true).await?;
    world.reached_at("moving", "https://moving.hooks.example.com").await?;
    // The pods of the connectors are still on their way out: the credentials are all that tells of the tunnel.
    world.left("moving", Some("Waiting for the connections of tunnel webhooks-moving to end")).await?;
    world.has("moving", [true, false, false, true]).await?;
    assert_eq!(world.cloudflare.records_of("moving.example.com"), []);
    world.cloudflare.change_tunnel("webhooks-moving", |tunnel| tunnel.connector = Connector::Stale);
    world.poke("moving").await?;
    world.left("moving", None).await?;
    world.has("moving", [false, false, false, true]).await?;
    assert!(world.cloudflare.tunnel("webhooks-moving").is_none());

    world.change(Local::new(GATEWAY), true).await?;
    world.reached_at("moving", &format!("{GATEWAY}/moving")).await?;
    world.has("moving", [false, false, false, false]).await?;

    world.restart().await?;
    world.connectors_run("moving").await?;
    world.reached_at("moving", "https://moving.example.com").await?;
    world.has("moving", [true, true, true, false]).await?;
    assert_ne!(world.cloudflare.tunnel("webhooks-moving").unwrap().id, first.id);
    assert_eq!(world.cloudflare.records_of("moving.example.com").len(), 1);
    assert_eq!(world.cloudflare.tunnels().len(), 2, "and the stranger's");
    assert_eq!(world.cloudflare.records_of("other.example.com").len(), 1);
    world.engine.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_what_is_left_is_remembered_and_told() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.active("stuck").await?;
    let calls = world.cloudflare.calls().len();
    world.change(Local::new(GATEWAY), false).await?;
    world.reached_at("stuck", &format!("{GATEWAY}/stuck")).await?;
    world
        .left(
            "stuck",
            Some("and DNS record stuck.example.com of the exposure before are still at Cloudflare"),
        )
        .await?;
    world.has("stuck", [true, false, false, false]).await?;
    world.delete("stuck").await?;
    world.message("stuck", "give the controllers the API token").await?;
    assert_eq!(world.cloudflare.calls().len(), calls, "nobody asks without a token");

    // Somebody took them away by hand, and says so.
    world
        .engine
        .api::<Secret>("org-stuck")
        .delete("cloudflared-credentials-stuck", &DeleteParams::default())
        .await?;
    world.poke("stuck").await?;
    world.gone("stuck").await?;
    world.engine.finish().await
}
