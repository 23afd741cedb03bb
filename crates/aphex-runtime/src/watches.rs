//! How long a watch that was interrupted pauses before it is begun again.
//!
//! Whoever serves from what watches tell knows nothing new during the pause. client-go's reflectors, and kube's default,
//! begin with 0.8 s and come to 30 s: a kind that was defined a moment ago is often told with 410 that its first list is too
//! old, and an API server that was away for a minute has been back for half of one before anybody asks.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

/// The first pause.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest: an API server is asked so often by each watch while it is away.
pub const LONGEST: Duration = Duration::from_secs(5);
/// A watch that held for so long begins with the first pause again.
const QUIET: Duration = Duration::from_mins(1);

/// Ever longer pauses, each up to a tenth longer than it says, so that many watches do not come back together.
///
/// That a list succeeded does not make the next pause the first again: a watch that breaks after each list would list for ever.
#[derive(Debug, Default)]
pub struct Pauses {
    last: Option<(Instant, Duration)>,
}

impl Pauses {
    fn after(&mut self, now: Instant) -> Duration {
        let pause = match self.last {
            Some((at, pause)) if now.saturating_duration_since(at) < QUIET => (pause * 2).min(LONGEST),
            _ => SHORTEST,
        };
        self.last = Some((now, pause));
        pause.mul_f64(1.0 + rand::random::<f64>() / 10.0)
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.after(Instant::now()))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_short_again_after_a_quiet_time() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        for wanted in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let pause = pauses.after(now);
            let wanted = Duration::from_millis(wanted);
            assert!((wanted..wanted.mul_f64(1.11)).contains(&pause), "{pause:?} instead of {wanted:?}");
            pauses.reset();
        }
        assert!(pauses.after(now + QUIET.mul_f64(0.99)) >= LONGEST);
        assert!(pauses.after(now + QUIET * 2) < SHORTEST * 2);
    }
}
