//! What was decided about a run, as long as its Delivery does not say so.
//!
//! An event is decided before it is stored (`docs/adr/0048-verdict-first.md`), so a run may be seen before its Delivery is
//! there. The run does not wait for that: it is told as soon as the Delivery comes, for two minutes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aphex_api::delivery::RunConcurrency;
use aphex_runtime::errors;
use futures::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::plan::Run;
use super::tell::{self, TellError};
use super::{CONCURRENCY, NAME, Shared};
use crate::context::Context;

/// The first wait; each is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(250);
/// How often it is tried: two minutes in all.
const TRIES: u32 = 9;

/// What was decided about a run of a tenant's namespace.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) namespace: String,
    pub(super) run: Run,
    pub(super) concurrency: RunConcurrency,
}

/// What is still to be told, by the run's uid.
#[derive(Default)]
pub(super) struct Later {
    waiting: Mutex<BTreeMap<String, Waiting>>,
    changed: Notify,
}

struct Waiting {
    decided: Decided,
    tries: u32,
    due: Instant,
}

impl Later {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells it when the Delivery may be there; what was decided about the same run before counts no more.
    pub(super) fn push(&self, decided: Decided) {
        let due = Instant::now() + FIRST;
        self.waiting().insert(decided.run.uid.clone(), Waiting { decided, tries: 0, due });
        self.changed.notify_one();
    }

    /// What was decided about a run before counts no more.
    fn forget(&self, run: &Run) {
        self.waiting().remove(&run.uid);
    }

    fn again(&self, mut waiting: Waiting) -> bool {
        waiting.tries += 1;
        waiting.due = Instant::now() + FIRST * 2_u32.saturating_pow(waiting.tries);
        let goes_on = waiting.tries < TRIES;
        if goes_on {
            self.waiting().entry(waiting.decided.run.uid.clone()).or_insert(waiting);
        }
        goes_on
    }

    fn take_due(&self) -> Vec<Waiting> {
        let now = Instant::now();
        self.waiting().extract_if(.., |_, waiting| waiting.due <= now).map(|(_, waiting)| waiting).collect()
    }
}

/// Says it now if the Delivery is there, else as soon as it is. The run is not kept waiting by that.
pub(super) async fn say(context: &Context, shared: &Shared, decided: Decided) {
    if decided.run.event.is_empty() {
        return;
    }
    match told(context, shared, &decided).await {
        Ok(true) => shared.later.forget(&decided.run),
        Ok(false) => shared.later.push(decided),
        Err(error) => {
            warn(&decided, &error);
            shared.later.push(decided);
        }
    }
}

/// Tells what could not be told at once.
pub(super) async fn catch_up(context: &Context, shared: &Shared) {
    loop {
        let changed = shared.later.changed.notified();
        let due = shared.later.waiting().values().map(|waiting| waiting.due).min();
        match due {
            None => changed.await,
            Some(due) => {
                let _ = tokio::time::timeout_at(due, changed).await;
            }
        }
        let work = futures::stream::iter(shared.later.take_due());
        work.for_each_concurrent(CONCURRENCY, |waiting| async move {
            let decided = waiting.decided.clone();
            match told(context, shared, &decided).await {
                Ok(true) => {}
                Ok(false) => {
                    // Tekton's own sink keeps no Deliveries.
                    if !shared.later.again(waiting) {
                        tracing::debug!(
                            controller = NAME,
                            run.namespace = decided.namespace,
                            run.name = decided.run.name,
                            "no delivery names the run"
                        );
                    }
                }
                Err(error) => {
                    shared.later.again(waiting);
                    warn(&decided, &error);
                }
            }
        })
        .await;
    }
}

async fn told(context: &Context, shared: &Shared, decided: &Decided) -> Result<bool, TellError> {
    let listener = shared.index().listener(&decided.namespace);
    let namespaces: Vec<&str> =
        [Some(decided.namespace.as_str()), listener.as_deref()].into_iter().flatten().collect();
    let Decided { namespace, run, concurrency } = decided;
    tell::tell(&context.client, &namespaces, namespace, run, concurrency).await
}

fn warn(decided: &Decided, error: &TellError) {
    tracing::warn!(
        controller = NAME,
        run.namespace = decided.namespace,
        run.name = decided.run.name,
        error = errors::chain(error),
        "the delivery of a run does not say what was decided about it; it is tried again for two minutes"
    );
}
