//! On which thread a listener's triggers are evaluated.
//!
//! Most take microseconds, less than it takes to hand them to another thread and to be woken when they are done. Whoever
//! writes expressions can make them take long, and a thread that serves connections must not: a listener that was slow once
//! is evaluated on threads of its own kind for a while.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What takes longer is slow.
const SLOW: Duration = Duration::from_millis(5);
/// How long a listener counts as slow after it was.
const SLOW_FOR: Duration = Duration::from_mins(1);
/// Payloads of more bytes are never looked at where connections are served.
const LIGHT: usize = 256 << 10;

/// A listener, by namespace and name.
type Place = (String, String);

/// Which listeners are slow, and since when; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    slow: Arc<Mutex<HashMap<Place, Instant>>>,
}

impl Pace {
    /// Evaluates the triggers of a listener with a payload of so many bytes; nothing when that panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: &Place,
        bytes: usize,
        evaluate: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if bytes > LIGHT || self.is_slow(place, Instant::now()) {
            return tokio::task::spawn_blocking(evaluate).await.ok();
        }
        let began = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(evaluate)).ok();
        let now = Instant::now();
        self.took(place, now - began, now);
        done
    }

    fn is_slow(&self, place: &Place, now: Instant) -> bool {
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        match slow.get(place) {
            Some(since) if now.saturating_duration_since(*since) < SLOW_FOR => true,
            Some(_) => {
                slow.remove(place);
                false
            }
            None => false,
        }
    }

    fn took(&self, place: &Place, time: Duration, now: Instant) {
        if time > SLOW {
            self.slow.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone(), now);
        }
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
        pace.took(&place("slow"), SLOW * 2, now);
        assert!(pace.is_slow(&place("slow"), now + SLOW_FOR / 2));
        assert!(!pace.is_slow(&place("slow"), now + SLOW_FOR));
        assert!(pace.slow.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_panics_ends_nothing_but_itself() {
        let pace = Pace::default();
        for bytes in [1, LIGHT + 1] {
            let none = pace.run(&place("broken"), bytes, || -> u8 { panic!("a fault") }).await;
            assert_eq!(none, None);
        }
    }
}
