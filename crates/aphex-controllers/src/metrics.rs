//! Counts and durations of passes.

use std::time::Duration;

use aphex_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    action: &'static str,
}

/// What the controllers count.
#[derive(Clone, Debug)]
pub struct ControllerMetrics {
    passes: Family<Labels, Histogram>,
    writes: Family<WriteLabels, Counter>,
    runs: Family<RunLabels, Counter>,
    queued: Gauge,
}

impl ControllerMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(metrics: &Metrics) -> Self {
        let passes = Family::<Labels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 2.0, 15))
        });
        let writes = Family::<WriteLabels, Counter>::default();
        let (runs, queued) = (Family::<RunLabels, Counter>::default(), Gauge::default());
        metrics.register(|registry| {
            registry.register(
                "aphex_controller_reconcile_seconds",
                "Duration of passes over an object, by outcome",
                passes.clone(),
            );
            registry.register("aphex_controller_writes", "Objects applied or pruned", writes.clone());
            registry.register(
                "aphex_controller_runs",
                "PipelineRuns released from a queue, cancelled as superseded, deleted as old, freed of a volume",
                runs.clone(),
            );
            registry.register(
                "aphex_controller_runs_queued",
                "PipelineRuns that wait for others of their binding",
                queued.clone(),
            );
        });
        Self { passes, writes, runs, queued }
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

    /// Counts something done to a run.
    pub fn count_run(&self, action: &'static str) {
        self.runs.get_or_create(&RunLabels { action }).inc();
    }

    /// Changes the number of runs that wait.
    pub fn change_queued(&self, by: i64) {
        self.queued.inc_by(by);
    }
}
