//! From this replica's disk into the engine, in order for each listener, until nothing waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aphex_runtime::errors;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{Deliveries, Incoming, StoreError, inline};
use crate::spool::{Spool, SpoolError};

/// How long the engine may take when no sender waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Listeners whose events are stored at once.
const PARALLEL: usize = 8;
/// Events of one listener in a round: what others put in meanwhile waits for no more than these.
const OF_EACH: usize = 64;
/// The first pause after a round in which nothing was stored, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// What became of one spooled event.
enum Step {
    /// The spool does not have it any more.
    Gone,
    /// It cannot be stored now; what comes behind it in the same listener waits.
    Waits,
    /// The engine is away: all wait.
    Away,
}

impl Deliveries {
    /// Drains until told to stop, and then as long as the engine takes what there is.
    pub(super) async fn drain(&self, spool: &Spool, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            spool.measure(self.clock.now());
            if spool.is_empty() {
                if stop.is_cancelled() {
                    return;
                }
                let _ = stop.run_until_cancelled(spool.changed()).await;
                continue;
            }
            if self.round(spool, &stop).await {
                failures = 0;
                continue;
            }
            if stop.is_cancelled() {
                tracing::warn!(
                    events = spool.len(),
                    "events stay in the spool until this replica starts again"
                );
                return;
            }
            let pause = PAUSE.saturating_mul(1 << failures).min(LONGEST);
            failures = (failures + 1).min(8);
            // Replicas that lost the engine together do not come back together.
            let pause = pause.mul_f64(rand::random_range(0.5..1.0));
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
    }

    /// Tries the first of what waits of each listener; tells whether anything left the spool.
    async fn round(&self, spool: &Spool, stop: &CancellationToken) -> bool {
        let (moved, away) = (AtomicBool::new(false), AtomicBool::new(false));
        futures::stream::iter(spool.next(OF_EACH))
            .for_each_concurrent(PARALLEL, |listener| async {
                for number in listener {
                    if away.load(Ordering::Acquire) {
                        return;
                    }
                    match self.step(spool, number, stop).await {
                        Step::Gone => moved.store(true, Ordering::Release),
                        Step::Waits => return,
                        Step::Away => away.store(true, Ordering::Release),
                    }
                    spool.measure(self.clock.now());
                }
            })
            .await;
        moved.into_inner()
    }

    async fn step(&self, spool: &Spool, number: u64, stop: &CancellationToken) -> Step {
        let mut incoming = match spool.read(number).await {
            Ok(Some(incoming)) => incoming,
            Ok(None) => {
                tracing::error!(number, "an event was taken from the spool by somebody else");
                return Step::Gone;
            }
            Err(error @ SpoolError::Broken(..)) => {
                return self.aside(spool, number, errors::chain(&error)).await;
            }
            Err(error) => {
                tracing::error!(error = %errors::chain(&error), "a spooled event cannot be read now");
                return Step::Waits;
            }
        };
        let event = inline::event(&mut incoming);
        // Nobody waits long for an engine that is away when the process is to end.
        let hurry = async {
            stop.cancelled().await;
            tokio::time::sleep(self.reach.patience()).await;
        };
        let stored = tokio::select! {
            stored = self.within(PATIENCE, &incoming, &event) => stored,
            () = hurry => return Step::Away,
        };
        match stored {
            Ok(_) => match spool.remove(number).await {
                Ok(()) => {
                    self.metrics.drained();
                    Step::Gone
                }
                Err(error) => {
                    tracing::error!(error = %errors::chain(&error), "a stored event cannot be removed from the spool");
                    Step::Waits
                }
            },
            Err(error) if error.is_absence() => {
                tracing::debug!(error = %errors::chain(&error), "the engine does not take a spooled event yet");
                // One admission webhook that fails holds up its own listener and no other.
                if self.reach.is_away() { Step::Away } else { Step::Waits }
            }
            Err(error) if is_final(&error, self.is_orphan(&incoming)) => {
                self.aside(spool, number, errors::chain(&error)).await
            }
            Err(error) => {
                tracing::warn!(
                    eventListener = %incoming.listener, namespace = %incoming.namespace, error = %errors::chain(&error),
                    "a spooled event is refused; it is tried again"
                );
                Step::Waits
            }
        }
    }

    /// Whether the listener that received an event is there no more.
    fn is_orphan(&self, incoming: &Incoming) -> bool {
        !self.decider.knows(&incoming.listener_namespace, &incoming.listener)
    }

    async fn aside(&self, spool: &Spool, number: u64, why: String) -> Step {
        tracing::error!(
            number, error = %why,
            "a spooled event can never be stored; its file is set aside as *.bad for you to look at"
        );
        match spool.set_aside(number).await {
            Ok(()) => Step::Gone,
            Err(error) => {
                tracing::error!(error = %errors::chain(&error), "a spooled event cannot be set aside");
                Step::Waits
            }
        }
    }
}

/// Whether no later attempt can store it: the engine finds the object itself wrong, or its listener is gone, with which
/// goes the gateway's right to its namespace.
fn is_final(error: &StoreError, orphan: bool) -> bool {
    match error {
        StoreError::Taken(_) | StoreError::Pack(_) => true,
        StoreError::Part(_, cause) | StoreError::Create(_, cause) => match cause.as_ref() {
            kube::Error::Api(status) if orphan => matches!(status.code, 400 | 403 | 404 | 413 | 422),
            kube::Error::Api(status) => matches!(status.code, 400 | 413 | 422),
            _ => false,
        },
        StoreError::Read(..) | StoreError::Late(..) | StoreError::Spool(..) => false,
    }
}
