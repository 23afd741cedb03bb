//! From this replica's disk into the engine, many at once, until nothing waits; who is next is the spool's affair.

use std::time::Duration;

use aphex_runtime::errors;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::{Deliveries, Incoming, StoreError, inline};
use crate::spool::{PLACES, Spool, SpoolError};

/// How long the engine may take when no sender waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first pause while the engine is away, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// What became of one spooled event.
enum Step {
    /// The spool does not have it any more.
    Gone,
    /// It cannot be stored now; others may.
    Waits,
    /// The engine is away: all wait.
    Away,
}

/// Why events do not leave any more.
enum End {
    /// The engine is away; whether anything had left before that.
    Away { moved: bool },
    /// This process is to end, and what is left cannot be stored now.
    Stopped,
}

impl Deliveries {
    /// Drains until told to stop, and then as long as the engine takes what there is.
    pub(super) async fn drain(&self, spool: &Spool, stop: CancellationToken) {
        let mut absences = 0;
        loop {
            // Of many that wait for an engine that was away, one asks whether it is back.
            let places = if absences == 0 { PLACES } else { 1 };
            match self.leave(spool, &stop, places).await {
                End::Away { moved: true } => absences = 0,
                End::Away { moved: false } if !stop.is_cancelled() => {
                    let pause = PAUSE.saturating_mul(1 << absences).min(LONGEST);
                    absences = (absences + 1).min(8);
                    // Replicas that lost the engine together do not come back together.
                    let pause = pause.mul_f64(rand::random_range(0.5..1.0));
                    let _ = tokio::time::timeout(pause, stop.cancelled()).await;
                }
                End::Away { .. } | End::Stopped => {
                    if !spool.is_empty() {
                        tracing::warn!(
                            events = spool.len(),
                            "events stay in the spool until this replica starts again"
                        );
                    }
                    return;
                }
            }
        }
    }

    /// Stores what waits and what comes, so many at once; once the engine takes one, as many as there are places.
    async fn leave(&self, spool: &Spool, stop: &CancellationToken, mut places: usize) -> End {
        let mut under_way = FuturesUnordered::new();
        let (mut moved, mut away) = (false, false);
        loop {
            spool.measure(self.clock.now());
            while !away
                && under_way.len() < places
                && let Some(number) = spool.begin()
            {
                under_way.push(async move { (number, self.step(spool, number, stop).await) });
            }
            if under_way.is_empty() {
                if away {
                    return End::Away { moved };
                }
                if stop.is_cancelled() {
                    return End::Stopped;
                }
            }
            let room = !away && under_way.len() < places;
            let idle = under_way.is_empty();
            tokio::select! {
                Some((number, step)) = under_way.next() => match step {
                    Step::Gone => (moved, places) = (true, PLACES),
                    Step::Waits => {
                        spool.rest(number);
                        places = PLACES;
                    }
                    Step::Away => {
                        spool.put_back(number);
                        away = true;
                    }
                },
                () = spool.more(), if room => {}
                () = stop.cancelled(), if idle => {}
            }
        }
    }

    async fn step(&self, spool: &Spool, number: u64, stop: &CancellationToken) -> Step {
        let mut kept = match spool.read(number, &self.room).await {
            Ok(Some(kept)) => kept,
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
        let event = inline::event(&mut kept.incoming);
        let incoming = &kept.incoming;
        // Nobody waits long for an engine that is away when the process is to end.
        let hurry = async {
            stop.cancelled().await;
            tokio::time::sleep(self.reach.patience()).await;
        };
        let stored = tokio::select! {
            stored = self.within(PATIENCE, incoming, &event) => stored,
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
                // One admission webhook that fails holds up what it is asked about and nothing else.
                if self.reach.is_away() { Step::Away } else { Step::Waits }
            }
            Err(error) if is_final(&error, self.is_orphan(incoming)) => {
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
        // Of a large one it is looked first whether it is there.
        StoreError::Read(_, cause) => match cause.as_ref() {
            kube::Error::Api(status) => orphan && matches!(status.code, 403 | 404),
            _ => false,
        },
        StoreError::Again(..) | StoreError::Fleeting(_) | StoreError::Late(..) | StoreError::Spool(..) => {
            false
        }
    }
}
