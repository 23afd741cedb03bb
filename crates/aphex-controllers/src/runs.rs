//! Runs of bindings, after the gateway made them: released from the queue, cancelled when superseded, deleted when old.
//!
//! ```text
//! watch PipelineRuns ─┐
//! watch RepoBindings ─┼─► Index (by tenant namespace) ─► plan (pure) ─► act
//! watch volumes ──────┘
//! ```
//!
//! One watch of each kind serves all bindings, and a pass lists nothing. Only runs that a trigger of the platform made in
//! the tenant namespace of a binding are touched, and the volumes that were made for them. Nothing is done before the
//! runs and bindings are all known, for a run not known of might be the one that fills the queue.

mod act;
mod index;
mod plan;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aphex_api::foreign::tekton::PipelineRun;
use aphex_api::labels;
use aphex_api::repo_binding::RepoBinding;
use aphex_runtime::{Shutdown, errors};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::context::Context;
use act::Answer;
use index::Index;

/// The controller's name in logs and metrics.
const NAME: &str = "runs";
/// Tenants worked on at once.
const CONCURRENCY: usize = 8;
/// When a tenant is looked at again after the engine refused something.
const AGAIN: Duration = Duration::from_secs(5);

/// What the watches know, and who waits for it.
#[derive(Default)]
struct Shared {
    index: Mutex<Index>,
    changed: Notify,
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
    let work = async {
        tokio::join!(
            watch_runs(&context, &shared),
            watch_bindings(&context, &shared),
            watch_volumes(&context, &shared),
            work(&context, &shared)
        );
    };
    token.run_until_cancelled(work).await;
    tracing::info!(controller = NAME, "controller stopped");
}

async fn watch_runs(context: &Context, shared: &Shared) {
    let api: Api<PipelineRun> = Api::all(context.client.clone());
    let config = watcher::Config::default().labels(&format!("{}=true", labels::TRIGGERED));
    let take = |event| {
        let mut index = shared.index();
        match event {
            watcher::Event::Init => index.begin_runs(),
            watcher::Event::InitApply(run) => index.put_run(&run, index::Arrival::Listed),
            watcher::Event::InitDone => index.end_runs(),
            watcher::Event::Apply(run) => index.put_run(&run, index::Arrival::Watched),
            watcher::Event::Delete(run) => {
                index.remove_run(&run.namespace().unwrap_or_default(), &run.name_any());
            }
        }
    };
    follow(watcher(api, config), shared, take).await;
}

async fn watch_bindings(context: &Context, shared: &Shared) {
    let api: Api<RepoBinding> = Api::namespaced(context.client.clone(), &context.settings.platform_namespace);
    let take = |event| {
        let mut index = shared.index();
        match event {
            watcher::Event::Init => index.begin_bindings(),
            watcher::Event::InitApply(binding) | watcher::Event::Apply(binding) => {
                index.put_binding(&binding);
            }
            watcher::Event::InitDone => index.end_bindings(),
            watcher::Event::Delete(binding) => index.remove_binding(&binding.name_any()),
        }
    };
    follow(watcher(api, watcher::Config::default()), shared, take).await;
}

async fn watch_volumes(context: &Context, shared: &Shared) {
    let api: Api<PartialObjectMeta<PersistentVolumeClaim>> = Api::all(context.client.clone());
    let take = |event| {
        let mut index = shared.index();
        match event {
            watcher::Event::Init => index.begin_volumes(),
            watcher::Event::InitApply(volume) => index.put_volume(&volume, index::Arrival::Listed),
            watcher::Event::InitDone => index.end_volumes(),
            watcher::Event::Apply(volume) => index.put_volume(&volume, index::Arrival::Watched),
            watcher::Event::Delete(volume) => {
                index.remove_volume(&volume.namespace().unwrap_or_default(), &volume.name_any());
            }
        }
    };
    follow(watcher(api, watcher::Config::default()), shared, take).await;
}

/// Feeds the index from a watch, which is begun again whenever it breaks.
async fn follow<K>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    shared: &Shared,
    take: impl Fn(watcher::Event<K>),
) {
    let mut events = events.default_backoff().boxed();
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                take(event);
                shared.changed.notify_one();
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(controller = NAME, error = errors::chain(&error), "watch interrupted");
            }
        }
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
        let mut dirty = shared.index().take_changed();
        if due.is_some_and(|due| due <= Instant::now()) {
            dirty.append(&mut again);
            due = None;
        }
        let failed: Vec<String> = futures::stream::iter(dirty)
            .map(|tenant| async move { (!pass(context, shared, &tenant).await).then_some(tenant) })
            .buffer_unordered(CONCURRENCY)
            .filter_map(|failed| async move { failed })
            .collect()
            .await;
        if !failed.is_empty() {
            again.extend(failed);
            due.get_or_insert_with(|| Instant::now() + AGAIN);
        }
    }
}

/// One pass over a tenant's runs; false when it has to be repeated.
async fn pass(context: &Context, shared: &Shared, tenant: &str) -> bool {
    let began = std::time::Instant::now();
    let Some(plan) = shared.index().plan(tenant, &context.metrics) else { return true };
    if plan.actions.is_empty() {
        return true;
    }
    let mut sound = true;
    for action in &plan.actions {
        match act::act(&context.client, tenant, action).await {
            Ok(Answer::Overtaken) => {}
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
    sound
}
