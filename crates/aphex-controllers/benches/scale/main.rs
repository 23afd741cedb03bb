//! The controllers with ever more bindings: how long one takes, how many a second, what they ask for at rest, memory.
//!
//! `cargo bench -p aphex-controllers --bench scale` prints figures for 1, 100 and 1,000 bindings on the embedded engine,
//! and on kube-apiserver where it is built (`cargo xtask engines`; `APHEX_ENGINES` names the folder). `APHEX_SCALE` names
//! other numbers, such as `1,1000,10000`; `-- kube-apiserver` or `-- embedded` asks for one of the two.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the figures are the output")]

mod bare;
mod engine;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aphex_api::organization::{Organization, OrganizationPhase};
use aphex_api::repo_binding::{RepoBinding, RepoBindingPhase};
use aphex_controllers::context::{Context, Pace};
use aphex_controllers::{Settings, tunnels};
use aphex_runtime::{Clock, Metrics, Shutdown};
use aphex_testkit::real::{Disk, Programs, Real};
use aphex_testkit::{Requests, eventually_for};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use mimalloc::MiMalloc;
use serde_json::json;
use tokio::task::JoinHandle;

/// The program's own: with another one ten thousand bindings cost half as much again (`docs/adr/0059-the-allocator.md`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PLATFORM: &str = "platform-system";
/// Bindings of one organization.
const OF_ONE: usize = 25;
/// Users that bind at the same time.
const USERS: usize = 16;
/// Bindings that are made one after the other while all the others are there.
const PROBES: usize = 20;
/// What is taken for silence.
const SILENCE: Duration = Duration::from_secs(1);
/// How often the controllers are asked how far they are.
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_mins(40);
const GATEWAY: &str = "http://127.0.0.1:8080";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Started by `cargo test --benches` too, where figures mean nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let sizes = std::env::var("APHEX_SCALE").unwrap_or_else(|_| "1,100,1000".to_owned());
    let sizes = sizes.split(',').map(|size| size.trim().parse().context("APHEX_SCALE"));
    let sizes: Vec<usize> = sizes.collect::<Result<_, _>>()?;
    println!(
        "engine           bindings  one: p50 ms  p99 ms  processor  all: ms each  at rest: reads/min  writes  start: s  requests  MiB"
    );
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (engine, real) in [("embedded", false), ("kube-apiserver", true)] {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == engine) {
            continue;
        }
        let mut first = None;
        for size in &sizes {
            let Some((client, _engine)) = start(real).await? else { break };
            let probe = measure(engine, client, *size).await?;
            let first = *first.get_or_insert(probe);
            println!("{:>26}  {:.2} times as long as with {}", "", probe / first, sizes[0]);
        }
    }
    Ok(())
}

/// An engine with all definitions, and what keeps it alive; nothing when the real one is not built.
async fn start(real: bool) -> anyhow::Result<Option<(Client, Box<dyn std::any::Any>)>> {
    let started: (Client, Box<dyn std::any::Any>) = if real {
        let programs = match Programs::find()? {
            Ok(programs) => programs,
            Err(missing) => {
                eprintln!("not on kube-apiserver: {missing} is not in $APHEX_ENGINES");
                return Ok(None);
            }
        };
        let real = Real::start(&programs, Disk::Quick).await?;
        let config = kube::config::Kubeconfig::read_from(real.kubeconfig())?;
        let options = kube::config::KubeConfigOptions::default();
        (Client::try_from(kube::Config::from_custom_kubeconfig(config, &options).await?)?, Box::new(real))
    } else {
        let cluster = aphex_testkit::Cluster::on_disk().await?;
        (cluster.client(), Box::new(cluster))
    };
    engine::install(&started.0).await?;
    Ok(Some(started))
}

/// The controllers, with everything they ask for counted.
struct Controllers {
    asked: Requests,
    metrics: Metrics,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Controllers {
    fn start(client: &Client) -> anyhow::Result<Self> {
        let (asked, shutdown) = (Requests::numbers(), Shutdown::new());
        let (metrics, tunnels) = (Metrics::default(), Arc::new(tunnels::Local::new(GATEWAY)));
        let context =
            Context::new(asked.client(client), Settings::new(GATEWAY)?, Clock::system(), tunnels, &metrics);
        // The slow look again, which only reads, would fall into the time of making thousands.
        let context =
            Arc::new(context.with_pace(Pace { resync: Duration::from_hours(24), ..Pace::default() }));
        let until = shutdown.clone();
        let task = tokio::spawn(async move { aphex_controllers::run_with(context, &until).await });
        Ok(Self { asked, metrics, shutdown, task })
    }

    /// How many passes a controller has done.
    fn passes(&self, controller: &str) -> usize {
        let of = format!("aphex_controller_outcomes_total{{controller=\"{controller}\"");
        let text = self.metrics.render();
        let counts = text.lines().filter(|line| line.starts_with(&of));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
    }

    /// Waits until every organization and binding was looked at.
    async fn observed(&self, organizations: usize, bindings: usize) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, async {
            while self.passes("organization") < organizations || self.passes("repobinding") < bindings {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await
        .context("not everything was looked at")
    }

    /// How much was asked for, and how much of it could have changed something.
    fn counts(&self) -> (usize, usize) {
        let writes = self.asked.writes();
        (self.asked.reads() + writes, writes)
    }

    /// Waits until nothing was asked for a while; tells when the last thing was.
    async fn silence(&self) -> anyhow::Result<Instant> {
        let last = std::sync::Mutex::new((self.counts(), Instant::now()));
        eventually_for(PATIENCE, "the controllers come to rest", || async {
            let mut last = last.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
            let now = self.counts();
            if last.0 != now {
                *last = (now, Instant::now());
            }
            Ok((last.1.elapsed() > SILENCE).then_some(last.1))
        })
        .await
    }

    async fn stop(self) {
        self.shutdown.trigger();
        let _ = self.task.await;
    }
}

/// Measures and prints one line; gives the time of one binding, in ms.
async fn measure(engine: &str, client: Client, size: usize) -> anyhow::Result<f64> {
    let controllers = Controllers::start(&client)?;
    controllers.silence().await?;
    let before = resident()?;
    organizations(&client, size.div_ceil(OF_ONE)).await?;
    controllers.silence().await?;
    let since = Instant::now();
    let names: Vec<String> = (0..size).map(|n| format!("app{n:06}")).collect();
    bind(&client, &names).await?;
    let each = millis(since.elapsed()) / f64::from(u32::try_from(size)?);
    controllers.silence().await?;
    let (mut probes, mut worked) = (Vec::new(), 0.0);
    for probe in 0..PROBES {
        let (since, before) = (Instant::now(), processor()?);
        bind(&client, &[format!("probe{probe:04}")]).await?;
        probes.push(millis(since.elapsed()));
        worked += processor()? - before;
        controllers.silence().await?;
    }
    let worked = worked / f64::from(u32::try_from(PROBES)?);
    probes.sort_by(f64::total_cmp);
    let (reads, writes) = at_rest(&controllers).await;
    let memory = resident()? - before;
    controllers.stop().await;

    let since = Instant::now();
    let controllers = Controllers::start(&client)?;
    controllers.observed(size.div_ceil(OF_ONE), size + PROBES).await?;
    let start = since.elapsed();
    controllers.silence().await?;
    let (calls, changed) = controllers.counts();
    ensure!(changed == 0, "a start with everything in place wrote {changed} times");
    let p50 = probes[probes.len() / 2];
    println!(
        "{engine:<16} {size:>8}  {p50:>11.1}  {:>6.1}  {worked:>9.1}  {each:>12.1}  {reads:>18}  {writes:>6}  {:>8.2}  {calls:>8}  {memory:>4.0}",
        probes[probes.len() - 1],
        start.as_secs_f64(),
    );
    if size == 1 {
        let bare = bare::writes(&client, "probe0000").await?;
        println!(
            "{:>26}  {bare:.1} ms for bare writes of the same objects, {:.2} times that",
            "",
            p50 / bare
        );
    }
    controllers.stop().await;
    Ok(p50)
}

/// Requests in a minute in which nothing happens.
async fn at_rest(controllers: &Controllers) -> (usize, usize) {
    let (calls, writes) = controllers.counts();
    tokio::time::sleep(Duration::from_mins(1)).await;
    let (later, later_writes) = controllers.counts();
    (later - calls - (later_writes - writes), later_writes - writes)
}

async fn organizations(client: &Client, count: usize) -> anyhow::Result<()> {
    let api: Api<Organization> = Api::namespaced(client.clone(), PLATFORM);
    for n in 0..count {
        let object = json!({
            "apiVersion": "aphex.io/v1alpha1",
            "kind": "Organization",
            "metadata": { "name": format!("org{n:05}") },
            "spec": { "displayName": "Some", "adminUsers": ["ann@acme.com"] },
        });
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    }
    for n in 0..count {
        let name = format!("org{n:05}");
        eventually_for(PATIENCE, "an organization is active", || async {
            let status = api.get(&name).await?.status;
            Ok(status.is_some_and(|status| status.phase == OrganizationPhase::Active).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Creates bindings, many at once, and waits until a watch has seen each Ready.
async fn bind(client: &Client, names: &[String]) -> anyhow::Result<()> {
    let api: Api<RepoBinding> = Api::namespaced(client.clone(), PLATFORM);
    let mut waiting: HashSet<String> = names.iter().cloned().collect();
    let config = match names {
        // A watch of all begins with all of them, which is not what is measured.
        [one] => watcher::Config::default().fields(&format!("metadata.name={one}")),
        _ => watcher::Config::default(),
    };
    let seen = watcher(api.clone(), config).default_backoff().applied_objects();
    let ready = async {
        let mut seen = Box::pin(seen);
        while let Some(binding) = seen.try_next().await? {
            let phase = binding.status.as_ref().map(|status| status.phase);
            ensure!(
                phase != Some(RepoBindingPhase::Failed),
                "{} failed: {:?}",
                binding.name_any(),
                binding.status
            );
            if phase == Some(RepoBindingPhase::Ready) {
                waiting.remove(&binding.name_any());
            }
            if waiting.is_empty() {
                return Ok(());
            }
        }
        anyhow::bail!("the watch ended")
    };
    let api = Arc::new(api);
    let created = stream::iter(names.iter().enumerate()).map(|(n, name)| {
        let api = Arc::clone(&api);
        async move {
            let object: RepoBinding =
                serde_json::from_value(engine::binding(name, &format!("org{:05}", n / OF_ONE)))?;
            api.create(&PostParams::default(), &object).await?;
            anyhow::Ok(())
        }
    });
    let created = created.buffer_unordered(USERS).try_collect::<Vec<()>>();
    tokio::time::timeout(PATIENCE, async { tokio::try_join!(created, ready) })
        .await
        .context("not all are ready")??;
    Ok(())
}

/// Milliseconds of the processor that this process has taken, the embedded engine's among them; told in hundredths of a
/// second, whatever the kernel's own tick (`USER_HZ`), so only sums of many are exact.
fn processor() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? * 10.0)
}

/// Resident memory of this process in MiB; the embedded engine is in it, kube-apiserver is not.
fn resident() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1024.0)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
