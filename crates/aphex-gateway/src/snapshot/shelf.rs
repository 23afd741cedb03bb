//! Objects of one kind by namespace and name, which a watch keeps current.
//!
//! Looking into one namespace costs what is in it, however many others there are: every event does so several times.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use aphex_runtime::watches::LONGEST;
use futures::future::BoxFuture;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// After so long an interrupted watch counts as whole: one that resumes where it ended tells nothing of it, and one that breaks
/// again says so within that time.
const RESUMED: Duration = LONGEST.saturating_add(Duration::from_secs(1));

type Namespaces<K> = HashMap<String, BTreeMap<String, Arc<K>>>;

/// Read by everybody; filled by its [`Writer`].
pub(super) struct Shelf<K> {
    namespaces: Arc<RwLock<Namespaces<K>>>,
    listed: watch::Receiver<bool>,
    interrupted: watch::Receiver<Option<Instant>>,
}

// By hand: a copy of the handle needs no copy of the objects.
impl<K> Clone for Shelf<K> {
    fn clone(&self) -> Self {
        Self {
            namespaces: Arc::clone(&self.namespaces),
            listed: self.listed.clone(),
            interrupted: self.interrupted.clone(),
        }
    }
}

impl<K> std::fmt::Debug for Shelf<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shelf")
    }
}

/// The one that a watch writes to.
pub(super) struct Writer<K> {
    namespaces: Arc<RwLock<Namespaces<K>>>,
    /// What a list has brought so far.
    listing: Namespaces<K>,
    listed: watch::Sender<bool>,
    interrupted: watch::Sender<Option<Instant>>,
}

/// An empty shelf.
pub(super) fn shelf<K>() -> (Shelf<K>, Writer<K>) {
    let (told, listed) = watch::channel(false);
    let (breaks, interrupted) = watch::channel(None);
    let namespaces = Arc::default();
    let shelf = Shelf { namespaces: Arc::clone(&namespaces), listed, interrupted };
    (shelf, Writer { namespaces, listing: HashMap::new(), listed: told, interrupted: breaks })
}

impl<K> Shelf<K> {
    /// Waits until a list is complete; false when the watch has ended before.
    pub(super) async fn listed(&self) -> bool {
        self.listed.clone().wait_for(|listed| *listed).await.is_ok()
    }

    /// Resolves when the watch is whole again; nothing where it is not known to be interrupted.
    pub(super) fn behind(&self) -> Option<BoxFuture<'static, ()>> {
        let mut interrupted = self.interrupted.clone();
        let at = (*interrupted.borrow_and_update())?;
        let longest = (at + RESUMED).saturating_duration_since(Instant::now());
        if longest.is_zero() {
            return None;
        }
        Some(Box::pin(async move {
            // Also when it has ended.
            let _ = timeout(longest, interrupted.wait_for(Option::is_none)).await;
        }))
    }

    /// One object; cluster-scoped ones are in the namespace without a name.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.read().get(namespace)?.get(name).cloned()
    }

    /// The objects of one namespace, by name.
    pub(super) fn within(&self, namespace: &str) -> Vec<Arc<K>> {
        self.read().get(namespace).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
    }

    /// All objects, by namespace and name.
    pub(super) fn all(&self) -> Vec<Arc<K>> {
        let namespaces = self.read();
        let mut names: Vec<&String> = namespaces.keys().collect();
        names.sort();
        names.iter().filter_map(|name| namespaces.get(*name)).flat_map(BTreeMap::values).cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Namespaces<K>> {
        self.namespaces.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource> Writer<K> {
    /// The watch broke, and is begun again.
    pub(super) fn interrupted(&mut self) {
        self.interrupted.send_replace(Some(Instant::now()));
    }

    /// Takes over what a watch says; a list replaces everything once it is complete.
    pub(super) fn apply(&mut self, event: Event<K>) {
        if !matches!(event, Event::Init | Event::InitApply(_)) {
            self.interrupted.send_if_modified(|interrupted| interrupted.take().is_some());
        }
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => put(&mut self.listing, object),
            Event::InitDone => {
                let listing = std::mem::take(&mut self.listing);
                *self.namespaces.write().unwrap_or_else(PoisonError::into_inner) = listing;
                self.listed.send_replace(true);
            }
            Event::Apply(object) => {
                put(&mut self.namespaces.write().unwrap_or_else(PoisonError::into_inner), object);
            }
            Event::Delete(object) => {
                let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
                let namespace = object.namespace().unwrap_or_default();
                if let Some(objects) = namespaces.get_mut(&namespace) {
                    objects.remove(&object.name_any());
                    if objects.is_empty() {
                        namespaces.remove(&namespace);
                    }
                }
            }
        }
    }
}

fn put<K: Resource>(namespaces: &mut Namespaces<K>, object: K) {
    let objects = namespaces.entry(object.namespace().unwrap_or_default()).or_default();
    objects.insert(object.name_any(), Arc::new(object));
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn map(namespace: &str, name: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.namespace = Some(namespace.to_owned());
        map.metadata.name = Some(name.to_owned());
        map
    }

    fn names(objects: &[Arc<ConfigMap>]) -> Vec<String> {
        objects.iter().map(|o| format!("{}/{}", o.namespace().unwrap(), o.name_any())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_broke_lacks_something_until_it_tells_or_was_quiet() {
        let (shelf, mut writer) = shelf::<ConfigMap>();
        writer.apply(Event::Init);
        writer.apply(Event::InitDone);
        assert!(shelf.behind().is_none());
        for whole in [Event::InitDone, Event::Apply(map("a", "one")), Event::Delete(map("a", "one"))] {
            writer.interrupted();
            writer.apply(Event::Init);
            let behind = shelf.behind().unwrap();
            assert!(timeout(Duration::from_secs(1), behind).await.is_err(), "it waits");
            let behind = shelf.behind().unwrap();
            writer.apply(whole);
            assert!(timeout(Duration::ZERO, behind).await.is_ok());
            assert!(shelf.behind().is_none());
        }
        writer.interrupted();
        let (began, behind) = (Instant::now(), shelf.behind().unwrap());
        behind.await;
        assert_eq!(began.elapsed(), RESUMED);
        assert!(shelf.behind().is_none());
    }

    #[tokio::test]
    async fn a_list_replaces_what_was_there_once_it_is_complete() {
        let (shelf, mut writer) = shelf();
        writer.apply(Event::Init);
        writer.apply(Event::InitApply(map("b", "two")));
        writer.apply(Event::InitApply(map("a", "one")));
        assert!(shelf.all().is_empty());
        writer.apply(Event::InitDone);
        assert!(shelf.listed().await);
        assert_eq!(names(&shelf.all()), ["a/one", "b/two"]);
        writer.apply(Event::Apply(map("b", "again")));
        writer.apply(Event::Delete(map("b", "two")));
        writer.apply(Event::Delete(map("b", "unknown")));
        assert_eq!(names(&shelf.within("b")), ["b/again"]);
        writer.apply(Event::Init);
        writer.apply(Event::InitApply(map("a", "three")));
        assert!(shelf.get("a", "one").is_some(), "the last list counts until the next is complete");
        writer.apply(Event::InitDone);
        assert_eq!(names(&shelf.all()), ["a/three"]);
        drop(writer);
        assert!(shelf.listed().await, "what was listed stays");
    }

    #[tokio::test]
    async fn a_watch_that_ends_before_its_list_is_told() {
        let (shelf, writer) = shelf::<ConfigMap>();
        drop(writer);
        assert!(!shelf.listed().await);
    }
}
