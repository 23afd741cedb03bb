//! Which finished Deliveries are deleted: all but the last of a listener and secret, and those that are too old.
//!
//! Those that failed are counted apart: good pushes do not throw out what somebody has to look at, nor the other way round.
//!
//! No selector of the API names exactly these, so they are deleted by name, in lots: a binding may have a few more than are
//! kept, and a push never pays for the end of another. Nor are they deleted as fast as the engine can: whoever waits for an
//! answer meanwhile would feel it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aphex_api::delivery::{Delivery, DeliveryPhase, SecretKeyRef, listener_namespace};
use aphex_runtime::errors;
use futures::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::{MissedTickBehavior, interval};

use super::Deliveries;
use super::claim::{self, later};
use super::parts::PayloadParts;
use super::queue::Key;
use crate::inbox::Keep;

/// How many more than are kept a binding may have before they are deleted together.
const LOT: usize = 20;
/// How often it is looked.
const SWEEP: Duration = Duration::from_mins(1);
/// In which time those are deleted that are found at once, if the engine can.
const SPREAD: Duration = Duration::from_secs(45);
/// The longest time between two of them.
const APART: Duration = Duration::from_millis(50);
/// Deliveries deleted at once.
const DELETIONS: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    namespace: String,
    listener: String,
    signers: Vec<SecretKeyRef>,
    failed: bool,
}

#[derive(Debug, Clone)]
struct Entry {
    group: Group,
    received: Timestamp,
    /// Since when it has been kept for its age: a replay, or a sender who sends it again, keeps it longer.
    since: Timestamp,
    finished: bool,
    parts: Option<PayloadParts>,
    uid: Option<String>,
    resource_version: Option<String>,
}

/// A Delivery to delete.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expired {
    pub(super) namespace: String,
    pub(super) name: String,
    parts: Option<PayloadParts>,
    uid: Option<String>,
    resource_version: Option<String>,
}

/// What there is, without the payloads.
#[derive(Debug)]
pub(super) struct Index {
    entries: HashMap<Key, Entry>,
    /// Parts of payloads of those that were there before all are told of anew.
    before: Vec<PayloadParts>,
    keep: Keep,
}

impl Index {
    pub(super) fn keeping(keep: Keep) -> Self {
        Self { entries: HashMap::new(), before: Vec::new(), keep }
    }

    pub(super) fn insert(&mut self, delivery: &Delivery) {
        let spec = &delivery.spec;
        let created = delivery.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let received = spec.received_time.as_ref().map(|time| time.0).or(created).unwrap_or_default();
        let completed = delivery.status.as_ref().and_then(|status| status.completed_time.as_ref());
        let since = completed.map_or(received, |time| time.0.max(received));
        let phase = delivery.status.as_ref().map(|status| status.phase);
        let key = Key::of(delivery);
        let group = Group {
            namespace: listener_namespace(delivery).to_owned(),
            listener: spec.listener.clone(),
            signers: spec.verified_by.clone(),
            failed: phase == Some(DeliveryPhase::Failed),
        };
        let decided = matches!(phase, Some(DeliveryPhase::Done | DeliveryPhase::Failed));
        let finished = decided && !claim::is_replay_open(delivery);
        let (parts, uid) = (PayloadParts::of(delivery), delivery.metadata.uid.clone());
        let resource_version = delivery.metadata.resource_version.clone();
        self.entries.insert(key, Entry { group, received, since, finished, parts, uid, resource_version });
    }

    pub(super) fn remove(&mut self, delivery: &Delivery) {
        self.entries.remove(&Key::of(delivery));
    }

    /// All that there are will be told of.
    pub(super) fn begin(&mut self) {
        self.before.extend(self.entries.drain().filter_map(|(_, entry)| entry.parts));
    }

    /// All that there are have been told of; gives the parts of those that went while nobody told.
    pub(super) fn complete(&mut self) -> Vec<PayloadParts> {
        let before = std::mem::take(&mut self.before);
        before.into_iter().filter(|parts| !self.names(parts)).collect()
    }

    /// Whether nobody has deleted it meanwhile, as far as is known.
    fn has(&self, expired: &Expired) -> bool {
        let key = Key { namespace: expired.namespace.clone(), name: expired.name.clone() };
        // Nor written to it: then it is looked at anew.
        self.entries.get(&key).is_some_and(|entry| {
            (&entry.uid, &entry.resource_version) == (&expired.uid, &expired.resource_version)
        })
    }

    /// Whether a Delivery is known whose parts these are.
    pub(super) fn names(&self, parts: &PayloadParts) -> bool {
        let named = self.entries.get(&parts.of).and_then(|entry| entry.parts.as_ref());
        named.is_some_and(|named| named.same_as(parts))
    }

    /// Finished Deliveries that are too old or too many.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<Expired> {
        let mut groups: BTreeMap<&Group, Vec<(&Key, &Entry)>> = BTreeMap::new();
        for (key, entry) in &self.entries {
            groups.entry(&entry.group).or_default().push((key, entry));
        }
        let mut expired = Vec::new();
        for (group, members) in &mut groups {
            let keep = if group.failed { self.keep.failed } else { self.keep.last };
            members.sort_by_key(|(key, entry)| (std::cmp::Reverse(entry.received), *key));
            let old = |entry: &Entry| now >= later(entry.since, self.keep.age);
            let many = members.len() >= keep.saturating_add(LOT);
            let last = if many { keep } else { usize::MAX };
            let gone =
                members.iter().enumerate().filter(|(rank, (_, e))| e.finished && (*rank >= last || old(e)));
            expired.extend(gone.map(|(_, (key, entry))| Expired {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                parts: entry.parts.clone(),
                uid: entry.uid.clone(),
                resource_version: entry.resource_version.clone(),
            }));
        }
        expired
    }
}

impl Deliveries {
    /// Deletes what is not kept, for ever: each minute, and once all Deliveries there are have been told of.
    pub(super) async fn expire(&self) {
        let mut tick = interval(SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.listed.notified() => {}
            }
            let expired = self.index().expired(self.clock.now());
            spread(expired)
                .for_each_concurrent(DELETIONS, |expired| async move { self.expire_one(&expired).await })
                .await;
        }
    }

    async fn expire_one(&self, expired: &Expired) {
        // Other replicas delete the same.
        if !self.index().has(expired) {
            return;
        }
        let Expired { namespace, name, .. } = expired;
        match delete(&self.client, expired).await {
            Ok(()) => {
                tracing::debug!(delivery.name = %name, delivery.namespace = %namespace, "delivery expired");
            }
            Err(error) => {
                tracing::warn!(
                    delivery.name = %name, delivery.namespace = %namespace, error = %errors::chain(&error),
                    "expired delivery cannot be deleted"
                );
            }
        }
    }
}

/// These, evenly over [`SPREAD`]; few come sooner, more than the engine deletes in that time as fast as it does.
fn spread<T>(all: Vec<T>) -> impl Stream<Item = T> {
    let apart = SPREAD / u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
    let mut turn = interval(apart.clamp(Duration::from_millis(1), APART));
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((turn, all.into_iter()), |(mut turn, mut rest)| async move {
        let one = rest.next()?;
        turn.tick().await;
        Some((one, (turn, rest)))
    })
}

/// Deletes a Delivery as it was looked at, and then the parts of its payload; what is gone already is fine.
///
/// One that somebody works on since, as its sender or a replay asked, has changed and stays, and so do its parts.
/// Parts in another namespace go once it is gone: see [`super::leftovers`]. So do these, should this process end in between.
pub(super) async fn delete(client: &Client, expired: &Expired) -> kube::Result<()> {
    let deliveries: Api<Delivery> = Api::namespaced(client.clone(), &expired.namespace);
    let as_seen = exactly(expired.uid.clone(), expired.resource_version.clone());
    match deliveries.delete(&expired.name, &as_seen).await {
        Err(kube::Error::Api(status)) if status.code == 409 => return Ok(()),
        deleted => gone(deleted)?,
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &expired.namespace);
    let own = expired.parts.iter().filter(|parts| !parts.is_apart());
    for (_, name) in own.flat_map(PayloadParts::names) {
        let Some(there) = secrets.get_metadata_opt(&name).await? else { continue };
        // One that nobody owns is left from a Delivery that could not take it over.
        let owners = there.owner_references();
        if owners.is_empty() || owners.iter().any(|owner| Some(&owner.uid) == expired.uid.as_ref()) {
            gone(secrets.delete(&name, &exactly(there.uid(), there.resource_version())).await)?;
        }
    }
    Ok(())
}

/// Deletes the object that was looked at, and no later one of its name.
pub(super) fn exactly(uid: Option<String>, resource_version: Option<String>) -> DeleteParams {
    DeleteParams { preconditions: Some(Preconditions { uid, resource_version }), ..DeleteParams::default() }
}

pub(super) fn gone<T>(result: kube::Result<T>) -> kube::Result<()> {
    match result {
        // Not there, or another one by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aphex_api::delivery::{DeliverySpec, DeliveryStatus, REPLAY_ANNOTATION};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use serde_json::json;

    use super::*;

    fn insert(index: &mut Index, name: &str, secret: &str, received: i64, phase: DeliveryPhase) {
        let signer = SecretKeyRef { name: secret.into(), ..SecretKeyRef::default() };
        let received = Some(MicroTime(Timestamp::from_second(received).unwrap()));
        let spec =
            DeliverySpec { verified_by: vec![signer], received_time: received, ..DeliverySpec::default() };
        let mut delivery = Delivery::new(name, spec);
        delivery.status = Some(DeliveryStatus { phase, ..DeliveryStatus::default() });
        index.insert(&delivery);
    }

    fn expired(index: &Index, now: i64) -> Vec<String> {
        index.expired(Timestamp::from_second(now).unwrap()).into_iter().map(|expired| expired.name).collect()
    }

    fn index() -> Index {
        Index::keeping(Keep::new(Keep::LAST, Keep::DAYS))
    }

    #[test]
    fn only_the_last_of_each_binding_are_kept_and_the_others_go_in_lots() {
        let mut index = index();
        for n in 0..219 {
            insert(&mut index, &format!("a-{n:03}"), "a", n, DeliveryPhase::Done);
        }
        insert(&mut index, "b", "b", 0, DeliveryPhase::Done);
        assert_eq!(expired(&index, 300), Vec::<String>::new());
        insert(&mut index, "a-219", "a", 219, DeliveryPhase::Done);
        let gone = expired(&index, 300);
        assert_eq!((gone.len(), gone[0].as_str(), gone[19].as_str()), (20, "a-019", "a-000"));
    }

    #[test]
    fn what_failed_is_counted_apart_from_what_went_well() {
        let mut index = index();
        insert(&mut index, "failed", "a", 0, DeliveryPhase::Failed);
        for n in 1..=240 {
            insert(&mut index, &format!("done-{n:03}"), "a", n, DeliveryPhase::Done);
        }
        let gone = expired(&index, 300);
        assert_eq!((gone.len(), gone[0].as_str(), gone[39].as_str()), (40, "done-040", "done-001"));
        for n in 241..=460 {
            insert(&mut index, &format!("failed-{n:03}"), "a", n, DeliveryPhase::Failed);
        }
        let gone = expired(&index, 500);
        assert_eq!(gone.iter().filter(|name| name.starts_with("done")).count(), 40, "{gone:?}");
        assert_eq!(gone.iter().filter(|name| name.starts_with("failed")).count(), 21, "{gone:?}");
        assert!(gone.contains(&"failed".to_owned()), "{gone:?}");
        let mut few = Index::keeping(Keep::new(200, 7).failed(1));
        for n in 0..21 {
            insert(&mut few, &format!("failed-{n:03}"), "a", n, DeliveryPhase::Failed);
            insert(&mut few, &format!("done-{n:03}"), "a", n, DeliveryPhase::Done);
        }
        assert_eq!(expired(&few, 300).len(), 20);
    }

    #[test]
    fn as_many_and_as_long_are_kept_as_the_operator_says() {
        let mut index = Index::keeping(Keep::new(1, 1));
        for n in 0..21 {
            insert(&mut index, &format!("a-{n:03}"), "a", n, DeliveryPhase::Done);
        }
        assert_eq!(expired(&index, 300).len(), 20);
        assert_eq!(expired(&index, 24 * 3600 + 20).len(), 21);
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_deleted_evenly_and_few_at_once() {
        for (many, seconds) in [(0, 0), (21, 1), (2_000, 44), (900_000, 899)] {
            let began = tokio::time::Instant::now();
            let mut spread = std::pin::pin!(spread((0..many).collect::<Vec<_>>()));
            let mut half = 0;
            for number in 0..many {
                assert_eq!(spread.next().await, Some(number));
                if number == many / 2 {
                    half = began.elapsed().as_secs();
                }
            }
            assert_eq!(spread.next().await, None);
            let all = began.elapsed().as_secs();
            assert_eq!(all, seconds, "{many}");
            assert!(half.abs_diff(all / 2) <= 1, "{many}: {half} s of {all} s for the first half");
        }
    }

    #[tokio::test]
    async fn only_the_object_that_has_expired_is_deleted_and_none_that_got_its_name_since() {
        type Asked = Arc<Mutex<Vec<(String, serde_json::Value)>>>;
        for code in [404, 409] {
            let asked = Asked::default();
            let seen = Arc::clone(&asked);
            let answer = move |request: http::Request<kube::client::Body>| {
                let seen = Arc::clone(&seen);
                async move {
                    let (head, body) = request.into_parts();
                    let name = head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
                    let owner = if name.ends_with('1') { "u" } else { "later" };
                    let part = json!({
                        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                        "metadata": { "name": name, "uid": format!("of-{name}"), "resourceVersion": "7", "ownerReferences": [
                            { "apiVersion": "aphex.io/v1alpha1", "kind": "Delivery", "name": "d", "uid": owner },
                        ] },
                    });
                    let (code, answer) = if head.method == http::Method::GET {
                        (200, part)
                    } else {
                        let body = body.collect_bytes().await?;
                        let body = serde_json::from_slice(&body).unwrap_or_default();
                        let is_delivery = name == "d";
                        seen.lock().unwrap().push((name, body));
                        let code = if is_delivery { code } else { 409 };
                        (
                            code,
                            json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": code }),
                        )
                    };
                    let answer = http::Response::builder().status(code).body(answer.to_string().into_bytes());
                    Ok::<_, kube::Error>(answer.unwrap_or_default().map(kube::client::Body::from))
                }
            };
            let client = Client::new(tower::service_fn(answer), "default");
            let mut delivery =
                Delivery::new("d", DeliverySpec { payload_parts: 2, ..DeliverySpec::default() });
            delivery.metadata.namespace = Some("web".into());
            let expired = Expired {
                namespace: "web".into(),
                name: "d".into(),
                parts: PayloadParts::of(&delivery),
                uid: Some("u".into()),
                resource_version: Some("5".into()),
            };
            delete(&client, &expired).await.unwrap();
            let asked = asked.lock().unwrap();
            let asked: Vec<(&str, &serde_json::Value)> =
                asked.iter().map(|(name, body)| (name.as_str(), &body["preconditions"])).collect();
            let part = json!({ "uid": "of-d-payload-1", "resourceVersion": "7" });
            let own = json!({ "uid": "u", "resourceVersion": "5" });
            let all = [("d", &own), ("d-payload-1", &part)];
            assert_eq!(asked, all[..if code == 409 { 1 } else { 2 }], "one that has changed keeps its parts");
        }
    }

    #[test]
    fn what_is_to_be_replayed_is_not_deleted() {
        let mut index = index();
        let spec =
            DeliverySpec { received_time: Some(MicroTime(Timestamp::UNIX_EPOCH)), ..DeliverySpec::default() };
        let mut asked = Delivery::new("asked", spec);
        asked.metadata.annotations = Some([(REPLAY_ANNOTATION.to_owned(), "1".to_owned())].into());
        for (observed, gone) in [(None, 0), (Some("1".to_owned()), 1)] {
            let status = DeliveryStatus {
                phase: DeliveryPhase::Done,
                observed_replay: observed,
                ..Default::default()
            };
            asked.status = Some(status);
            index.insert(&asked);
            assert_eq!(expired(&index, 8 * 24 * 3600).len(), gone);
        }
    }

    #[test]
    fn what_another_replica_deleted_is_not_there_any_more() {
        let mut index = Index::keeping(Keep::new(1, 7));
        for n in 0..21 {
            insert(&mut index, &format!("a-{n:02}"), "a", n, DeliveryPhase::Done);
        }
        let expired = index.expired(Timestamp::from_second(30).unwrap());
        assert!(expired.iter().all(|expired| index.has(expired)));
        index.remove(&Delivery::new("a-00", DeliverySpec::default()));
        let mut later = Delivery::new("a-01", DeliverySpec::default());
        later.metadata.uid = Some("later".into());
        index.insert(&later);
        let gone: Vec<&str> = expired.iter().filter(|e| !index.has(e)).map(|e| e.name.as_str()).collect();
        assert_eq!(gone, ["a-01", "a-00"]);
    }

    #[test]
    fn parts_in_another_namespace_are_known_by_the_delivery_that_names_them() {
        let mut index = index();
        let apart = |digest: &str| {
            let spec = DeliverySpec {
                listener_namespace: "org-acme".into(),
                payload_parts: 2,
                payload_digest: digest.into(),
                ..DeliverySpec::default()
            };
            let mut delivery = Delivery::new("d", spec);
            delivery.metadata.namespace = Some("web".into());
            delivery
        };
        let parts = PayloadParts::of(&apart("one")).unwrap();
        assert!(!index.names(&parts));
        index.insert(&apart("two"));
        assert!(!index.names(&parts));
        index.insert(&apart("one"));
        assert!(index.names(&parts));
    }

    #[test]
    fn parts_of_what_went_while_nobody_told_are_found() {
        let mut index = index();
        let named = |name: &str| {
            let spec = DeliverySpec {
                listener_namespace: "org-acme".into(),
                payload_parts: 2,
                ..DeliverySpec::default()
            };
            let mut delivery = Delivery::new(name, spec);
            delivery.metadata.namespace = Some("web".into());
            delivery
        };
        for name in ["stays", "goes"] {
            index.insert(&named(name));
        }
        index.begin();
        index.insert(&named("stays"));
        assert_eq!(index.complete(), [PayloadParts::of(&named("goes")).unwrap()]);
        assert_eq!(index.complete(), []);
    }

    #[test]
    fn what_was_decided_anew_is_kept_as_long_once_more() {
        let mut index = index();
        let week = 7 * 24 * 3600;
        insert(&mut index, "once", "a", 0, DeliveryPhase::Failed);
        let received = Some(MicroTime(Timestamp::from_second(0).unwrap()));
        let mut again =
            Delivery::new("again", DeliverySpec { received_time: received, ..DeliverySpec::default() });
        again.status = Some(DeliveryStatus {
            phase: DeliveryPhase::Done,
            completed_time: Some(MicroTime(Timestamp::from_second(week - 1).unwrap())),
            ..DeliveryStatus::default()
        });
        index.insert(&again);
        assert_eq!(expired(&index, week), ["once"]);
        assert_eq!(expired(&index, 2 * week - 1), ["again", "once"]);
    }

    #[test]
    fn what_has_no_verdict_is_never_deleted() {
        let mut index = index();
        let week = 7 * 24 * 3600;
        insert(&mut index, "waiting", "a", 0, DeliveryPhase::Pending);
        insert(&mut index, "done", "a", 0, DeliveryPhase::Done);
        insert(&mut index, "failed", "a", 1, DeliveryPhase::Failed);
        assert_eq!(expired(&index, week - 1), Vec::<String>::new());
        assert_eq!(expired(&index, week), ["done"]);
        assert_eq!(expired(&index, week + 1), ["done", "failed"]);
    }
}
