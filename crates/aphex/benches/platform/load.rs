//! The load that clients put on an API server, the same for every engine.

use std::path::Path;
use std::time::Instant;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

/// Objects for the list; about 2.8 kB each on the wire with metadata.
const LISTED: usize = 10_000;
const WATCHERS: usize = 100;
const WATCHED: usize = 200;

/// A figure: what, how much, and whether more is better.
pub type Measured = (String, f64, bool);

/// A client with a connection of its own, as separate programs have.
pub async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Creates, gets, lists and watches ConfigMaps.
pub async fn api(kubeconfig: &Path) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for clients in [1, 16, 64] {
        let name = format!("durable creates/s, {clients} clients");
        measured.push((name, creates(kubeconfig, clients).await?, true));
    }
    measured.push(("gets/s over TLS, 16 clients".to_owned(), gets(kubeconfig).await?, true));
    measured.push((format!("list of {LISTED}, ms"), list(kubeconfig).await?, false));
    measured.push((format!("watch events/s, {WATCHERS} watchers"), watch(kubeconfig).await?, true));
    Ok(measured)
}

fn map(name: &str) -> anyhow::Result<ConfigMap> {
    let map = json!({ "metadata": { "name": name }, "data": { "text": "x".repeat(1_000) } });
    Ok(serde_json::from_value(map)?)
}

async fn namespace(client: &Client, name: &str) -> anyhow::Result<Api<ConfigMap>> {
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(Api::namespaced(client.clone(), name))
}

async fn creates(kubeconfig: &Path, clients: usize) -> anyhow::Result<f64> {
    let name = format!("creates-{clients}");
    namespace(&client(kubeconfig).await?, &name).await?;
    let each = 2_000 / clients;
    let mut apis: Vec<Api<ConfigMap>> = Vec::new();
    for _ in 0..clients {
        let api = Api::namespaced(client(kubeconfig).await?, &name);
        // The connection is made before the clock runs.
        api.get_opt("none").await?;
        apis.push(api);
    }
    let since = Instant::now();
    let work = apis.into_iter().enumerate().map(|(writer, api)| {
        tokio::spawn(async move {
            for number in 0..each {
                api.create(&PostParams::default(), &map(&format!("m{writer}-{number}"))?).await?;
            }
            anyhow::Ok(())
        })
    });
    for one in futures::future::join_all(work).await {
        one??;
    }
    Ok(rate(each * clients, since))
}

async fn gets(kubeconfig: &Path) -> anyhow::Result<f64> {
    let mut apis: Vec<Api<ConfigMap>> = Vec::new();
    for _ in 0..16 {
        let api = Api::namespaced(client(kubeconfig).await?, "creates-1");
        api.get_opt("none").await?;
        apis.push(api);
    }
    let since = Instant::now();
    let work = apis.into_iter().map(|api| {
        tokio::spawn(async move {
            for number in 0..1_000 {
                api.get(&format!("m0-{number}")).await?;
            }
            anyhow::Ok(())
        })
    });
    for one in futures::future::join_all(work).await {
        one??;
    }
    Ok(rate(16_000, since))
}

async fn list(kubeconfig: &Path) -> anyhow::Result<f64> {
    let client = client(kubeconfig).await?;
    let api = namespace(&client, "listed").await?;
    let mut made = futures::stream::iter(0..LISTED)
        .map(|number| {
            let api = &api;
            async move { anyhow::Ok(api.create(&PostParams::default(), &map(&format!("m{number}"))?).await?) }
        })
        .buffer_unordered(64);
    while let Some(one) = made.next().await {
        one?;
    }
    let request = || http::Request::get("/api/v1/namespaces/listed/configmaps").body(Vec::new());
    let mut times = Vec::new();
    for _ in 0..3 {
        let since = Instant::now();
        let text = client.request_text(request()?).await?;
        times.push(since.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(text.len() > LISTED * 1_000, "the list is too short: {} bytes", text.len());
    }
    times.sort_by(f64::total_cmp);
    let page = api.list(&ListParams::default().limit(500)).await?;
    anyhow::ensure!(page.items.len() == 500, "a page of 500 has {}", page.items.len());
    Ok(times[1])
}

async fn watch(kubeconfig: &Path) -> anyhow::Result<f64> {
    let client = client(kubeconfig).await?;
    let api = namespace(&client, "watched").await?;
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let mut events = api.watch(&WatchParams::default(), "0").await?.boxed();
        watchers.push(tokio::spawn(async move {
            let mut seen = 0;
            while seen < WATCHED {
                match events.next().await {
                    // The namespace's own ConfigMap may be among them.
                    Some(Ok(WatchEvent::Added(map))) => {
                        seen += usize::from(map.data.is_some_and(|d| d.contains_key("text")));
                    }
                    Some(Ok(_)) => {}
                    other => anyhow::bail!("a watch ended early: {:?}", other.map(Result::err)),
                }
            }
            Ok(())
        }));
    }
    let since = Instant::now();
    for number in 0..WATCHED {
        api.create(&PostParams::default(), &map(&format!("w{number}"))?).await?;
    }
    for watcher in watchers {
        watcher.await??;
    }
    Ok(rate(WATCHED * WATCHERS, since))
}

/// How many a second since then.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn rate(count: usize, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}
