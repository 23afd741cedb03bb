//! Secrets are where they have to be and nowhere else.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Every object of every kind that could tell, as text; the Secrets that hold the tunnel's credentials aside.
async fn everything(engine: &Engine) -> anyhow::Result<String> {
    let mut text = String::new();
    for (group, version, kind) in [
        ("", "v1", "Secret"),
        ("", "v1", "ConfigMap"),
        ("", "v1", "Event"),
        ("events.k8s.io", "v1", "Event"),
        ("apps", "v1", "Deployment"),
        ("aphex.io", "v1alpha1", "Organization"),
    ] {
        for object in engine.dynamic(group, version, kind, None).list(&ListParams::default()).await?.items {
            let holder =
                object.metadata.name.as_deref().is_some_and(|n| n.starts_with("cloudflared-credentials-"));
            if kind != "Secret" || !holder {
                text += &serde_json::to_string(&object)?;
            }
        }
    }
    Ok(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_token_nor_a_tunnels_secret_is_seen_in_logs_events_status_or_other_objects()
-> anyhow::Result<()> {
    let log = Log::default();
    // Whoever touches a secret says everything; engines of other tests, in the same process, say nothing.
    let loud = ["aphex_controllers", "reqwest", "hyper", "hyper_util", "h2"].map(|of| (of, Level::TRACE));
    let filter = Targets::new().with_targets(loud).with_target("kube", Level::DEBUG);
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(log.clone());
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    tracing::subscriber::set_global_default(subscriber)?;
    let world = World::start().await?;
    // Forbidden until it was seen: a message about one refused call may be gone before anybody looks.
    world.cloudflare.forbid(Scope::TunnelEdit);
    world.engine.organization("quiet").await?;
    world.message("quiet", "refused to create the tunnel").await?;
    for fault in [Fault::CutAfter, Fault::Page { status: 502 }] {
        world.cloudflare.inject(&Method::POST, "/cfd_tunnel", 1, fault);
    }
    world.cloudflare.allow_all();
    world.connectors_run("quiet").await?;
    world.engine.organization_phase("quiet", "Active").await?;
    let unreadable = Fault::Answer { status: 200, code: 1, message: "odd".to_owned() };
    world.cloudflare.inject(&Method::GET, "/token", 1, unreadable);
    world.delete("quiet").await?;
    world.gone("quiet").await?;
    world.active("quiet-too").await?;

    let secret = world.cloudflare.tunnel("webhooks-quiet-too").unwrap().secret;
    let said = String::from_utf8_lossy(&log.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    let shown = everything(&world.engine).await?;
    assert!(said.contains("tunnel created") && said.contains("Cloudflare answered"), "logs were looked at");
    assert!(shown.contains("quiet-too"), "objects were looked at");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &secret);
    for hidden in [world.cloudflare.token(), secret, encoded] {
        assert!(!shown.contains(&hidden), "{hidden} is in an object");
        let line = said.lines().find(|line| line.contains(&hidden));
        assert_eq!(line, None, "a line of the log holds {hidden}");
    }
    world.engine.finish().await
}
