//! The main job under load: signed pushes in, PipelineRuns out.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aphex_api::delivery::Delivery;
use aphex_api::repo_binding::RepoBinding;
use aphex_gateway::inbox::Keep;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::api::{DynamicObject, ListParams, PartialObjectMeta};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt as _};
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use crate::embedded::Up;
use crate::load::{Measured, client};
use crate::payload;

/// An organization, a binding, and a push to its repository.
pub const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
/// The namespace that the runs of the example are in.
pub const TENANT: &str = "hello-world";
/// How many pushes there are where nobody is asked to go slowly.
pub const PUSHES: usize = 2_000;
/// Hooks under way at once.
pub const SENDERS: usize = 32;
/// When no run has come for so long, none will.
const QUIET: Duration = Duration::from_secs(15);
/// When older Deliveries are still there after so long, nobody deletes them.
const SWEEP: Duration = Duration::from_mins(10);
/// Which delivery a run came of, as the answer to the hook named it.
const EVENT: &str = "platform.aphex/event-id";

/// Binds the example repository, sends it many pushes, and waits until each has its run.
pub async fn platform(up: &Up) -> anyhow::Result<Vec<Measured>> {
    let file = |name: &str| format!("{EXAMPLES}/{name}");
    up.run(&["apply", "-f", &file("organization.yaml"), "--wait", "60"])?;
    let bound = up.run(&["apply", "-f", &file("repo-binding.yaml"), "--wait", "60"])?;
    let mut measured = vec![("binding applied to Ready, CLI, ms".to_owned(), millis(bound), false)];
    let hook = Hook::of_binding(&up.kubeconfig).await?;
    let flow = hook.send(&Load::full(PUSHES)?).await?;
    anyhow::ensure!(flow.lost == 0, "{} pushes have no run", flow.lost);
    measured.push(("pushes to runs stored/s".to_owned(), flow.rate, true));
    measured.push(("answer to a push under that load, p50, ms".to_owned(), flow.answers.at(50), false));
    measured.push(("answer to a push under that load, p99, ms".to_owned(), flow.answers.at(99), false));
    Ok(measured)
}

/// What is sent, and how.
pub struct Load {
    pub payload: Arc<Vec<u8>>,
    pub pushes: usize,
    /// Pushes begun a second, whether or not earlier ones are answered; as fast as [`SENDERS`] can when there is none.
    pub rate: Option<f64>,
}

impl Load {
    /// So many of the example's pushes, as fast as they go.
    pub fn full(pushes: usize) -> anyhow::Result<Self> {
        Ok(Self { payload: payload::bytes(&payload::small()?)?, pushes, rate: None })
    }
}

/// Numbers, and when each was due: so many a second, whether or not earlier ones are done, or whenever one is asked for.
///
/// Each counts from the moment when it was due, so that one which had to wait for its turn is not told shorter.
pub fn turns(many: usize, rate: Option<f64>) -> impl Stream<Item = (usize, Instant)> {
    let began = Instant::now();
    futures::stream::iter(0..many).then(move |number| async move {
        let Some(rate) = rate else { return (number, Instant::now()) };
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let due = began + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        (number, due)
    })
}

/// How many may be under way at once.
pub fn at_once(many: usize, rate: Option<f64>) -> usize {
    if rate.is_some() { many } else { SENDERS }
}

/// Where pushes go, and where their runs appear.
pub struct Hook {
    pub url: String,
    secret: String,
    runs: Api<PartialObjectMeta<DynamicObject>>,
    deliveries: Api<Delivery>,
}

impl Hook {
    /// The webhook of the example's binding, which is Ready.
    pub async fn of_binding(kubeconfig: &Path) -> anyhow::Result<Self> {
        let client = client(kubeconfig).await?;
        let bindings: Api<RepoBinding> = Api::namespaced(client.clone(), "platform-system");
        let status = bindings.get(TENANT).await?.status.context("the binding has no status")?;
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
        Ok(Self {
            url: status.webhook_url.context("the binding has no webhook URL")?,
            secret: status.webhook_secret.context("the binding has no webhook secret")?,
            runs: Api::namespaced_with(client.clone(), TENANT, &kind),
            deliveries: Api::all(client),
        })
    }

    /// Sends pushes and waits until each has its run.
    pub async fn send(&self, load: &Load) -> anyhow::Result<Flow> {
        let pushes = load.pushes;
        // Those of earlier pushes are seen again.
        let before = self.runs.list(&ListParams::default()).await?.items.len();
        let first = self.revision().await?;
        let mut events =
            watcher::watcher(self.runs.clone(), watcher::Config::default()).default_backoff().boxed();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let stored = AbortOnDropHandle::new(tokio::spawn(async move {
            let (mut stored, mut ready) = (HashMap::new(), Some(ready));
            while stored.len() < before + pushes {
                let Ok(event) = tokio::time::timeout(QUIET, events.next()).await else { break };
                match event.context("the watch of runs ended")? {
                    Ok(Event::Apply(run) | Event::InitApply(run)) => {
                        let event = run.labels().get(EVENT).context("a run has no event")?;
                        stored.entry(event.clone()).or_insert_with(Instant::now);
                    }
                    Ok(Event::InitDone) => drop(ready.take().map(|ready| ready.send(()))),
                    Ok(_) => {}
                    Err(error) => eprintln!("the watch of runs begins anew: {error}"),
                }
            }
            anyhow::Ok(stored)
        }));
        // The watch begins with all runs that are there; nobody is to wait for that.
        is_ready.await.context("the watch of runs ended")?;
        let began = Instant::now();
        let sent = self.post_all(load).await?;
        let stored = stored.await??;
        let run = |one: &Sent| Some(*stored.get(&one.event)? - one.at);
        let last =
            sent.iter().filter_map(|one| stored.get(&one.event)).max().context("no push became a run")?;
        let runs: Vec<f64> = sent.iter().filter_map(run).map(millis).collect();
        // What is written after a run is stored, such as a verdict, belongs to the push as well.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let writes = self.revision().await?.saturating_sub(first);
        Ok(Flow {
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            writes: writes as f64 / pushes as f64,
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            rate: runs.len() as f64 / (*last - began).as_secs_f64(),
            lost: pushes - runs.len(),
            answers: Times::new(sent.iter().map(|one| millis(one.answered)).collect()),
            runs: Times::new(runs),
        })
    }

    /// Sends pushes of which no run comes, and waits until they are dealt with.
    pub async fn send_unwanted(&self, load: &Load) -> anyhow::Result<()> {
        self.post_all(load).await?;
        // Verdicts may be written after the answers.
        let mut before = self.revision().await?;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let after = self.revision().await?;
            if after == before {
                return Ok(());
            }
            before = after;
        }
    }

    /// Waits until no more Deliveries are left than are kept: the others are deleted, evenly, within the next minute or two.
    pub async fn swept(&self) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let list = self.deliveries.list_metadata(&ListParams::default().limit(1)).await?;
            let more = list.metadata.remaining_item_count.unwrap_or_default();
            if usize::try_from(more)? <= Keep::LAST {
                return Ok(());
            }
            anyhow::ensure!(since.elapsed() < SWEEP, "{more} Deliveries are still there after {SWEEP:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn post_all(&self, load: &Load) -> anyhow::Result<Vec<Sent>> {
        let signature = aphex_gateway::sign(self.secret.as_bytes(), &load.payload);
        let hooks = reqwest::Client::new();
        let sent = turns(load.pushes, load.rate).map(|(_, due)| self.post(&hooks, load, &signature, due));
        sent.buffer_unordered(at_once(load.pushes, load.rate)).try_collect().await
    }

    /// The store's revision, which every write moves by one.
    async fn revision(&self) -> anyhow::Result<u64> {
        let list = self.runs.list(&ListParams::default().limit(1)).await?;
        Ok(list.metadata.resource_version.context("a list has no resourceVersion")?.parse()?)
    }

    async fn post(
        &self,
        hooks: &reqwest::Client,
        load: &Load,
        signature: &str,
        at: Instant,
    ) -> anyhow::Result<Sent> {
        let post = hooks
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "push")
            .header("X-GitHub-Delivery", delivery())
            .header("X-Hub-Signature-256", signature)
            .body(load.payload.to_vec());
        let answer = post.send().await?;
        let (status, answered) = (answer.status(), at.elapsed());
        anyhow::ensure!(status.is_success(), "a push was answered {status}");
        let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let event = answer["eventID"].as_str().context("an answer has no eventID")?.to_owned();
        Ok(Sent { event, at, answered })
    }
}

/// A push that was answered.
struct Sent {
    event: String,
    at: Instant,
    answered: Duration,
}

/// What became of many pushes.
pub struct Flow {
    /// Runs stored a second, from the first push to the last run.
    pub rate: f64,
    /// Pushes that were answered well and never became a run.
    pub lost: usize,
    /// Writes to the store for each push, whoever made them.
    pub writes: f64,
    /// From a push to its answer, ms.
    pub answers: Times,
    /// From a push to its run's being seen by a watch, ms.
    pub runs: Times,
}

/// Times in order.
pub struct Times(Vec<f64>);

impl Times {
    pub fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// The time below which so many of a hundred are.
    pub fn at(&self, percent: usize) -> f64 {
        self.0.get(self.0.len() * percent / 100).copied().unwrap_or(f64::NAN)
    }
}

/// A delivery id as GitHub's, of version 4.
fn delivery() -> String {
    let digits = format!("{:032x}", rand::random::<u128>());
    format!("{}-{}-4{}-8{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..])
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
