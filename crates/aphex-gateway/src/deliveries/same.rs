//! Which events are the same: those with one id and one payload, for one listener and secret.
//!
//! An id alone does not do. GitHub gives one to an event at every webhook that it goes to, and GitLab gives one event UUID
//! to all events that follow from each other.

use aphex_api::delivery::{Delivery, listener_namespace};
use serde_json::Value;

use super::parts::PayloadParts;
use super::payload::{self, Packed, UnpackError};
use super::{Deliveries, Incoming, StoreError};
use crate::event::Event;
use crate::sink::ID_MAX;
use crate::templates::hex;

/// How much of an event's own id is made of its payload.
const OF_THE_PAYLOAD: usize = 10;

impl Deliveries {
    /// Whether a stored Delivery has the event's payload; one that is broken for good is taken to have it.
    pub(super) async fn same_payload(
        &self,
        there: &Delivery,
        event: &Event,
        packed: &Packed,
    ) -> Result<bool, StoreError> {
        let parts = PayloadParts::of(there).filter(PayloadParts::is_apart);
        if let Some(parts) = parts
            && there.spec.payload_digest == packed.digest()
        {
            // What somebody deleted of it, the sender brings back.
            let mended = parts.mend(&self.client, packed, self.clock.now()).await;
            let name = || there.metadata.name.clone().unwrap_or_default();
            return mended.map(|()| true).map_err(|error| StoreError::Part(name(), Box::new(error)));
        }
        let text = match payload::text(&self.client, there).await {
            Ok(text) => text,
            Err(UnpackError::Part(_, error) | UnpackError::Refused { source: error, .. }) => {
                return Err(StoreError::Read(there.metadata.name.clone().unwrap_or_default(), error));
            }
            Err(_) => return Ok(true),
        };
        let rest = text.strip_prefix(&packed.first);
        if rest.is_some_and(|rest| rest == packed.rest.concat()) {
            return Ok(true);
        }
        // Another release may have compressed it otherwise, and a sender may write the same JSON in another way.
        let stored = payload::unpack(&text);
        Ok(stored.map_or(true, |stored| stored.body == event.body))
    }
}

/// The id of an event whose sender gave its id to another one as well, however its JSON is spaced.
pub(super) fn own_id(incoming: &Incoming, body: &Value) -> String {
    let kept: String = incoming.delivery_id.chars().take(ID_MAX - OF_THE_PAYLOAD - 1).collect();
    format!("{kept}-{}", &hex(&body.to_string())[..OF_THE_PAYLOAD])
}

/// Whether a stored Delivery and an incoming event have the same id, for the same trigger.
pub(super) fn same_event(there: &Delivery, incoming: &Incoming) -> bool {
    there.spec.delivery_id == incoming.delivery_id
        && there.spec.listener == incoming.listener
        && listener_namespace(there) == incoming.listener_namespace
        && (there.spec.verified_by == incoming.verified_by
            || there.spec.verified_by.iter().any(|signer| incoming.verified_by.contains(signer)))
}
