//! On which thread a listener's triggers are evaluated.
//!
//! Most take microseconds, less than it takes to hand them to another thread and to be woken when they are done. Whoever
//! writes expressions can make them take long, and a thread that serves connections must not: a listener that was slow once
//! is evaluated on threads of its own kind for a while. How slow one is shows when it is done, so of each listener one event
//! at a time is evaluated where connections are served, and others that come meanwhile are not.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What takes longer is slow.
const SLOW: Duration = Duration::from_millis(5);
/// How long a listener counts as slow after it was.
const SLOW_FOR: Duration = Duration::from_mins(1);
/// Payloads of more bytes are never looked at where connections are served.
const LIGHT: usize = 256 << 10;

/// A listener, by namespace and name.
type Place = (String, String);

/// Why a listener's triggers are not evaluated where connections are served.
#[derive(Debug, Clone, Copy)]
enum Busy {
    /// Another of its events is.
    Begun,
    /// It was slow then.
    Slow(Instant),
}

/// Which listeners are busy; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    busy: Arc<Mutex<HashMap<Place, Busy>>>,
}

impl Pace {
    /// Evaluates the triggers of a listener with a payload of so many bytes; nothing when that panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: &Place,
        bytes: usize,
        evaluate: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let began = Instant::now();
        if bytes > LIGHT || !self.begins(place, began) {
            return tokio::task::spawn_blocking(evaluate).await.ok();
        }
        let done = catch_unwind(AssertUnwindSafe(evaluate)).ok();
        let now = Instant::now();
        self.took(place, now - began, now);
        done
    }

    /// Whether an event of this listener may be evaluated here now; if so it is begun.
    fn begins(&self, place: &Place, now: Instant) -> bool {
        let mut busy = self.busy();
        match busy.get(place) {
            Some(Busy::Begun) => false,
            Some(Busy::Slow(since)) if now.saturating_duration_since(*since) < SLOW_FOR => false,
            _ => {
                busy.insert(place.clone(), Busy::Begun);
                true
            }
        }
    }

    /// What was begun has ended.
    fn took(&self, place: &Place, time: Duration, now: Instant) {
        let mut busy = self.busy();
        if time > SLOW {
            busy.insert(place.clone(), Busy::Slow(now));
        } else {
            busy.remove(place);
        }
    }

    fn busy(&self) -> MutexGuard<'_, HashMap<Place, Busy>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        ("acme".to_owned(), name.to_owned())
    }

    /// The thread that an evaluation of so long is on.
    async fn thread(pace: &Pace, name: &str, bytes: usize, time: Duration) -> std::thread::ThreadId {
        let evaluate = move || {
            std::thread::sleep(time);
            std::thread::current().id()
        };
        pace.run(&place(name), bytes, evaluate).await.expect("it does not panic")
    }

    #[tokio::test]
    async fn one_that_was_slow_keeps_no_connection_waiting_again() {
        let (pace, here) = (Pace::default(), std::thread::current().id());
        assert_eq!(thread(&pace, "slow", 1, SLOW * 2).await, here);
        assert_ne!(thread(&pace, "slow", 1, Duration::ZERO).await, here);
        assert_eq!(thread(&pace, "another", 1, Duration::ZERO).await, here, "others go on as they did");
        assert_ne!(thread(&pace, "large", LIGHT + 1, Duration::ZERO).await, here);
    }

    #[test]
    fn one_is_tried_again_after_a_while_and_forgotten() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert!(pace.begins(&place("slow"), now));
        pace.took(&place("slow"), SLOW * 2, now);
        assert!(!pace.begins(&place("slow"), now + SLOW_FOR / 2));
        assert!(pace.begins(&place("slow"), now + SLOW_FOR));
        pace.took(&place("slow"), SLOW / 2, now + SLOW_FOR);
        assert!(pace.busy().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_one_is_slow_the_next_of_its_listener_hold_up_nobody() {
        let pace = Pace::default();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let (first, slow) = (pace.clone(), place("slow"));
        let begun = Arc::new(tokio::sync::Notify::new());
        let telling = Arc::clone(&begun);
        let first = tokio::spawn(async move {
            let wait = move || {
                telling.notify_one();
                told.recv()
            };
            first.run(&slow, 1, wait).await.expect("it does not panic")
        });
        begun.notified().await;
        let here = std::thread::current().id();
        assert_ne!(thread(&pace, "slow", 1, Duration::ZERO).await, here);
        assert_eq!(thread(&pace, "another", 1, Duration::ZERO).await, here);
        tell.send(()).expect("it waits");
        first.await.expect("it ends").expect("it was told");
    }

    #[tokio::test]
    async fn what_panics_ends_nothing_but_itself() {
        let pace = Pace::default();
        for bytes in [1, LIGHT + 1] {
            let none = pace.run(&place("broken"), bytes, || -> u8 { panic!("a fault") }).await;
            assert_eq!(none, None);
        }
        assert!(!pace.busy().values().any(|busy| matches!(busy, Busy::Begun)));
    }
}
