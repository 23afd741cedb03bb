//! What owners own, as the watches of owned objects tell: names alone, so that a pass asks for these objects and no others.
//!
//! The engine finds objects by label among all objects of a kind, which takes ever longer as tenants become more; by name
//! it takes the same time always. Nothing is believed that is read here: every object named is asked for. A name that is
//! missing (the watch is late) costs nothing either, for what is wanted is looked for by name before it is written.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aphex_api::labels;
use kube::ResourceExt;
use kube::runtime::watcher;

use super::{Key, Kind, Owner, Place};

/// Namespace, if it is not the platform's, and name.
type OwnerName = (Option<Box<str>>, Box<str>);

/// What owners own, by kind of owner and kind of object.
#[derive(Debug, Default)]
pub struct Holdings(Mutex<HashMap<&'static str, HashMap<Kind, OfKind>>>);

/// The objects of one kind.
#[derive(Debug, Default)]
struct OfKind {
    /// Whether all were told.
    complete: bool,
    owners: HashMap<OwnerName, BTreeSet<Item>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    namespace: Option<Box<str>>,
    name: Box<str>,
}

impl Item {
    fn of(object: &impl ResourceExt) -> Self {
        Self { namespace: object.namespace().map(Into::into), name: object.name_any().into() }
    }
}

impl Holdings {
    /// Takes in what the watch of a kind tells, among objects that name a kind of owner.
    ///
    /// An object that went while nobody watched stays known until somebody asks for it.
    pub(crate) fn see<O: ResourceExt>(
        &self,
        owner_kind: &'static str,
        kind: &Kind,
        event: &watcher::Event<O>,
    ) {
        let mut holdings = self.lock();
        let known = holdings.entry(owner_kind).or_default();
        if !known.contains_key(kind) {
            known.insert(kind.clone(), OfKind::default());
        }
        let Some(known) = known.get_mut(kind) else { return };
        match event {
            watcher::Event::Init => {}
            watcher::Event::InitDone => known.complete = true,
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                if let Some(owner) = owner_name(object) {
                    known.owners.entry(owner).or_default().insert(Item::of(object));
                }
            }
            watcher::Event::Delete(object) => {
                if let Some(owner) = owner_name(object) {
                    known.remove(&owner, &Item::of(object));
                }
            }
        }
    }

    /// What an owner has in a place; nothing is known before the watch has told of all.
    pub(super) fn find(&self, owner: &Owner, place: &Place) -> Option<Vec<Key>> {
        let holdings = self.lock();
        let known = holdings.get(owner.kind)?.get(&place.kind).filter(|known| known.complete)?;
        let items = known.owners.get(&name_of(owner)).into_iter().flatten();
        let here = items.filter(|item| {
            place.namespace.is_none() || item.namespace == place.namespace.as_deref().map(Into::into)
        });
        Some(here.map(|item| key(&place.kind, item)).collect())
    }

    /// Notes that an owner has an object since it was written.
    pub(super) fn note(&self, owner: &Owner, key: &Key) {
        let mut holdings = self.lock();
        // Without a watch nobody would take it out again.
        if let Some(known) = holdings.get_mut(owner.kind).and_then(|known| known.get_mut(&key.kind)) {
            let item =
                Item { namespace: key.namespace.as_deref().map(Into::into), name: key.name.as_str().into() };
            known.owners.entry(name_of(owner)).or_default().insert(item);
        }
    }

    /// Notes that an owner has an object no more.
    pub(super) fn forget(&self, owner: &Owner, key: &Key) {
        let mut holdings = self.lock();
        if let Some(known) = holdings.get_mut(owner.kind).and_then(|known| known.get_mut(&key.kind)) {
            let item =
                Item { namespace: key.namespace.as_deref().map(Into::into), name: key.name.as_str().into() };
            known.remove(&name_of(owner), &item);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, HashMap<Kind, OfKind>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfKind {
    fn remove(&mut self, owner: &OwnerName, item: &Item) {
        if let Some(items) = self.owners.get_mut(owner) {
            items.remove(item);
            if items.is_empty() {
                self.owners.remove(owner);
            }
        }
    }
}

fn key(kind: &Kind, item: &Item) -> Key {
    Key {
        kind: kind.clone(),
        namespace: item.namespace.as_deref().map(str::to_owned),
        name: (*item.name).to_owned(),
    }
}

fn name_of(owner: &Owner) -> OwnerName {
    (owner.namespace.as_deref().map(Into::into), owner.name.as_str().into())
}

fn owner_name(object: &impl ResourceExt) -> Option<OwnerName> {
    let label = |key: &str| object.labels().get(key).map(|value| value.as_str().into());
    Some((label(labels::OWNER_NAMESPACE), label(labels::OWNER_NAME)?))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn object(name: &str, owner: &str) -> ConfigMap {
        let labels = json!({ (labels::OWNER_NAME): owner });
        serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "n", "labels": labels } }))
            .unwrap()
    }

    #[test]
    fn an_owner_has_what_the_watch_told_and_what_was_written_since() {
        let (holdings, kind) = (Holdings::default(), Kind::of::<ConfigMap>());
        let owner = Owner { kind: "Some", namespace: None, name: "mine".into(), uid: "1".into() };
        let place = Place { kind: kind.clone(), namespace: Some("n".into()) };
        let elsewhere = Place { kind: kind.clone(), namespace: Some("m".into()) };
        let names = |found: Option<Vec<Key>>| {
            found.map(|keys| keys.into_iter().map(|key| key.name).collect::<Vec<_>>())
        };
        let tell = |event| holdings.see("Some", &kind, &event);
        tell(watcher::Event::Init);
        tell(watcher::Event::InitApply(object("a", "mine")));
        tell(watcher::Event::InitApply(object("b", "yours")));
        assert_eq!(names(holdings.find(&owner, &place)), None, "more may come");
        tell(watcher::Event::InitDone);
        assert_eq!(names(holdings.find(&owner, &place)), Some(vec!["a".to_owned()]));
        assert_eq!(names(holdings.find(&owner, &elsewhere)), Some(Vec::new()));
        let written = Key { kind: kind.clone(), namespace: Some("n".into()), name: "c".into() };
        holdings.note(&owner, &written);
        tell(watcher::Event::Delete(object("a", "mine")));
        assert_eq!(names(holdings.find(&owner, &place)), Some(vec!["c".to_owned()]));
        holdings.forget(&owner, &written);
        assert_eq!(names(holdings.find(&owner, &place)), Some(Vec::new()));
    }
}
