//! Which events are the same: those with one id and one payload, for one listener and secret.
//!
//! An id alone does not do. GitHub gives one to an event at every webhook that it goes to, and GitLab gives one event UUID
//! to all events that follow from each other.

use std::borrow::Cow;

use aphex_api::delivery::{Delivery, listener_namespace};
use serde_json::Value;

use super::parts::PayloadParts;
use super::payload::{self, Mark, Packed, UnpackError};
use super::{Deliveries, ID_MAX, Incoming, StoreError, object_name};
use crate::event::Event;
use crate::templates::hex;

/// How much of an event's own id is made of its payload.
const OF_THE_PAYLOAD: usize = 10;
/// How much of it is the sender's id at most.
const KEPT: usize = ID_MAX - OF_THE_PAYLOAD - 1;

impl Deliveries {
    /// Whether a stored Delivery has the event's payload; what somebody deleted of it comes back if it has.
    pub(super) async fn same_payload(
        &self,
        there: &Delivery,
        event: &Event,
        packed: &Packed,
    ) -> Result<bool, StoreError> {
        if let Some(parts) = PayloadParts::of(there) {
            let now = self.clock.now();
            let mended = if !parts.is_apart() {
                parts.mend_beside(&self.client, there, packed, now).await
            } else if there.spec.payload_digest == packed.digest() {
                parts.mend(&self.client, packed, now).await.map(|()| true)
            } else {
                Ok(false)
            };
            let name = || there.metadata.name.clone().unwrap_or_default();
            if mended.map_err(|error| StoreError::Part(name(), Box::new(error)))? {
                return Ok(true);
            }
        }
        let text = match payload::text(&self.client, there).await {
            Ok(text) => text,
            Err(UnpackError::Part(_, error) | UnpackError::Refused { source: error, .. }) => {
                return Err(StoreError::Read(there.metadata.name.clone().unwrap_or_default(), error));
            }
            // Whether it is the same nobody can tell. If it is, it makes the same objects under its other name.
            Err(_) => return Ok(false),
        };
        let rest = text.strip_prefix(&packed.first);
        if rest.is_some_and(|rest| rest == packed.rest.concat()) {
            return Ok(true);
        }
        // Another release may have compressed it otherwise, and a sender may write the same JSON in another way.
        let stored = payload::unpack(&text);
        Ok(stored.is_ok_and(|stored| stored.body == event.body))
    }
}

/// The id of an event whose sender gave its id to another one as well, however its JSON is spaced; it serves as a name.
pub(super) fn own_id(incoming: &Incoming, body: &Value) -> String {
    let id = object_name(&incoming.delivery_id);
    format!("{}-{}", short(&id), &hex(&body.to_string())[..OF_THE_PAYLOAD])
}

/// As much of the name that an id serves as as an own id keeps; it stays one id's alone.
fn short(name: &str) -> Cow<'_, str> {
    if name.len() <= KEPT {
        return name.into();
    }
    // A name is ASCII.
    let kept = name.get(..KEPT - OF_THE_PAYLOAD - 1).unwrap_or_default();
    format!("{kept}-{}", &hex(name)[..OF_THE_PAYLOAD]).into()
}

/// What an own id is made of: the sender's id, and the payload.
fn origin(own: &str) -> Option<(&str, &str)> {
    let (id, digest) = own.rsplit_once('-')?;
    (digest.len() == OF_THE_PAYLOAD && is_hex(digest)).then_some((id, digest))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What names of objects that an event creates are made of: what it is, and not under which name or where it is kept.
///
/// Requests that know nothing of each other may each try to store it, or another event with its id, under the same name. So
/// they make the same objects only if the listener, the sender's id and the payload are the same. Secrets are not among it:
/// each has triggers of its own, and which of them are known to sign an event may change from one try to the next.
pub(crate) fn seed(delivery: &Delivery, body: &Value, mark: Mark) -> String {
    let spec = &delivery.spec;
    let moved = origin(&spec.delivery_id).filter(|(_, digest)| hex(&body.to_string()).starts_with(digest));
    let id = moved.map_or(spec.delivery_id.as_str(), |(id, _)| id);
    format!("{}/{}/{}/{mark}", listener_namespace(delivery), spec.listener, short(&object_name(id)))
}

/// Whether an object that has an event's name comes from the event by its label. One of the two may be the sender's id and
/// the other the event's own: it may have got that after it made the object, or have had it in a Delivery that is gone. Of a
/// name that the template gives, the label has to tell alone.
pub(crate) fn is_id_of(label: &str, event_id: &str, name: &str) -> bool {
    let is_made = || name.len().checked_sub(OF_THE_PAYLOAD).and_then(|at| name.get(at..)).is_some_and(is_hex);
    let is_own = |own, id| origin(own).is_some_and(|(of, _)| of == short(id));
    label == event_id || (is_made() && (is_own(event_id, label) || is_own(label, event_id)))
}

/// Whether a stored Delivery and an incoming event have the same id, for the same trigger.
pub(super) fn same_event(there: &Delivery, incoming: &Incoming) -> bool {
    there.spec.delivery_id == incoming.delivery_id
        && there.spec.listener == incoming.listener
        && listener_namespace(there) == incoming.listener_namespace
        && (there.spec.verified_by == incoming.verified_by
            || there.spec.verified_by.iter().any(|signer| incoming.verified_by.contains(signer)))
}

#[cfg(test)]
mod tests {
    use aphex_api::delivery::DeliverySpec;
    use serde_json::json;

    use super::*;

    fn incoming(id: &str) -> Incoming {
        Incoming {
            namespace: "web".into(),
            listener_namespace: "org-acme".into(),
            listener: "el".into(),
            delivery_id: id.into(),
            event: "push".into(),
            headers: std::collections::BTreeMap::default(),
            url: "/acme".into(),
            source: String::new(),
            body: Value::Null,
            json: bytes::Bytes::new(),
            verified_by: Vec::new(),
            received: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn seed_of(id: &str, namespace: &str, listener: &str, body: &Value) -> String {
        let listener_namespace = if namespace == "org-acme" { "" } else { "org-acme" };
        let spec = DeliverySpec {
            listener: listener.into(),
            listener_namespace: listener_namespace.into(),
            delivery_id: id.into(),
            ..DeliverySpec::default()
        };
        let mut delivery = Delivery::new("any name", spec);
        delivery.metadata.namespace = Some(namespace.into());
        seed(&delivery, body, payload::pack(body.to_string().as_bytes()).unwrap().mark)
    }

    #[test]
    fn names_are_made_of_the_event_wherever_and_under_which_id_it_is_kept() {
        let body = json!({ "after": "1" });
        for id in ["72d3162e-cc78-11e3-81ab-4c9367dc0958", "a/b", &"x".repeat(128)] {
            let seed = seed_of(id, "org-acme", "el", &body);
            let own = own_id(&incoming(id), &body);
            assert!(own.len() <= ID_MAX && own != id);
            assert_eq!(seed_of(&own, "org-acme", "el", &body), seed, "{own}");
            assert_eq!(seed_of(id, "web", "el", &body), seed);
            for other in [
                seed_of(id, "org-acme", "other", &body),
                seed_of(id, "org-acme", "el", &json!({ "after": "2" })),
                seed_of(&format!("y{}", &id[1..]), "org-acme", "el", &body),
                // It only looks as if this payload had been added to it.
                seed_of(&format!("{}-0123456789", &id[..3]), "org-acme", "el", &body),
            ] {
                assert_ne!(other, seed);
            }
        }
        let long = |end: &str| seed_of(&format!("{}{end}", "x".repeat(127)), "org-acme", "el", &body);
        assert_ne!(long("1"), long("2"), "they differ in what an own id has no room for");
    }

    #[test]
    fn an_object_comes_from_the_event_that_got_its_own_id_afterwards() {
        let own = |id: &str| own_id(&incoming(id), &Value::Null);
        for id in ["72d3162e-cc78-11e3-81ab-4c9367dc0958", "A/b", &"x".repeat(53), &"x".repeat(128)] {
            let (label, event) = (object_name(id), own(id));
            assert_eq!(object_name(&event), event, "an object's label is the id itself");
            assert!(is_id_of(&label, &event, "web-0a1b2c3d4e"), "{label} {event}");
        }
        assert!(!is_id_of(&"x".repeat(54), &own(&"x".repeat(53)), "web-0a1b2c3d4e"));
        for (label, event, name, is) in [
            ("e", "e", "fixed", true),
            ("e", "e-0123456789", "web-0a1b2c3d4e", true),
            ("e", "e-0123456789", "fixed", false),
            ("e", "f-0123456789", "web-0a1b2c3d4e", false),
            ("e-0123456789", "e", "web-0a1b2c3d4e", true),
            ("e-0123456789", "e", "fixed", false),
            ("e-0123456789", "e-9876543210", "web-0a1b2c3d4e", false),
            ("e", "e-012345678g", "web-0a1b2c3d4e", false),
        ] {
            assert_eq!(is_id_of(label, event, name), is, "{label} {event} {name}");
        }
    }
}
