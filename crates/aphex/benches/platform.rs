//! The platform as a user meets it: start, memory, writes, reads, lists, watches, a binding, a push.
//!
//! `cargo bench -p aphex --bench platform` prints one line a figure; `docs/performance.md` says what to compare with.

#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

/// Objects for the list; about 2.8 kB each on the wire with metadata, as in the comparison.
const LISTED: usize = 10_000;
const WATCHERS: usize = 100;
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

struct Up {
    child: Child,
    kubeconfig: PathBuf,
}

impl Up {
    fn start(data: &Path) -> anyhow::Result<(Self, Duration)> {
        let since = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_aphex"))
            .args(["up", "--api-port", "0", "--gateway-port", "0", "--data-dir"])
            .arg(data)
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(output).lines();
        anyhow::ensure!(
            lines.any(|line| line.is_ok_and(|line| line.contains("ready"))),
            "up did not become ready"
        );
        Ok((Self { child, kubeconfig: data.join("kubeconfig") }, since.elapsed()))
    }

    /// Resident memory, MiB.
    fn resident(&self) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages: u64 = text.split_whitespace().nth(1).context("no statm")?.parse()?;
        Ok(pages * 4096 / (1 << 20))
    }

    async fn client(&self) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        let since = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_aphex"));
        let status = command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdout(Stdio::null())
            .status()?;
        anyhow::ensure!(status.success(), "aphex {arguments:?} ended with {status}");
        Ok(since.elapsed())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Started by `cargo test --benches` too, where figures mean nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let (up, cold) = Up::start(folder.path())?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("cold start, first data folder        {:>8.0} ms", cold.as_secs_f64() * 1e3);
    println!("resident memory, idle                {:>8} MiB", up.resident()?);
    drop(up);
    let (up, warm) = Up::start(folder.path())?;
    println!("start on an existing data folder     {:>8.0} ms", warm.as_secs_f64() * 1e3);
    for clients in [1, 16, 64] {
        println!("durable creates, {clients:>2} clients, 1 kB    {:>8.0} /s", creates(&up, clients).await?);
    }
    println!("gets over TLS, 16 clients            {:>8.0} /s", gets(&up).await?);
    list(&up).await?;
    println!("watch events, {WATCHERS} watchers           {:>8.0} /s", watch(&up).await?);
    platform(&up)?;
    println!("resident memory, at the end          {:>8} MiB", up.resident()?);
    Ok(())
}

fn map(name: &str) -> anyhow::Result<ConfigMap> {
    Ok(serde_json::from_value(
        json!({ "metadata": { "name": name }, "data": { "text": "x".repeat(1_000) } }),
    )?)
}

async fn namespace(client: &Client, name: &str) -> anyhow::Result<Api<ConfigMap>> {
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(Api::namespaced(client.clone(), name))
}

async fn creates(up: &Up, clients: usize) -> anyhow::Result<f64> {
    let name = format!("creates-{clients}");
    namespace(&up.client().await?, &name).await?;
    let each = 2_000 / clients;
    let since = Instant::now();
    let mut work = Vec::new();
    for writer in 0..clients {
        // A connection of its own, as separate clients have.
        let api: Api<ConfigMap> = Api::namespaced(up.client().await?, &name);
        work.push(tokio::spawn(async move {
            for number in 0..each {
                api.create(&PostParams::default(), &map(&format!("m{writer}-{number}"))?).await?;
            }
            anyhow::Ok(())
        }));
    }
    for one in work {
        one.await??;
    }
    Ok(rate(each * clients, since))
}

async fn gets(up: &Up) -> anyhow::Result<f64> {
    let since = Instant::now();
    let mut work = Vec::new();
    for _ in 0..16 {
        let api: Api<ConfigMap> = Api::namespaced(up.client().await?, "creates-1");
        work.push(tokio::spawn(async move {
            for number in 0..1_000 {
                api.get(&format!("m0-{number}")).await?;
            }
            anyhow::Ok(())
        }));
    }
    for one in work {
        one.await??;
    }
    Ok(rate(16_000, since))
}

async fn list(up: &Up) -> anyhow::Result<()> {
    let client = up.client().await?;
    let api = namespace(&client, "listed").await?;
    let make = futures::stream::iter(0..LISTED).for_each_concurrent(64, |number| {
        let api = &api;
        async move {
            if let Ok(object) = map(&format!("m{number}")) {
                let _ = api.create(&PostParams::default(), &object).await;
            }
        }
    });
    make.await;
    let request = http::Request::get("/api/v1/namespaces/listed/configmaps").body(Vec::new())?;
    let since = Instant::now();
    let text = client.request_text(request).await?;
    let took = since.elapsed();
    println!("list of {LISTED}, {:.1} MB              {:>8.0} ms", bytes(&text), took.as_secs_f64() * 1e3);
    let page = api.list(&ListParams::default().limit(500)).await?;
    anyhow::ensure!(page.items.len() == 500, "a page of 500 has {}", page.items.len());
    Ok(())
}

async fn watch(up: &Up) -> anyhow::Result<f64> {
    const EVENTS: usize = 200;
    let client = up.client().await?;
    let api = namespace(&client, "watched").await?;
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let mut events = api.watch(&WatchParams::default(), "0").await?.boxed();
        watchers.push(tokio::spawn(async move {
            let mut seen = 0;
            while seen < EVENTS {
                match events.next().await {
                    Some(Ok(WatchEvent::Added(_))) => seen += 1,
                    Some(Ok(_)) => {}
                    other => anyhow::bail!("a watch ended early: {:?}", other.map(Result::err)),
                }
            }
            Ok(())
        }));
    }
    let since = Instant::now();
    for number in 0..EVENTS {
        api.create(&PostParams::default(), &map(&format!("w{number}"))?).await?;
    }
    for watcher in watchers {
        watcher.await??;
    }
    Ok(rate(EVENTS * WATCHERS, since))
}

fn platform(up: &Up) -> anyhow::Result<()> {
    let file = |name: &str| format!("{EXAMPLES}/{name}");
    up.run(&["apply", "-f", &file("organization.yaml"), "--wait", "60"])?;
    let bound = up.run(&["apply", "-f", &file("repo-binding.yaml"), "--wait", "60"])?;
    println!("binding applied to Ready, CLI        {:>8.0} ms", bound.as_secs_f64() * 1e3);
    let mut pushes = Vec::new();
    for number in 0..10 {
        let id = format!("bench-{number}");
        pushes.push(up.run(&[
            "push",
            "hello-world",
            "--payload",
            &file("github-push.json"),
            "--delivery",
            &id,
        ])?);
    }
    pushes.sort();
    println!("push to PipelineRun, CLI, median     {:>8.0} ms", pushes[pushes.len() / 2].as_secs_f64() * 1e3);
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(count: usize, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn bytes(text: &str) -> f64 {
    text.len() as f64 / 1e6
}
