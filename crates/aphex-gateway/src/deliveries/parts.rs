//! The Secrets that hold a payload too large for one object: their names, whose they are, how they are written and read.
//!
//! ```text
//! Delivery beside its listener      has the first part; the rest: Secrets <name>-payload-<n> beside it, which it owns
//! Delivery in a tenant's namespace  has none; all of it: Secrets delivery-payload-<hash>-<n> beside the listener
//! ```
//!
//! Pipelines read the Secrets of a tenant's namespace, so no part lies there. What a Delivery there says proves nothing,
//! so the hash is made of its namespace, its name and the digest of its payload: whoever makes one up names Secrets that
//! nobody wrote, unless he knows the payload of that very Delivery. What is read is compared with the digest.
//! Owner references do not cross namespaces: how these Secrets go is in [`super::leftovers`].

use std::collections::BTreeMap;

use aphex_api::delivery::{
    DELIVERY_LABEL, DELIVERY_NAMESPACE_LABEL, DELIVERY_UID_ANNOTATION, Delivery, STORED_ANNOTATION,
    listener_namespace,
};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource as _};
use serde_json::json;

use super::FIELD_MANAGER;
use super::payload::{Packed, UnpackError};
use super::queue::Key;
use crate::templates::hex;

/// The type of the Secrets.
const SECRET_TYPE: &str = "aphex.io/delivery-payload";
const KEY: &str = "payload";
/// What names of parts begin with whose Delivery is elsewhere; no name of the other form does so and goes on with a hash.
const APART: &str = "delivery-payload-";
/// How much of the hash is in a name.
const HASH: usize = 40;
/// How often a part is stored anew that somebody deletes or changes meanwhile.
const LOOKS: usize = 3;
/// The most that there are, as the definition of Delivery says.
const MOST: u32 = 64;

/// The parts of one Delivery's payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PayloadParts {
    /// The Delivery.
    pub(super) of: Key,
    /// Namespace of the Secrets: the listener's.
    pub(super) namespace: String,
    stem: String,
    count: u32,
}

impl PayloadParts {
    /// The parts that a Delivery names; nothing where it holds its payload itself.
    pub(super) fn of(delivery: &Delivery) -> Option<Self> {
        let count = delivery.spec.payload_parts.min(MOST);
        if count == 0 {
            return None;
        }
        let (of, namespace) = (Key::of(delivery), listener_namespace(delivery).to_owned());
        let stem = if of.namespace == namespace {
            beside(&of)
        } else {
            // No slash is in any of the three.
            let all = format!("{}/{}/{}", of.namespace, of.name, delivery.spec.payload_digest);
            format!("{APART}{}", &hex(&all)[..HASH])
        };
        Some(Self { of, namespace, stem, count })
    }

    /// The part that a Secret is by name and labels, with those before it.
    pub(super) fn told_by(secret: &ObjectMeta) -> Option<Self> {
        let label = |key: &str| secret.labels.as_ref()?.get(key).cloned();
        let (stem, number) = secret.name.as_deref()?.rsplit_once('-')?;
        let parts = Self {
            of: Key { namespace: label(DELIVERY_NAMESPACE_LABEL)?, name: label(DELIVERY_LABEL)? },
            namespace: secret.namespace.clone()?,
            stem: stem.to_owned(),
            count: number.parse().ok()?,
        };
        let known = if parts.is_apart() { stem.starts_with(APART) } else { stem == beside(&parts.of) };
        (known && parts.count <= MOST).then_some(parts)
    }

    /// Whether the Delivery is in another namespace.
    pub(super) fn is_apart(&self) -> bool {
        self.of.namespace != self.namespace
    }

    /// Whether both are parts of the same payload of the same Delivery.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        (&self.of, &self.namespace, &self.stem) == (&other.of, &other.namespace, &other.stem)
    }

    /// Number and name of each Secret.
    pub(super) fn names(&self) -> impl Iterator<Item = (u32, String)> {
        (1..=self.count).map(|number| (number, format!("{}-{number}", self.stem)))
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let Key { namespace, name } = self.of.clone();
        [(DELIVERY_NAMESPACE_LABEL.to_owned(), namespace), (DELIVERY_LABEL.to_owned(), name)].into()
    }

    /// What goes into the Secrets, in order.
    fn texts<'a>(&self, packed: &'a Packed) -> impl Iterator<Item = &'a str> {
        let first = self.is_apart().then_some(packed.first.as_str());
        first.into_iter().chain(packed.rest.iter().map(String::as_str))
    }

    fn secrets(&self, client: &Client) -> Api<Secret> {
        Api::namespaced(client.clone(), &self.namespace)
    }

    /// Stores them, before the Delivery itself; false where another payload's parts have the names.
    pub(super) async fn store(&self, client: &Client, packed: &Packed, now: Timestamp) -> kube::Result<bool> {
        for ((_, name), text) in self.names().zip(self.texts(packed)) {
            if !self.put(client, &name, text, now).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Stores a part; false where its name is another payload's.
    async fn put(&self, client: &Client, name: &str, text: &str, now: Timestamp) -> kube::Result<bool> {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(self.labels()),
            annotations: Some([(STORED_ANNOTATION.to_owned(), now.to_string())].into()),
            ..ObjectMeta::default()
        };
        let secret = Secret {
            metadata,
            type_: Some(SECRET_TYPE.to_owned()),
            data: Some([(KEY.to_owned(), ByteString(text.as_bytes().to_vec()))].into()),
            ..Secret::default()
        };
        let secrets = self.secrets(client);
        if self.is_apart() {
            let params = PatchParams::apply(FIELD_MANAGER).force();
            return secrets.patch(name, &params, &Patch::Apply(&secret)).await.map(|_| true);
        }
        // Such a name says nothing of the payload: two events may have one id, and come at once.
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        for _ in 0..LOOKS {
            match secrets.create(&params, &secret).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                created => return created.map(|_| true),
            }
            let Some(there) = secrets.get_opt(name).await? else { continue };
            let version = there.metadata.resource_version.clone();
            if self.text_of(there).is_none_or(|there| there != text) {
                return Ok(false);
            }
            // One that a Delivery left which is gone must not go with it any more.
            let keep = json!({ "metadata": {
                "resourceVersion": version,
                "annotations": { STORED_ANNOTATION: now.to_string() },
                "ownerReferences": null,
            } });
            match secrets.patch(name, &PatchParams::default(), &Patch::Merge(keep)).await {
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                kept => return kept.map(|_| true),
            }
        }
        // Whoever has it is at it now.
        Ok(false)
    }

    /// Ties them to their Delivery, once it is stored.
    ///
    /// It owns those beside it. The others are changed, so that whoever has read them before deletes none of them.
    pub(super) async fn adopt(
        &self,
        client: &Client,
        delivery: &Delivery,
        packed: &Packed,
        now: Timestamp,
    ) -> kube::Result<()> {
        let tie = if self.is_apart() {
            json!({ "annotations": { DELIVERY_UID_ANNOTATION: delivery.metadata.uid } })
        } else {
            json!({ "ownerReferences": [delivery.owner_ref(&())] })
        };
        let tie = Patch::Merge(json!({ "metadata": tie }));
        for ((_, name), text) in self.names().zip(self.texts(packed)) {
            match self.secrets(client).patch(&name, &PatchParams::default(), &tie).await {
                // Taken for one that nobody wants while the Delivery was not there yet.
                Err(kube::Error::Api(status)) if status.code == 404 && self.is_apart() => {
                    self.put(client, &name, text, now).await.map(drop)?;
                }
                tied => tied.map(drop)?,
            }
        }
        Ok(())
    }

    /// Stores those again that somebody has deleted.
    pub(super) async fn mend(&self, client: &Client, packed: &Packed, now: Timestamp) -> kube::Result<()> {
        for ((_, name), text) in self.names().zip(self.texts(packed)) {
            if self.secrets(client).get_metadata_opt(&name).await?.is_none() {
                self.put(client, &name, text, now).await?;
            }
        }
        Ok(())
    }

    /// Whether what is there of the parts of a Delivery beside its listener is of this payload; stores those again that are not.
    pub(super) async fn mend_beside(
        &self,
        client: &Client,
        delivery: &Delivery,
        packed: &Packed,
        now: Timestamp,
    ) -> kube::Result<bool> {
        let count = u32::try_from(packed.rest.len()).unwrap_or(u32::MAX);
        if (&delivery.spec.payload, self.count) != (&packed.first, count) {
            return Ok(false);
        }
        let mut missing = Vec::new();
        for ((_, name), text) in self.names().zip(self.texts(packed)) {
            match self.secrets(client).get_opt(&name).await? {
                None => missing.push((name, text)),
                Some(there) => {
                    if self.text_of(there).is_none_or(|there| there != text) {
                        return Ok(false);
                    }
                }
            }
        }
        for (name, text) in &missing {
            if !self.put(client, name, text, now).await? {
                return Ok(false);
            }
        }
        if !missing.is_empty() {
            self.adopt(client, delivery, packed, now).await?;
        }
        Ok(true)
    }

    /// What they hold, joined.
    pub(super) async fn read(&self, client: &Client) -> Result<String, UnpackError> {
        let mut text = String::new();
        for (number, name) in self.names() {
            let found = self.secrets(client).get_opt(&name).await;
            let secret = found.map_err(|error| self.unreadable(number, error))?;
            let part = secret.and_then(|secret| self.text_of(secret)).ok_or(UnpackError::Missing(number))?;
            text.push_str(&part);
        }
        Ok(text)
    }

    /// What a Secret holds, if it is one of these.
    fn text_of(&self, secret: Secret) -> Option<String> {
        let labels = secret.metadata.labels.unwrap_or_default();
        let own = self.labels().iter().all(|(key, value)| labels.get(key) == Some(value));
        if secret.type_.as_deref() != Some(SECRET_TYPE) || (self.is_apart() && !own) {
            return None;
        }
        String::from_utf8(secret.data?.remove(KEY)?.0).ok()
    }

    fn unreadable(&self, number: u32, error: kube::Error) -> UnpackError {
        match error {
            kube::Error::Api(status) if status.code == 403 => UnpackError::Refused {
                namespace: self.namespace.clone(),
                source: Box::new(kube::Error::Api(status)),
            },
            error => UnpackError::Part(number, Box::new(error)),
        }
    }
}

/// What names of the parts begin with that lie beside their Delivery.
fn beside(delivery: &Key) -> String {
    format!("{}-payload", delivery.name)
}

#[cfg(test)]
mod tests {
    use aphex_api::delivery::DeliverySpec;

    use super::*;
    use crate::deliveries::payload::Mark;

    fn delivery(namespace: &str, name: &str, listener_namespace: &str, digest: &str) -> Delivery {
        let spec = DeliverySpec {
            listener_namespace: listener_namespace.into(),
            payload_parts: 2,
            payload_digest: digest.into(),
            ..DeliverySpec::default()
        };
        let mut delivery = Delivery::new(name, spec);
        delivery.metadata.namespace = Some(namespace.into());
        delivery
    }

    fn names(delivery: &Delivery) -> Vec<String> {
        PayloadParts::of(delivery).unwrap().names().map(|(_, name)| name).collect()
    }

    fn secret(parts: &PayloadParts, name: &str, text: &str) -> Secret {
        Secret {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some(parts.namespace.clone()),
                labels: Some(parts.labels()),
                ..ObjectMeta::default()
            },
            type_: Some(SECRET_TYPE.into()),
            data: Some([(KEY.to_owned(), ByteString(text.into()))].into()),
            ..Secret::default()
        }
    }

    #[test]
    fn a_delivery_beside_its_listener_names_the_parts_that_it_owns() {
        let beside = delivery("org-acme", "one", "", "");
        assert_eq!(names(&beside), ["one-payload-1", "one-payload-2"]);
        assert!(!PayloadParts::of(&beside).unwrap().is_apart());
    }

    #[test]
    fn whoever_makes_a_delivery_up_names_nobody_elses_parts() {
        let own = delivery("web", "one", "org-acme", "d1");
        let parts = PayloadParts::of(&own).unwrap();
        assert_eq!((parts.namespace.as_str(), parts.is_apart()), ("org-acme", true));
        for other in [
            delivery("thief", "one", "org-acme", "d1"),
            delivery("web", "two", "org-acme", "d1"),
            delivery("web", "one", "org-acme", "d2"),
            // Beside the listener, under whatever name a sender gives his events.
            delivery("org-acme", "one", "", "d1"),
            delivery("org-acme", names(&own)[0].trim_end_matches("-1"), "", ""),
            delivery("org-acme", &names(&own)[0], "", ""),
        ] {
            let theirs = names(&other);
            assert!(!names(&own).iter().any(|name| theirs.contains(name)), "{other:?}");
            assert!(!PayloadParts::of(&other).unwrap().same_as(&parts));
        }
    }

    #[test]
    fn a_secret_that_is_none_of_the_parts_is_not_read() {
        let parts = PayloadParts::of(&delivery("web", "one", "org-acme", "d1")).unwrap();
        let good = secret(&parts, "s", "text");
        assert_eq!(parts.text_of(good.clone()).as_deref(), Some("text"));
        assert_eq!(parts.text_of(Secret { type_: Some("Opaque".into()), ..good.clone() }), None);
        let theirs = PayloadParts::of(&delivery("thief", "one", "org-acme", "d1")).unwrap();
        assert_eq!(theirs.text_of(good), None);
    }

    #[test]
    fn a_secret_tells_whose_part_it_is() {
        let parts = PayloadParts::of(&delivery("web", "one", "org-acme", "d1")).unwrap();
        let last = parts.names().last().unwrap().1;
        let told = PayloadParts::told_by(&secret(&parts, &last, "").metadata);
        assert_eq!(told.as_ref(), Some(&parts));
        let first = parts.names().next().unwrap().1;
        assert!(PayloadParts::told_by(&secret(&parts, &first, "").metadata).unwrap().same_as(&parts));
        for foreign in ["one-payload-1", "delivery-payload-x", "delivery-payload-x-65", "org-secrets"] {
            assert_eq!(PayloadParts::told_by(&secret(&parts, foreign, "").metadata), None, "{foreign}");
        }
        let own = PayloadParts::of(&delivery("org-acme", "one", "", "")).unwrap();
        for (name, told) in
            [("one-payload-2", true), ("two-payload-2", false), ("delivery-payload-x-1", false)]
        {
            let of = PayloadParts::told_by(&secret(&own, name, "").metadata);
            assert_eq!(of.is_some_and(|of| of == own), told, "{name}");
        }
        let mut bare = secret(&parts, &last, "").metadata;
        bare.labels = None;
        assert_eq!(PayloadParts::told_by(&bare), None);
    }

    #[test]
    fn the_first_part_is_among_the_secrets_where_the_delivery_has_none() {
        let packed = Packed { first: "a".into(), rest: vec!["b".into(), "c".into()], mark: Mark::default() };
        let texts = |delivery: &Delivery| {
            PayloadParts::of(delivery).unwrap().texts(&packed).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(texts(&delivery("web", "one", "org-acme", "d1")), ["a", "b", "c"]);
        assert_eq!(texts(&delivery("org-acme", "one", "", "")), ["b", "c"]);
    }
}
