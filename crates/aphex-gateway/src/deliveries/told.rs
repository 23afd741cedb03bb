//! A Delivery as answers and watches of the engine tell it, without what nobody looks at there.
//!
//! The gateway is told of each Delivery at least twice: when it stores one, and by its watch. Payload, headers, managed
//! fields and what triggers made of the event are most of such an object; here they are read past.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aphex_api::delivery::{
    Delivery, DeliveryPhase, DeliverySpec, DeliveryStatus, DeliveryVerdict, SecretKeyRef,
};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};

/// What queue and retention need to know of a Delivery.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Told {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    status: Option<Status>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    listener: String,
    listener_namespace: String,
    payload_parts: u32,
    payload_digest: String,
    verified_by: Vec<SecretKeyRef>,
    received_by: String,
    received_time: Option<MicroTime>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: DeliveryPhase,
    verdict: Option<DeliveryVerdict>,
    holder: Option<String>,
    lease_until: Option<MicroTime>,
    next_attempt_time: Option<MicroTime>,
    started_time: Option<MicroTime>,
    completed_time: Option<MicroTime>,
    observed_replay: Option<String>,
}

/// Metadata without managed fields, which are the larger part.
fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        generation: Option<i64>,
        creation_timestamp: Option<Time>,
        annotations: Option<BTreeMap<String, String>>,
    }
    let told = Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: told.name,
        namespace: told.namespace,
        uid: told.uid,
        resource_version: told.resource_version,
        generation: told.generation,
        creation_timestamp: told.creation_timestamp,
        annotations: told.annotations,
        ..ObjectMeta::default()
    })
}

impl Told {
    /// The Delivery, with as much in it as was told.
    pub(super) fn delivery(self) -> Delivery {
        let Spec { listener, listener_namespace, payload_parts, payload_digest, .. } = self.spec;
        let (verified_by, received_by) = (self.spec.verified_by, self.spec.received_by);
        let status = self.status.map(|status| DeliveryStatus {
            phase: status.phase,
            verdict: status.verdict,
            holder: status.holder,
            lease_until: status.lease_until,
            next_attempt_time: status.next_attempt_time,
            started_time: status.started_time,
            completed_time: status.completed_time,
            observed_replay: status.observed_replay,
            ..DeliveryStatus::default()
        });
        let spec = DeliverySpec {
            listener,
            listener_namespace,
            payload_parts,
            payload_digest,
            verified_by,
            received_by,
            received_time: self.spec.received_time,
            ..DeliverySpec::default()
        };
        Delivery { metadata: self.metadata, status, ..Delivery::new("", spec) }
    }

    /// Whether the engine knows all that says where a payload is; one with an older definition drops the digest.
    pub(super) fn finds_payload_of(&self, sent: &Delivery) -> bool {
        self.spec.payload_digest == sent.spec.payload_digest
    }

    /// What was sent to the engine, as it is there now: this is the answer to its create.
    pub(super) fn stored(self, sent: Delivery) -> Delivery {
        let labels = sent.metadata.labels;
        // An engine with an older definition drops the status.
        let kept = self.status.map(|status| (status.phase, status.verdict));
        let status = sent.status.filter(|status| kept == Some((status.phase, status.verdict)));
        Delivery { metadata: ObjectMeta { labels, ..self.metadata }, spec: sent.spec, status }
    }
}

impl Resource for Told {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Delivery::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Delivery::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Delivery::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Delivery::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use aphex_api::delivery::listener_namespace;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::deliveries::{claim, retention};
    use crate::inbox::Keep;

    fn stored() -> Delivery {
        let time = |second| MicroTime(Timestamp::from_second(second).unwrap());
        let signer = |name: &str| SecretKeyRef {
            namespace: "org-acme".into(),
            name: name.into(),
            key: "secret".into(),
        };
        let spec = DeliverySpec {
            listener: "github-listener".into(),
            listener_namespace: "org-acme".into(),
            payload_parts: 2,
            payload_digest: "0f".repeat(32),
            verified_by: vec![signer("one"), signer("other")],
            received_by: "gateway-0".into(),
            received_time: Some(time(1000)),
            ..DeliverySpec::default()
        };
        let mut delivery = Delivery::new("d", spec);
        delivery.metadata.namespace = Some("web".into());
        delivery.metadata.uid = Some("u".into());
        delivery.metadata.resource_version = Some("7".into());
        delivery.metadata.annotations =
            Some([("platform.aphex/replay".to_owned(), "again".to_owned())].into());
        delivery.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        delivery.status = Some(DeliveryStatus {
            phase: DeliveryPhase::Processing,
            holder: Some("gateway-1".into()),
            lease_until: Some(time(1010)),
            started_time: Some(time(1001)),
            completed_time: Some(time(1002)),
            next_attempt_time: Some(time(1020)),
            observed_replay: Some("before".into()),
            ..DeliveryStatus::default()
        });
        delivery
    }

    fn told(delivery: &Delivery) -> Told {
        let mut value = serde_json::to_value(delivery).unwrap();
        value["metadata"]["managedFields"] = json!([{ "manager": "m", "fieldsV1": { "f:spec": {} } }]);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_decides_when_and_how_long_is_told() {
        let now = Timestamp::from_second(1005).unwrap();
        for phase in [DeliveryPhase::Pending, DeliveryPhase::Processing, DeliveryPhase::Done] {
            let mut whole = stored();
            whole.status.as_mut().unwrap().phase = phase;
            let read = told(&whole).delivery();
            for identity in ["gateway-0", "gateway-1"] {
                for started in [990, 1003].map(|second| Timestamp::from_second(second).unwrap()) {
                    let due = |delivery| claim::due(delivery, identity, started, now);
                    assert_eq!(due(&read), due(&whole), "{phase:?} {identity}");
                }
            }
            let index = |delivery: &Delivery| {
                let mut index = retention::Index::keeping(Keep::new(1, 1));
                index.insert(delivery);
                format!("{index:?}")
            };
            assert_eq!(index(&read), index(&whole));
            assert_eq!(listener_namespace(&read), "org-acme");
        }
        let mut bare = stored();
        bare.status = None;
        assert_eq!(told(&bare).delivery().status, None);
    }

    #[test]
    fn the_answer_to_a_create_is_what_was_sent_with_what_the_engine_gave() {
        let sent = || {
            let mut sent = stored();
            sent.metadata.uid = None;
            sent.metadata.resource_version = None;
            sent
        };
        assert_eq!(told(&stored()).stored(sent()), {
            let mut expected = stored();
            expected.metadata.managed_fields = None;
            expected
        });
        let mut dropped = stored();
        assert!(told(&dropped).finds_payload_of(&sent()));
        dropped.spec.payload_digest.clear();
        assert!(!told(&dropped).finds_payload_of(&sent()));
        dropped.status = None;
        assert_eq!(told(&dropped).stored(sent()).status, None, "the engine did not keep it");
    }
}
