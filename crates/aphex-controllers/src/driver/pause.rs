//! How long to pause: after failures of an object, and between tries to open watches.

use std::time::Duration;

use kube::runtime::utils::Backoff;

use crate::context::Pace;

/// The pause after so many failures in a row, with jitter so that objects that failed together do not come back together.
pub(super) fn after(pace: &Pace, failures: u32) -> Duration {
    spread(pace.backoff_min.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(pace.backoff_max))
}

/// A duration, up to a tenth longer.
pub(super) fn spread(duration: Duration) -> Duration {
    duration.mul_f64(1.0 + rand::random::<f64>() / 10.0)
}

/// Ever longer pauses between tries to open watches; the shortest again once something comes.
pub(super) struct Watching {
    pace: Pace,
    failures: u32,
}

impl Watching {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, failures: 0 }
    }
}

impl Iterator for Watching {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = after(&self.pace, self.failures);
        self.failures = self.failures.saturating_add(1);
        Some(pause)
    }
}

impl Backoff for Watching {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_retried_ever_later_up_to_a_limit() {
        let pace = Pace::default();
        assert!((pace.backoff_min..pace.backoff_min * 2).contains(&after(&pace, 0)));
        assert!(after(&pace, 3) >= Duration::from_secs(8));
        assert!((pace.backoff_max..pace.backoff_max * 2).contains(&after(&pace, u32::MAX)));
    }

    #[test]
    fn a_watch_that_worked_again_is_tried_again_soon() {
        let pace = Pace::default();
        let mut watching = Watching::new(pace);
        let pauses: Vec<Duration> = watching.by_ref().take(4).collect();
        assert!(pauses[3] >= Duration::from_secs(8), "{pauses:?}");
        watching.reset();
        assert!(watching.next().is_some_and(|pause| pause < pace.backoff_min * 2));
    }
}
