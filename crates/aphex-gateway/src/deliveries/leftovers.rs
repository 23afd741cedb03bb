//! Parts of payloads whose Delivery is gone or was never stored: they are deleted. A Delivery beside them owns them, so of these
//! only those matter that it never came to own.
//!
//! ```text
//! a Delivery is deleted: by retention, by hand, with its namespace -> the watch tells -> its parts are looked at
//! nobody was watching, or who stored them died before the Delivery -> at start and each hour, old parts that no Delivery names
//! ```
//!
//! Deleting follows one order: read the parts, then see that no Delivery names them, then delete exactly what was read.
//! Storing changes each part after its Delivery is there, and stores what it misses ([`super::parts`]). So what is deleted
//! while the same event is stored anew is either refused, since the part has changed, or found missing and stored again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aphex_api::delivery::{DELIVERY_NAMESPACE_LABEL, Delivery, STORED_ANNOTATION};
use aphex_runtime::errors;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, interval_at};

use super::Deliveries;
use super::claim::later;
use super::parts::PayloadParts;
use super::retention::{exactly, gone};
use super::told::Told;

/// How often parts are looked for that no Delivery names.
const SWEEP: Duration = Duration::from_hours(1);
/// After how long those are looked at again that could not be.
const AGAIN: Duration = Duration::from_mins(1);
/// How old they are at least: far older than any that are being stored.
const UNWANTED: Duration = Duration::from_hours(1);
/// How many payloads are kept in mind, and looked at in one sweep of a namespace; the next finds the others.
const MOST: usize = 1000;

/// What deleted Deliveries leave, until it is looked at.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    told: Mutex<BTreeSet<PayloadParts>>,
    changed: Notify,
    listed: Notify,
}

impl Leftovers {
    /// A Delivery is deleted.
    pub(super) fn tell(&self, delivery: &Delivery) {
        if let Some(parts) = PayloadParts::of(delivery) {
            self.tell_of(parts);
        }
    }

    /// The Delivery of these parts is deleted.
    pub(super) fn tell_of(&self, parts: PayloadParts) {
        if !parts.is_apart() {
            return;
        }
        let mut told = self.told();
        if told.len() < MOST {
            told.insert(parts);
        }
        drop(told);
        self.changed.notify_one();
    }

    /// All Deliveries there are have been told of.
    pub(super) fn listed(&self) {
        self.listed.notify_one();
    }

    async fn next(&self) -> PayloadParts {
        loop {
            if let Some(parts) = self.told().pop_first() {
                return parts;
            }
            self.changed.notified().await;
        }
    }

    fn told(&self) -> MutexGuard<'_, BTreeSet<PayloadParts>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deliveries {
    /// Deletes what Deliveries leave, for ever.
    pub(super) async fn clear(&self) {
        self.leftovers.listed.notified().await;
        self.sweep_parts().await;
        let mut tick = interval_at(Instant::now() + SWEEP, SWEEP);
        let mut again = interval_at(Instant::now() + AGAIN, AGAIN);
        let mut left = Vec::new();
        loop {
            tokio::select! {
                parts = self.leftovers.next() => {
                    if !self.clear_away(&parts).await && left.len() < MOST {
                        left.push(parts);
                    }
                }
                _ = again.tick() => left.drain(..).for_each(|parts| self.leftovers.tell_of(parts)),
                _ = tick.tick() => self.sweep_parts().await,
            }
        }
    }

    /// Deletes parts that no Delivery names; false when that cannot be done now.
    async fn clear_away(&self, parts: &PayloadParts) -> bool {
        let cleared = self.delete_unnamed(parts).await;
        if let Err(error) = &cleared {
            tracing::warn!(
                delivery.name = %parts.of.name, delivery.namespace = %parts.of.namespace, namespace = %parts.namespace,
                error = %errors::chain(error), "parts of the payload of a Delivery that is gone cannot be deleted yet"
            );
        }
        cleared.is_ok()
    }

    /// Deletes parts, unless their Delivery is there and names them.
    async fn delete_unnamed(&self, parts: &PayloadParts) -> kube::Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &parts.namespace);
        let mut there = Vec::new();
        for (_, name) in parts.names() {
            there.extend(secrets.get_metadata_opt(&name).await?);
        }
        if there.is_empty() {
            return Ok(());
        }
        // Listed, since this may be done wherever Deliveries are; the right to read one goes with the tenant's namespace.
        let deliveries: Api<Told> = Api::namespaced(self.client.clone(), &parts.of.namespace);
        let by_name = ListParams::default().fields(&format!("metadata.name={}", parts.of.name));
        let found = deliveries.list(&by_name).await?.items;
        let mut named = found.into_iter().filter_map(|told| PayloadParts::of(&told.delivery()));
        if named.any(|named| named.same_as(parts)) {
            return Ok(());
        }
        for part in there {
            let as_read = exactly(part.uid(), part.resource_version());
            gone(secrets.delete(&part.name_any(), &as_read).await)?;
        }
        tracing::debug!(
            delivery.name = %parts.of.name, delivery.namespace = %parts.of.namespace, namespace = %parts.namespace,
            "parts of a payload that no Delivery names are deleted"
        );
        Ok(())
    }

    /// Looks for parts that no Delivery names, in namespaces of listeners that listen for others.
    async fn sweep_parts(&self) {
        for namespace in self.decider.namespaces_of_shared_listeners() {
            match self.unnamed(&namespace).await {
                Ok(unnamed) => {
                    for parts in unnamed {
                        self.clear_away(&parts).await;
                    }
                }
                Err(error) => tracing::warn!(
                    namespace = %namespace, error = %errors::chain(&error),
                    "parts of payloads that no Delivery names cannot be looked for; if a right is missing, apply \
                     platform/gateway and platform/controller of this release"
                ),
            }
        }
    }

    /// Payloads with old parts that no known Delivery names.
    async fn unnamed(&self, namespace: &str) -> kube::Result<Vec<PayloadParts>> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        // From the API server's memory: each is read anew before it is deleted.
        let labelled = ListParams::default().labels(DELIVERY_NAMESPACE_LABEL).match_any();
        let found = secrets.list_metadata(&labelled).await?.items;
        let now = self.clock.now();
        let old = found.iter().map(|part| &part.metadata).filter(|part| is_old(part, now));
        let index = self.index();
        let unnamed = old.filter_map(PayloadParts::told_by).filter(|parts| !index.names(parts));
        Ok(payloads(unnamed.collect()))
    }
}

/// The last part of each payload, which tells of those before it.
fn payloads(mut parts: Vec<PayloadParts>) -> Vec<PayloadParts> {
    parts.sort();
    parts.reverse();
    parts.dedup_by(|before, last| before.same_as(last));
    parts.truncate(MOST);
    parts
}

/// Whether whoever stored a part has long been done.
fn is_old(part: &ObjectMeta, now: Timestamp) -> bool {
    let told = part.annotations.as_ref().and_then(|all| all.get(STORED_ANNOTATION));
    let created = part.creation_timestamp.as_ref().map(|time| time.0);
    let stored = told.and_then(|time| time.parse().ok()).or(created);
    stored.is_some_and(|stored| now >= later(stored, UNWANTED))
}

#[cfg(test)]
mod tests {
    use aphex_api::delivery::DeliverySpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_was_stored_lately_is_left_alone() {
        let mut part = ObjectMeta { creation_timestamp: Some(Time(at(0))), ..ObjectMeta::default() };
        assert_eq!((is_old(&part, at(3599)), is_old(&part, at(3600))), (false, true));
        // Stored once more by a redelivery.
        part.annotations = Some([(STORED_ANNOTATION.to_owned(), at(3000).to_string())].into());
        assert_eq!((is_old(&part, at(6599)), is_old(&part, at(6600))), (false, true));
        assert!(!is_old(&ObjectMeta::default(), at(9999)));
    }

    #[test]
    fn the_parts_of_one_payload_are_looked_at_together() {
        let part = |name: &str, number: u32| {
            let mut delivery = Delivery::new(name, DeliverySpec::default());
            delivery.metadata.namespace = Some("web".into());
            delivery.spec.listener_namespace = "org-acme".into();
            delivery.spec.payload_parts = number;
            PayloadParts::of(&delivery).unwrap()
        };
        let found = vec![part("a", 2), part("b", 1), part("a", 1), part("a", 10)];
        assert_eq!(payloads(found), [part("b", 1), part("a", 10)]);
    }

    #[tokio::test]
    async fn only_parts_that_no_owner_reference_takes_along_are_looked_at() {
        let leftovers = Leftovers::default();
        let spec = |listener_namespace: &str, payload_parts| DeliverySpec {
            listener_namespace: listener_namespace.into(),
            payload_parts,
            ..DeliverySpec::default()
        };
        for (name, spec) in
            [("small", spec("org-acme", 0)), ("beside", spec("", 2)), ("apart", spec("org-acme", 2))]
        {
            let mut delivery = Delivery::new(name, spec);
            delivery.metadata.namespace = Some("web".into());
            leftovers.tell(&delivery);
        }
        assert_eq!(leftovers.next().await.of.name, "apart");
        assert!(leftovers.told().is_empty());
    }
}
