//! What the gateway counts.

use std::sync::Arc;

use aphex_api::delivery::DeliveryVerdict;
use aphex_runtime::Metrics;
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

type Labels = [(&'static str, String); 1];

/// The gateway's metrics; cheap to clone.
#[derive(Clone, Debug)]
pub struct GatewayMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: Family<Labels, Counter>,
    deliveries: Family<Labels, Counter>,
    duplicates: Counter,
    created: Counter,
    retries: Counter,
    waiting: Gauge,
    seconds: Histogram,
}

impl GatewayMetrics {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> Self {
        // From a few milliseconds, a usual evaluation, to the minutes that retries take.
        let seconds = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0]);
        let inner = Inner {
            requests: Family::default(),
            deliveries: Family::default(),
            duplicates: Counter::default(),
            created: Counter::default(),
            retries: Counter::default(),
            waiting: Gauge::default(),
            seconds,
        };
        metrics.register(|registry| {
            let gateway = registry.sub_registry_with_prefix("aphex_gateway");
            gateway.register(
                "requests",
                "Webhook requests by HTTP status of the answer",
                inner.requests.clone(),
            );
            gateway.register("deliveries", "Deliveries finished, by verdict", inner.deliveries.clone());
            gateway.register(
                "duplicates",
                "Events delivered again and not stored again",
                inner.duplicates.clone(),
            );
            gateway.register("objects_created", "Objects created for triggers", inner.created.clone());
            gateway.register("retries", "Attempts that have to be repeated", inner.retries.clone());
            gateway.register("waiting", "Deliveries without a verdict", inner.waiting.clone());
            gateway.register("verdict_seconds", "Time from receipt to verdict", inner.seconds.clone());
        });
        // A series that begins with its first count shows no increase: the first failure would alert nobody.
        drop(inner.deliveries.get_or_create(&[("verdict", reason(DeliveryVerdict::Failed).to_owned())]));
        Self(Arc::new(inner))
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        self.0.requests.get_or_create(&[("code", status.as_u16().to_string())]).inc();
    }

    pub(crate) fn finished(&self, verdict: DeliveryVerdict, seconds: f64) {
        self.0.deliveries.get_or_create(&[("verdict", reason(verdict).to_owned())]).inc();
        self.0.seconds.observe(seconds);
    }

    pub(crate) fn duplicate(&self) {
        self.0.duplicates.inc();
    }

    pub(crate) fn created(&self, objects: usize) {
        self.0.created.inc_by(u64::try_from(objects).unwrap_or(u64::MAX));
    }

    pub(crate) fn retried(&self) {
        self.0.retries.inc();
    }

    pub(crate) fn waiting(&self, deliveries: usize) {
        self.0.waiting.set(i64::try_from(deliveries).unwrap_or(i64::MAX));
    }
}

/// The verdict as a metric label and a condition's reason.
pub(crate) fn reason(verdict: DeliveryVerdict) -> &'static str {
    match verdict {
        DeliveryVerdict::Created => "Created",
        DeliveryVerdict::NotWanted => "NotWanted",
        DeliveryVerdict::NoTrigger => "NoTrigger",
        DeliveryVerdict::Ping => "Ping",
        DeliveryVerdict::RefDeleted => "RefDeleted",
        DeliveryVerdict::Tag => "Tag",
        DeliveryVerdict::SkipRequested => "SkipRequested",
        DeliveryVerdict::Failed => "Failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_an_increase() {
        let metrics = Metrics::default();
        let gateway = GatewayMetrics::new(&metrics);
        let line = |count: u8| format!("aphex_gateway_deliveries_total{{verdict=\"Failed\"}} {count}\n");
        assert!(metrics.render().contains(&line(0)), "{}", metrics.render());
        gateway.finished(DeliveryVerdict::Failed, 0.1);
        assert!(metrics.render().contains(&line(1)), "{}", metrics.render());
    }
}
