//! What the gateway counts.

use std::sync::Arc;

use aphex_api::delivery::DeliveryVerdict;
use aphex_runtime::Metrics;
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

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
    spooled: Counter,
    drained: Counter,
    aside: Counter,
    spool_events: Gauge,
    spool_bytes: Gauge,
    spool_limit: Gauge,
    spool_age: Gauge,
    held_back: Family<Labels, Counter>,
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
            spooled: Counter::default(),
            drained: Counter::default(),
            aside: Counter::default(),
            spool_events: Gauge::default(),
            spool_bytes: Gauge::default(),
            spool_limit: Gauge::default(),
            spool_age: Gauge::default(),
            held_back: Family::default(),
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
            inner.register_inbox(gateway);
        });
        // A series that begins with its first count shows no increase: the first failure would alert nobody.
        drop(inner.deliveries.get_or_create(&[("verdict", reason(DeliveryVerdict::Failed).to_owned())]));
        Self(Arc::new(inner))
    }

    pub(crate) fn spooled(&self) {
        self.0.spooled.inc();
    }

    pub(crate) fn drained(&self) {
        self.0.drained.inc();
    }

    pub(crate) fn spool_refused(&self) {
        self.0.aside.inc();
    }

    /// How many bytes may wait on the disk.
    pub(crate) fn spool_limit(&self, bytes: u64) {
        self.0.spool_limit.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn spool(&self, events: usize, bytes: u64, oldest: i64) {
        self.0.spool_events.set(i64::try_from(events).unwrap_or(i64::MAX));
        self.0.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.0.spool_age.set(oldest);
    }

    /// A request was refused, or made to wait, for `reason`.
    pub(crate) fn held_back(&self, reason: &str) {
        self.0.held_back.get_or_create(&[("reason", reason.to_owned())]).inc();
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

impl Inner {
    fn register_inbox(&self, gateway: &mut Registry) {
        gateway.register(
            "spooled",
            "Events kept on this replica's disk because the engine was away",
            self.spooled.clone(),
        );
        gateway.register(
            "drained",
            "Events brought from this replica's disk into the engine",
            self.drained.clone(),
        );
        gateway.register("spool_set_aside", "Files of the spool that nothing can store", self.aside.clone());
        gateway.register(
            "spool_events",
            "Events that wait on this replica's disk",
            self.spool_events.clone(),
        );
        gateway.register(
            "spool_bytes",
            "Bytes of the events on this replica's disk, those set aside too",
            self.spool_bytes.clone(),
        );
        gateway.register(
            "spool_limit_bytes",
            "Bytes of events that may wait on this replica's disk; 0 without a spool",
            self.spool_limit.clone(),
        );
        gateway.register(
            "spool_oldest_seconds",
            "Age of the oldest event on this replica's disk",
            self.spool_age.clone(),
        );
        gateway.register(
            "held_back",
            "Requests that a limit refused or delayed, by reason",
            self.held_back.clone(),
        );
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
