//! Objects by phase, counted when somebody asks: from what the controllers' watches hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

const NAME: &str = "aphex_controller_objects";

type Count = Box<dyn Fn() -> BTreeMap<&'static str, usize> + Send + Sync>;

/// How the objects of each controller are counted; shared by clones.
#[derive(Clone, Default)]
pub(super) struct Phases(Arc<Mutex<BTreeMap<&'static str, Count>>>);

impl Phases {
    pub(super) fn set(&self, controller: &'static str, count: Count) {
        self.lock().insert(controller, count);
    }

    pub(super) fn unset(&self, controller: &'static str) {
        self.lock().remove(controller);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phases")
    }
}

impl Collector for Phases {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Objects by controller and phase";
        let mut objects = encoder.encode_descriptor(NAME, help, None, MetricType::Gauge)?;
        for (controller, count) in self.lock().iter() {
            for (phase, count) in count() {
                let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
                gauge.encode(objects.encode_family(&[("controller", *controller), ("phase", phase)])?)?;
            }
        }
        Ok(())
    }
}
