//! Which changes wake which objects.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use aphex_api::labels;
use futures::TryStreamExt as _;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, WatchStreamExt as _, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::known::Known;
use crate::apply::Kind;
use crate::context::Context;

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
    context: Arc<Context>,
    known: Known<K>,
    kind: &'static str,
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
    pub(super) fn new(
        controller: Controller<K>,
        context: Arc<Context>,
        known: Known<K>,
        kind: &'static str,
    ) -> Self {
        Self { controller, context, known, kind }
    }

    pub(super) fn into_controller(self) -> Controller<K> {
        self.controller
    }

    /// What the controllers are given.
    pub(crate) fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }

    /// Wakes the owner of every object of these kinds that changes.
    ///
    /// Only metadata is looked at. Where somebody removes the owner's label the engine tells that the object left the
    /// selection, with the labels it had, so that change wakes the owner too.
    #[must_use]
    pub fn owned(mut self, kinds: Vec<Kind>) -> Self {
        let selector = format!("{}={}", labels::OWNER_KIND, self.kind);
        for kind in kinds {
            let api: Api<PartialObjectMeta<DynamicObject>> =
                Api::all_with(self.context.client.clone(), &kind.resource);
            let (context, owner_kind, dyntype) = (self.context(), self.kind, kind.resource.clone());
            let told = watcher(api, watcher::Config::default().labels(&selector))
                .inspect_ok(move |event| context.holdings.see(owner_kind, &kind, event))
                .touched_objects();
            let namespace = self.context.settings.platform_namespace.clone();
            let wakes = move |object: PartialObjectMeta<DynamicObject>| {
                let within = object.labels().get(labels::OWNER_NAMESPACE).unwrap_or(&namespace);
                let owner = object.labels().get(labels::OWNER_NAME);
                owner.map(|name| ObjectRef::new(name).within(within))
            };
            self.controller = self.controller.watches_stream_with(told, wakes, dyntype);
        }
        self
    }

    /// Wakes what a function of the changed object and of all our objects names.
    #[must_use]
    pub fn related<O, F, I>(self, selector: Option<&str>, wakes: F) -> Self
    where
        O: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        O::DynamicType: Default + Debug + Clone + Eq + Hash,
        F: Fn(&O, &Known<K>) -> I + Send + Sync + 'static,
        I: IntoIterator<Item = ObjectRef<K>>,
    {
        self.seen(selector, |_| {}, wakes)
    }

    /// The same, and everything that the watch tells is seen by another function before.
    #[must_use]
    pub fn seen<O, S, F, I>(self, selector: Option<&str>, see: S, wakes: F) -> Self
    where
        O: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        O::DynamicType: Default + Debug + Clone + Eq + Hash,
        S: Fn(&watcher::Event<O>) + Send + Sync + 'static,
        F: Fn(&O, &Known<K>) -> I + Send + Sync + 'static,
        I: IntoIterator<Item = ObjectRef<K>>,
    {
        let config = selector.map_or_else(watcher::Config::default, |s| watcher::Config::default().labels(s));
        self.watched(config, see, wakes)
    }

    /// The same for objects of one name alone, in all namespaces.
    #[must_use]
    pub fn related_named<O, F, I>(self, name: &str, wakes: F) -> Self
    where
        O: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        O::DynamicType: Default + Debug + Clone + Eq + Hash,
        F: Fn(&O, &Known<K>) -> I + Send + Sync + 'static,
        I: IntoIterator<Item = ObjectRef<K>>,
    {
        self.watched(watcher::Config::default().fields(&format!("metadata.name={name}")), |_| {}, wakes)
    }

    fn watched<O, S, F, I>(mut self, config: watcher::Config, see: S, wakes: F) -> Self
    where
        O: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        O::DynamicType: Default + Debug + Clone + Eq + Hash,
        S: Fn(&watcher::Event<O>) + Send + Sync + 'static,
        F: Fn(&O, &Known<K>) -> I + Send + Sync + 'static,
        I: IntoIterator<Item = ObjectRef<K>>,
    {
        let known = self.known.clone();
        let api: Api<O> = Api::all_with(self.context.client.clone(), &O::DynamicType::default());
        let told = watcher(api, config).inspect_ok(move |event| see(event)).touched_objects();
        let wakes = move |object: O| {
            let woken: BTreeSet<(String, Option<String>)> =
                wakes(&object, &known).into_iter().map(|r| (r.name, r.namespace)).collect();
            woken.into_iter().map(|(name, namespace)| {
                let reference = ObjectRef::new(&name);
                match namespace {
                    Some(namespace) => reference.within(&namespace),
                    None => reference,
                }
            })
        };
        self.controller = self.controller.watches_stream_with(told, wakes, O::DynamicType::default());
        self
    }
}
