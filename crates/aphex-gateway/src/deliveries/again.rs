//! An event that came before: nothing is left to do for it, unless it failed. Then its sender asks for another try.
//!
//! That it is to be tried is written to the Delivery before the sender is answered: whoever dies then, and whatever the
//! watches tell meanwhile, some replica does it.

use aphex_api::delivery::{Delivery, DeliveryPhase};
use kube::Api;
use kube::api::Patch;

use super::process::{WRITES, params};
use super::{Deliveries, StoreError, claim, verdict};

impl Deliveries {
    /// Sees to it that a stored event which came again is tried again if it failed; false when its Delivery is gone.
    pub(super) async fn again(&self, api: &Api<Delivery>, mut there: Delivery) -> Result<bool, StoreError> {
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

/// Whether a Delivery failed and nobody has asked yet that it be tried again.
fn is_final(delivery: &Delivery) -> bool {
    let status = delivery.status.as_ref().filter(|status| status.phase == DeliveryPhase::Failed);
    status.is_some_and(|_| !claim::is_replay_open(delivery))
}
