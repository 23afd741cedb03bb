//! An event that came before: nothing is left to do for it, unless it failed. Then its sender asks for another try.
//!
//! That it is to be tried is written to the Delivery before the sender is answered: whoever dies then, and whatever the
//! watches tell meanwhile, some replica does it.

use aphex_api::delivery::{Delivery, DeliveryPhase};
use jiff::Timestamp;
use kube::Api;
use kube::api::Patch;

use super::process::{WRITES, params};
use super::{Deliveries, StoreError, claim, verdict};

impl Deliveries {
    /// Sees to it that a stored event which came again is tried again if it failed; false when its Delivery is gone.
    ///
    /// `received` is when it came this time: what waited on a disk may be stored already, and nobody has sent it again then.
    pub(super) async fn again(
        &self,
        api: &Api<Delivery>,
        mut there: Delivery,
        received: Timestamp,
    ) -> Result<bool, StoreError> {
        if is_received_at(&there, received) {
            return Ok(true);
        }
        self.metrics.duplicate();
        let name = there.metadata.name.clone().unwrap_or_default();
        let failed = |error| StoreError::Again(name.clone(), Box::new(error));
        let mut writes = WRITES;
        while is_final(&there) {
            let status = verdict::anew(&there, self.clock.now());
            let patch = verdict::patch(&there, &status);
            let patch = patch.map_err(|error| failed(kube::Error::SerdeError(error)))?;
            writes -= 1;
            match api.patch(&name, &params(), &Patch::Merge(patch)).await {
                Ok(written) => {
                    self.seen(&written);
                    return Ok(true);
                }
                Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(false),
                // Somebody else wrote to it: the same event at another replica, a replay, what concurrency decided.
                Err(kube::Error::Api(answer)) if answer.code == 409 && writes > 0 => {
                    let Some(found) = api.get_opt(&name).await.map_err(failed)? else { return Ok(false) };
                    there = found;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(true)
    }
}

/// Whether a Delivery is of what came then; it says so to the microsecond.
fn is_received_at(delivery: &Delivery, received: Timestamp) -> bool {
    let known = delivery.spec.received_time.as_ref();
    known.is_some_and(|known| known.0.as_microsecond() == received.as_microsecond())
}

/// Whether a Delivery failed and nobody has asked yet that it be tried again.
fn is_final(delivery: &Delivery) -> bool {
    let status = delivery.status.as_ref().filter(|status| status.phase == DeliveryPhase::Failed);
    status.is_some_and(|_| !claim::is_replay_open(delivery))
}

#[cfg(test)]
mod tests {
    use aphex_api::delivery::DeliverySpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    #[test]
    fn what_came_once_is_known_by_its_time() {
        let at = |nanosecond| Timestamp::from_nanosecond(nanosecond).unwrap();
        let received_time = Some(MicroTime(at(5_000_001_000)));
        let stored = Delivery::new("d", DeliverySpec { received_time, ..DeliverySpec::default() });
        assert!(is_received_at(&stored, at(5_000_001_999)));
        assert!(!is_received_at(&stored, at(5_000_002_000)));
        assert!(!is_received_at(&Delivery::new("d", DeliverySpec::default()), at(0)));
    }
}
