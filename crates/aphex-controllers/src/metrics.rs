//! Counts and durations of passes, and how many objects there are by phase.

mod phases;

use std::collections::BTreeMap;
use std::time::Duration;

use aphex_api::conditions::Reason;
use aphex_runtime::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::outcome::Outcome;
use phases::Phases;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    controller: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    controller: &'static str,
    outcome: &'static str,
    reason: &'static str,
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
    outcomes: Family<ReasonLabels, Counter>,
    phases: Phases,
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
        let outcomes = Family::<ReasonLabels, Counter>::default();
        let phases = Phases::default();
        let writes = Family::<WriteLabels, Counter>::default();
        let (runs, queued) = (Family::<RunLabels, Counter>::default(), Gauge::default());
        metrics.register(|registry| {
            registry.register(
                "aphex_controller_reconcile_seconds",
                "Duration of passes over an object, by outcome",
                passes.clone(),
            );
            registry.register(
                "aphex_controller_outcomes",
                "Passes over an object, by outcome and by the reason of the condition Ready",
                outcomes.clone(),
            );
            registry.register_collector(Box::new(phases.clone()));
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
        Self { passes, outcomes, phases, writes, runs, queued }
    }

    /// Counts a pass.
    pub fn observe_pass(&self, controller: &'static str, outcome: &Outcome, duration: Duration) {
        let (outcome, reason) = (outcome.as_str(), outcome.reason().as_str());
        self.passes.get_or_create(&Labels { controller, outcome }).observe(duration.as_secs_f64());
        self.outcomes.get_or_create(&ReasonLabels { controller, outcome, reason }).inc();
    }

    /// Counts a pass of a controller that publishes no status; it went well or will be tried again.
    pub fn observe_round(&self, controller: &'static str, sound: bool, duration: Duration) {
        let reason = if sound { Reason::Provisioned } else { Reason::ProvisioningFailed }.as_str();
        let outcome = if sound { "applied" } else { "failed" };
        self.passes.get_or_create(&Labels { controller, outcome }).observe(duration.as_secs_f64());
        self.outcomes.get_or_create(&ReasonLabels { controller, outcome, reason }).inc();
    }

    /// Has the objects of a controller counted at each scrape, by phase.
    pub fn count_objects(
        &self,
        controller: &'static str,
        count: impl Fn() -> BTreeMap<&'static str, usize> + Send + Sync + 'static,
    ) {
        self.phases.set(controller, Box::new(count));
    }

    /// Stops counting the objects of a controller, which does not see them any more.
    pub fn forget_objects(&self, controller: &'static str) {
        self.phases.unset(controller);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Rejection, Waiting};

    #[test]
    fn passes_are_counted_by_outcome_and_reason() {
        let registry = Metrics::default();
        let metrics = ControllerMetrics::register(&registry);
        let second = Duration::from_secs(1);
        metrics.observe_pass("organization", &Outcome::Applied, second);
        metrics.observe_pass("organization", &Outcome::Rejected(Rejection::taken("x")), second);
        metrics.observe_pass("pipeline", &Outcome::Waiting(Waiting("x".to_owned())), second);
        let text = registry.render();
        for line in [
            r#"aphex_controller_outcomes_total{controller="organization",outcome="applied",reason="Provisioned"} 1"#,
            r#"aphex_controller_outcomes_total{controller="organization",outcome="rejected",reason="NameTaken"} 1"#,
            r#"aphex_controller_outcomes_total{controller="pipeline",outcome="waiting",reason="WaitingFor"} 1"#,
            r#"aphex_controller_reconcile_seconds_count{controller="organization",outcome="applied"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn objects_are_counted_when_asked_and_no_longer_than_they_are_seen() {
        let registry = Metrics::default();
        let metrics = ControllerMetrics::register(&registry);
        metrics.count_objects("organization", || [("Active", 2), ("Failed", 1)].into());
        let text = registry.render();
        assert!(
            text.contains(r#"aphex_controller_objects{controller="organization",phase="Active"} 2"#),
            "{text}"
        );
        assert!(
            text.contains(r#"aphex_controller_objects{controller="organization",phase="Failed"} 1"#),
            "{text}"
        );
        metrics.forget_objects("organization");
        assert!(!registry.render().contains("aphex_controller_objects{"));
    }
}
