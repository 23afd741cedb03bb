//! Counts and durations of passes.

use std::time::Duration;

use aphex_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    controller: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    controller: &'static str,
    write: &'static str,
}

/// What the controllers count.
#[derive(Clone, Debug)]
pub struct ControllerMetrics {
    passes: Family<Labels, Histogram>,
    writes: Family<WriteLabels, Counter>,
}

impl ControllerMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(metrics: &Metrics) -> Self {
        let passes = Family::<Labels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 2.0, 15))
        });
        let writes = Family::<WriteLabels, Counter>::default();
        metrics.register(|registry| {
            registry.register(
                "aphex_controller_reconcile_seconds",
                "Duration of passes over an object, by outcome",
                passes.clone(),
            );
            registry.register("aphex_controller_writes", "Objects applied or pruned", writes.clone());
        });
        Self { passes, writes }
    }

    /// Counts a pass.
    pub fn observe_pass(&self, controller: &'static str, outcome: &'static str, duration: Duration) {
        self.passes.get_or_create(&Labels { controller, outcome }).observe(duration.as_secs_f64());
    }

    /// Counts objects written.
    pub fn count_writes(&self, controller: &'static str, write: &'static str, count: usize) {
        if count > 0 {
            self.writes.get_or_create(&WriteLabels { controller, write }).inc_by(count as u64);
        }
    }
}
