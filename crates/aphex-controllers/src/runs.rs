//! Runs of bindings, after the gateway made them: released from the queue, cancelled when superseded, deleted when old.
//!
//! ```text
//! watch PipelineRuns ─┐
//! watch RepoBindings ─┼─► Index (by tenant namespace) ─► plan (pure) ─► act
//! watch volumes ──────┘                                      └─► tell the Delivery
//! ```
//!
//! One watch of each kind serves all bindings, and a pass lists nothing. Only runs that a trigger of the platform made in
//! the tenant namespace of a binding are touched, and the volumes that were made for them. Nothing is done before the
//! runs and bindings are all known, for a run not known of might be the one that fills the queue.

mod act;
mod index;
mod later;
mod plan;
mod tell;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::labels;
use aphex_api::repo_binding::RepoBinding;
use aphex_runtime::watches::Pauses;
use aphex_runtime::{Shutdown, errors};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::context::Context;
use act::Answer;
use index::{Arrival, Index};
use later::{Decided, Later};

/// The controller's name in logs and metrics.
const NAME: &str = "runs";
/// Tenants worked on at once.
const CONCURRENCY: usize = 8;
/// After planning, rest so many times as long, so that a tenant with many runs and many pushes leaves the machine to them.
const REST: u32 = 4;
/// But no longer than this.
const LONGEST_REST: Duration = Duration::from_millis(250);
/// When a tenant is looked at again after the engine refused something: after so many of the shortest pauses that follow a
/// failure.
const AGAIN: u32 = 5;
/// A process that ended may have left unsaid what it decided about runs that are younger.
const YOUNG: Duration = Duration::from_mins(5);

/// What the watches know, and who waits for it.
#[derive(Default)]
struct Shared {
    index: Mutex<Index>,
    changed: Notify,
    later: Later,
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the controller until shutdown.
pub async fn run(context: Arc<Context>, shutdown: &Shutdown) {
    let shared = Shared::default();
    let token = shutdown.token();
    tracing::info!(controller = NAME, "controller started");
    let (client, platform) = (&context.client, &context.settings.platform_namespace);
    let (runs, all) = (watcher::Config::default(), watcher::Config::default());
    let runs = runs.labels(&format!("{}=true", labels::TRIGGERED));
    let work = async {
        tokio::join!(
            feed::<PipelineRun>(Api::all(client.clone()), runs, &shared),
            feed::<RepoBinding>(Api::namespaced(client.clone(), platform), all.clone(), &shared),
            feed::<PartialObjectMeta<PersistentVolumeClaim>>(Api::all(client.clone()), all, &shared),
            work(&context, &shared),
            later::catch_up(&context, &shared)
        );
    };
    token.run_until_cancelled(work).await;
    tracing::info!(controller = NAME, "controller stopped");
}

/// A kind that the index is fed with.
trait Fed: Clone + Debug + DeserializeOwned + Send + 'static {
    /// A list begins.
    fn begin(index: &mut Index);
    /// An object is there.
    fn put(&self, index: &mut Index, arrival: Arrival);
    /// The list has ended.
    fn end(index: &mut Index);
    /// An object is gone.
    fn remove(&self, index: &mut Index);
}

impl Fed for PipelineRun {
    fn begin(index: &mut Index) {
        index.begin_runs();
    }

    fn put(&self, index: &mut Index, arrival: Arrival) {
        index.put_run(self, arrival);
    }

    fn end(index: &mut Index) {
        index.end_runs();
    }

    fn remove(&self, index: &mut Index) {
        index.remove_run(&self.namespace().unwrap_or_default(), &self.name_any());
    }
}

impl Fed for RepoBinding {
    fn begin(index: &mut Index) {
        index.begin_bindings();
    }

    fn put(&self, index: &mut Index, _: Arrival) {
        index.put_binding(self);
    }

    fn end(index: &mut Index) {
        index.end_bindings();
    }

    fn remove(&self, index: &mut Index) {
        index.remove_binding(&self.name_any());
    }
}

impl Fed for PartialObjectMeta<PersistentVolumeClaim> {
    fn begin(index: &mut Index) {
        index.begin_volumes();
    }

    fn put(&self, index: &mut Index, arrival: Arrival) {
        index.put_volume(self, arrival);
    }

    fn end(index: &mut Index) {
        index.end_volumes();
    }

    fn remove(&self, index: &mut Index) {
        index.remove_volume(&self.namespace().unwrap_or_default(), &self.name_any());
    }
}

/// Feeds the index from a watch, which is begun again whenever it breaks.
async fn feed<K: Fed + Resource>(api: Api<K>, config: watcher::Config, shared: &Shared) {
    let mut events = watcher(api, config).backoff(Pauses::default()).boxed();
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(controller = NAME, error = errors::chain(&error), "watch interrupted");
                continue;
            }
        };
        let mut index = shared.index();
        match event {
            watcher::Event::Init => K::begin(&mut index),
            watcher::Event::InitApply(object) => object.put(&mut index, Arrival::Listed),
            watcher::Event::InitDone => K::end(&mut index),
            watcher::Event::Apply(object) => object.put(&mut index, Arrival::Watched),
            watcher::Event::Delete(object) => object.remove(&mut index),
        }
        drop(index);
        shared.changed.notify_one();
    }
}

/// Works on the tenants of which something changed.
async fn work(context: &Context, shared: &Shared) {
    let mut again = BTreeSet::new();
    let mut due: Option<Instant> = None;
    loop {
        let changed = shared.changed.notified();
        match due {
            None => changed.await,
            // Those that failed are tried again in a while; the others need not wait for them.
            Some(due) => {
                let _ = tokio::time::timeout_at(due, changed).await;
            }
        }
        let young = context.clock.now().saturating_sub(YOUNG).unwrap_or(Timestamp::MIN);
        let decided = shared.index().take_decided(young);
        for decided in decided {
            shared.later.push(decided);
        }
        let mut dirty = shared.index().take_changed();
        if due.is_some_and(|due| due <= Instant::now()) {
            dirty.append(&mut again);
            due = None;
        }
        let planning = Mutex::new(Duration::ZERO);
        let planning = &planning;
        let failed: Vec<String> = futures::stream::iter(dirty)
            .map(|tenant| async move { (!pass(context, shared, &tenant, planning).await).then_some(tenant) })
            .buffer_unordered(CONCURRENCY)
            .filter_map(|failed| async move { failed })
            .collect()
            .await;
        if !failed.is_empty() {
            again.extend(failed);
            due.get_or_insert_with(|| Instant::now() + context.pace.backoff_min * AGAIN);
        }
        // What changes meanwhile is looked at in one pass.
        let planned = *planning.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep(planned.saturating_mul(REST).min(LONGEST_REST)).await;
    }
}

/// One pass over a tenant's runs; false when it has to be repeated. Adds the time that the planning took.
async fn pass(context: &Context, shared: &Shared, tenant: &str, planning: &Mutex<Duration>) -> bool {
    let began = std::time::Instant::now();
    let plan = shared.index().plan(tenant, &context.metrics);
    *planning.lock().unwrap_or_else(PoisonError::into_inner) += began.elapsed();
    let Some(plan) = plan else { return true };
    if plan.actions.is_empty() {
        return true;
    }
    let (mut sound, mut overtaken) = (true, false);
    for action in &plan.actions {
        if let Some(concurrency) = action.concurrency() {
            // First, so that who dies in between says it again.
            let decided = Decided { namespace: tenant.to_owned(), run: action.run().clone(), concurrency };
            later::say(context, shared, decided).await;
        }
        match act::act(&context.client, tenant, action).await {
            // Usually the watch tells by what. Where the engine refused for another reason, it tells nothing.
            Ok(Answer::Overtaken) => overtaken = true,
            Ok(Answer::Done) => {
                shared.index().asked(tenant, action);
                context.metrics.count_run(action.as_str());
                tracing::info!(
                    controller = NAME,
                    binding.name = plan.binding,
                    run.namespace = tenant,
                    run.name = action.run().name,
                    "run {}",
                    action.as_str()
                );
            }
            Err(error) => {
                sound = false;
                tracing::warn!(
                    controller = NAME,
                    binding.name = plan.binding,
                    run.namespace = tenant,
                    run.name = action.run().name,
                    error = errors::chain(&error),
                    "run not {}",
                    action.as_str()
                );
            }
        }
    }
    if plan.more {
        shared.index().touch(tenant);
        shared.changed.notify_one();
    }
    context.metrics.observe_round(NAME, sound, began.elapsed());
    sound && !overtaken
}
