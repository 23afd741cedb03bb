//! How long to pause after failures of an object.

use std::time::Duration;

use crate::context::Pace;

/// The pause after so many failures in a row, with jitter so that objects that failed together do not come back together.
pub(super) fn after(pace: &Pace, failures: u32) -> Duration {
    spread(pace.backoff_min.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(pace.backoff_max))
}

/// A duration, up to a tenth longer.
pub(super) fn spread(duration: Duration) -> Duration {
    duration.mul_f64(1.0 + rand::random::<f64>() / 10.0)
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
}
