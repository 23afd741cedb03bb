//! The objects of a controller as its watch knows them, found by what they refer to without a look at all others.
//!
//! What a pass costs must not depend on how many objects there are. So nothing here goes through all of them: an object
//! has tags, such as the organization that it names, and is found by these.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Resource, ResourceExt as _};

/// Namespace and name.
type Name = (String, String);

/// The objects of a controller as its watch knows them; clones share them.
#[derive(Clone)]
pub struct Known<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + 'static,
{
    store: Store<K>,
    tags: Arc<RwLock<Tags>>,
}

#[derive(Debug, Default)]
struct Tags {
    by_tag: BTreeMap<String, BTreeSet<Name>>,
    by_name: HashMap<Name, Vec<String>>,
    complete: bool,
}

impl Tags {
    fn put(&mut self, name: Name, tags: Vec<String>) {
        if self.by_name.get(&name) == Some(&tags) {
            return;
        }
        self.remove(&name);
        for tag in &tags {
            self.by_tag.entry(tag.clone()).or_default().insert(name.clone());
        }
        self.by_name.insert(name, tags);
    }

    fn remove(&mut self, name: &Name) {
        for tag in self.by_name.remove(name).into_iter().flatten() {
            if let Some(names) = self.by_tag.get_mut(&tag) {
                names.remove(name);
                if names.is_empty() {
                    self.by_tag.remove(&tag);
                }
            }
        }
    }
}

impl<K> Known<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + 'static,
{
    pub(super) fn new(store: Store<K>) -> Self {
        Self { store, tags: Arc::default() }
    }

    /// Takes in what the watch tells; the store has taken it in before.
    pub(super) fn see(&self, event: &watcher::Event<K>, tags: impl Fn(&K) -> Vec<String>) {
        let mut known = self.tags.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            watcher::Event::Init => {}
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                known.put(name(object), tags(object));
            }
            watcher::Event::Delete(object) => known.remove(&name(object)),
            watcher::Event::InitDone => {
                // What went while nobody watched.
                let gone = |name: &&Name| self.store.get(&reference::<K>(name)).is_none();
                let gone: Vec<Name> = known.by_name.keys().filter(gone).cloned().collect();
                for name in &gone {
                    known.remove(name);
                }
                known.complete = true;
            }
        }
    }

    /// Whether all objects are known that there are.
    pub(crate) fn is_complete(&self) -> bool {
        self.tags.read().unwrap_or_else(PoisonError::into_inner).complete
    }

    /// An object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// The objects that have a tag.
    pub(crate) fn tagged(&self, tag: &str) -> Vec<Arc<K>> {
        let known = self.tags.read().unwrap_or_else(PoisonError::into_inner);
        self.objects(known.by_tag.get(tag).into_iter().flatten())
    }

    /// The objects that have a tag which begins so.
    pub(crate) fn tagged_below(&self, start: &str) -> Vec<Arc<K>> {
        let known = self.tags.read().unwrap_or_else(PoisonError::into_inner);
        let tags = known.by_tag.range(start.to_owned()..).take_while(|(tag, _)| tag.starts_with(start));
        self.objects(tags.flat_map(|(_, names)| names))
    }

    fn objects<'a>(&self, names: impl Iterator<Item = &'a Name>) -> Vec<Arc<K>> {
        names.filter_map(|name| self.store.get(&reference::<K>(name))).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }
}

fn name<K: Resource>(object: &K) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn reference<K>(name: &Name) -> ObjectRef<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K::DynamicType: Eq + Hash,
{
    ObjectRef::new(&name.1).within(&name.0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::ObjectMeta;
    use kube::runtime::reflector::store;

    use super::*;

    fn object(name: &str, tag: &str) -> ConfigMap {
        let labels = BTreeMap::from([("tag".to_owned(), tag.to_owned())]);
        let (name, namespace) = (Some(name.to_owned()), Some("here".to_owned()));
        ConfigMap {
            metadata: ObjectMeta { name, namespace, labels: Some(labels), ..ObjectMeta::default() },
            ..ConfigMap::default()
        }
    }

    #[test]
    fn objects_are_found_by_the_tags_that_they_have_now() {
        let (reader, mut writer) = store::<ConfigMap>();
        let known = Known::new(reader);
        let mut tell = |event: watcher::Event<ConfigMap>| {
            writer.apply_watcher_event(&event);
            known.see(&event, |object| object.labels().values().cloned().collect());
        };
        let names = |found: Vec<Arc<ConfigMap>>| found.iter().map(|o| o.name_any()).collect::<Vec<_>>();
        tell(watcher::Event::Init);
        tell(watcher::Event::InitApply(object("a", "web")));
        tell(watcher::Event::InitApply(object("b", "web-main")));
        assert!(!known.is_complete());
        tell(watcher::Event::InitDone);
        assert!(known.is_complete());
        tell(watcher::Event::Apply(object("c", "web")));
        assert_eq!(names(known.tagged("web")), ["a", "c"]);
        assert_eq!(names(known.tagged_below("web-")), ["b"]);
        tell(watcher::Event::Apply(object("a", "other")));
        tell(watcher::Event::Delete(object("b", "web-main")));
        assert_eq!(names(known.tagged("web")), ["c"]);
        assert_eq!(names(known.tagged("other")), ["a"]);
        assert!(known.tagged_below("web-").is_empty());
        // Another list, in which one is missing.
        tell(watcher::Event::Init);
        tell(watcher::Event::InitApply(object("a", "other")));
        tell(watcher::Event::InitDone);
        assert!(known.tagged("web").is_empty() && known.get("here", "c").is_none());
        assert_eq!(names(known.tagged("other")), ["a"]);
    }
}
