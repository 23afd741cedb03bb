//! Which changes wake which objects.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;

use aphex_api::labels;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::apply::Kind;
use crate::context::Settings;

/// A controller under construction, and what its watches need.
pub struct Watches<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    controller: Controller<K>,
    client: Client,
    platform_namespace: String,
}

impl<K> Watches<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    pub(super) fn new(controller: Controller<K>, client: Client, settings: &Settings) -> Self {
        Self { controller, client, platform_namespace: settings.platform_namespace.clone() }
    }

    pub(super) fn into_controller(self) -> Controller<K> {
        self.controller
    }

    /// Wakes the owner of every object of these kinds that changes.
    ///
    /// Only metadata is watched. Where somebody removes the owner's label the engine tells that the object left the
    /// selection, with the labels it had, so that change wakes the owner too.
    #[must_use]
    pub fn owned(mut self, kinds: Vec<Kind>) -> Self {
        let owner_kind = K::kind(&());
        let selector = format!("{}={owner_kind}", labels::OWNER_KIND);
        for kind in kinds {
            let api: Api<PartialObjectMeta<DynamicObject>> =
                Api::all_with(self.client.clone(), &kind.resource);
            let namespace = self.platform_namespace.clone();
            self.controller = self.controller.watches_with(
                api,
                kind.resource.clone(),
                watcher::Config::default().labels(&selector),
                move |object: PartialObjectMeta<DynamicObject>| {
                    let within = object.labels().get(labels::OWNER_NAMESPACE).unwrap_or(&namespace);
                    let owner = object.labels().get(labels::OWNER_NAME);
                    owner.map(|name| ObjectRef::new(name).within(within))
                },
            );
        }
        self
    }

    /// Wakes what a function of the changed object and of all our objects names.
    #[must_use]
    pub fn related<O, F, I>(self, selector: Option<&str>, wakes: F) -> Self
    where
        O: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        O::DynamicType: Default + Debug + Clone + Eq + Hash,
        F: Fn(&O, &Store<K>) -> I + Send + Sync + 'static,
        I: IntoIterator<Item = ObjectRef<K>>,
    {
        let config = selector.map_or_else(watcher::Config::default, |s| watcher::Config::default().labels(s));
        self.watched(config, wakes)
    }

    /// The same for objects of one name alone, in all namespaces.
    #[must_use]
    pub fn related_named<O, F, I>(self, name: &str, wakes: F) -> Self
    where
        O: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        O::DynamicType: Default + Debug + Clone + Eq + Hash,
        F: Fn(&O, &Store<K>) -> I + Send + Sync + 'static,
        I: IntoIterator<Item = ObjectRef<K>>,
    {
        self.watched(watcher::Config::default().fields(&format!("metadata.name={name}")), wakes)
    }

    fn watched<O, F, I>(mut self, config: watcher::Config, wakes: F) -> Self
    where
        O: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        O::DynamicType: Default + Debug + Clone + Eq + Hash,
        F: Fn(&O, &Store<K>) -> I + Send + Sync + 'static,
        I: IntoIterator<Item = ObjectRef<K>>,
    {
        let store = self.controller.store();
        let api: Api<O> = Api::all_with(self.client.clone(), &O::DynamicType::default());
        self.controller = self.controller.watches(api, config, move |object: O| {
            let woken: BTreeSet<(String, Option<String>)> =
                wakes(&object, &store).into_iter().map(|r| (r.name, r.namespace)).collect();
            woken.into_iter().map(|(name, namespace)| {
                let reference = ObjectRef::new(&name);
                match namespace {
                    Some(namespace) => reference.within(&namespace),
                    None => reference,
                }
            })
        });
        self
    }
}
