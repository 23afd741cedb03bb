//! The objects that triggers are made of: from files, from the engine, or from the engine with those of files in place.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use aphex_api::foreign::triggers::{
    ClusterInterceptor, ClusterTriggerBinding, EventListener, EventListenerSpec, Interceptor,
    NamespaceSelector, Trigger, TriggerBinding, TriggerTemplate,
};
use aphex_gateway::problems::Checked;
use aphex_gateway::secrets::SecretCache;
use aphex_gateway::select;
use aphex_gateway::snapshot::{Objects, Snapshot};
use aphex_runtime::errors;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::commands::look::{self, text};
use crate::nearest;

/// The listener that is there when files have none.
pub(crate) const ASSUMED: &str = "github-listener";
const GROUP: &str = "triggers.tekton.dev/";
/// Versions of the group that are served.
const SERVED: [&str; 2] = ["v1alpha1", "v1beta1"];
/// The kinds of the group that have a part in what triggers do.
const KINDS: [&str; 7] = [
    "EventListener",
    "Trigger",
    "TriggerBinding",
    "ClusterTriggerBinding",
    "TriggerTemplate",
    "ClusterInterceptor",
    "Interceptor",
];

/// Kind, namespace and name.
type Key = (String, String, String);

/// Objects by kind, namespace and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book(BTreeMap<Key, Value>);

/// Something that is wrong with an object as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) object: String,
    pub(crate) message: String,
}

/// What of files is in no book.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left {
    /// Kinds that have no part in triggers.
    pub(crate) others: BTreeSet<String>,
    /// Objects of kinds or versions that there are not.
    pub(crate) unknown: Vec<Problem>,
}

impl Book {
    /// The objects of files; those that name no namespace get this one.
    pub(crate) fn of(objects: Vec<Value>, namespace: &str) -> anyhow::Result<(Self, Left)> {
        let (mut book, mut left) = (Self::default(), Left::default());
        for mut object in objects {
            let (version, kind) = (text(&object, "/apiVersion"), text(&object, "/kind"));
            let secret = kind == "Secret" && version == "v1";
            if !secret && !version.starts_with(GROUP) {
                left.others.insert(kind);
                continue;
            }
            if !secret && !KINDS.contains(&kind.as_str()) {
                let object = format!("{kind} {}", text(&object, "/metadata/name"));
                let hint = nearest::among(&kind, KINDS.map(str::to_owned))
                    .map_or_else(String::new, |other| format!(": did you mean {other}?"));
                let message = format!("no kind {kind} in triggers.tekton.dev{hint}");
                left.unknown.push(Problem { object, message });
                continue;
            }
            let served = version.strip_prefix(GROUP).filter(|served| !SERVED.contains(served));
            if let Some(other) = served.filter(|_| !secret) {
                let object = format!("{kind} {}", text(&object, "/metadata/name"));
                let message =
                    format!("no version {other} in triggers.tekton.dev: {} are served", SERVED.join(" and "));
                left.unknown.push(Problem { object, message });
                continue;
            }
            anyhow::ensure!(!text(&object, "/metadata/name").is_empty(), "a {kind} has no metadata.name");
            if !kind.starts_with("Cluster") && text(&object, "/metadata/namespace").is_empty() {
                object["metadata"]["namespace"] = namespace.into();
            }
            book.insert(&kind, object);
        }
        Ok((book, left))
    }

    /// What the engine has now. Who may not list everywhere is shown what is in these namespaces.
    pub(crate) async fn of_engine(client: &Client, namespaces: &BTreeSet<String>) -> anyhow::Result<Self> {
        let mut book = Self::default();
        book.list::<EventListener>(client, namespaces).await?;
        book.list::<Trigger>(client, namespaces).await?;
        book.list::<TriggerBinding>(client, namespaces).await?;
        book.list::<ClusterTriggerBinding>(client, &BTreeSet::new()).await?;
        book.list::<TriggerTemplate>(client, namespaces).await?;
        book.list::<ClusterInterceptor>(client, &BTreeSet::new()).await?;
        book.list::<Interceptor>(client, namespaces).await?;
        Ok(book)
    }

    async fn list<K: Resource<DynamicType = ()>>(
        &mut self,
        client: &Client,
        namespaces: &BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let resource = ApiResource::erase::<K>(&());
        let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let mut found = match everywhere.list(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(kube::Error::Api(status)) if status.code == 403 && !namespaces.is_empty() => {
                let mut found = Vec::new();
                for namespace in namespaces {
                    let list =
                        look::api(client, &resource, Some(namespace)).list(&ListParams::default()).await;
                    let list =
                        list.with_context(|| format!("cannot list {} in {namespace}", resource.plural))?;
                    found.extend(list.items);
                }
                found
            }
            // Built-in interceptors need no object, and bindings of the cluster are rare.
            Err(kube::Error::Api(status)) if status.code == 403 && resource.kind.starts_with("Cluster") => {
                Vec::new()
            }
            Err(error) => return Err(error).with_context(|| format!("cannot list {}", resource.plural)),
        };
        for object in found.drain(..) {
            self.insert(&resource.kind, look::value(object, &resource)?);
        }
        Ok(())
    }

    fn insert(&mut self, kind: &str, object: Value) {
        let key = (kind.to_owned(), text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        self.0.insert(key, object);
    }

    /// Puts an object in its place, or takes what is there away.
    pub(crate) fn put(&mut self, kind: &str, namespace: &str, name: &str, object: Option<Value>) {
        match object {
            Some(object) => self.insert(kind, object),
            None => {
                self.0.remove(&(kind.to_owned(), namespace.to_owned(), name.to_owned()));
            }
        }
    }

    /// Whether there is a trigger, by itself or in a listener.
    pub(crate) fn has_triggers(&self) -> bool {
        let has =
            |object: &Value, list: &str| object["spec"][list].as_array().is_some_and(|all| !all.is_empty());
        self.0.iter().any(|((kind, ..), object)| {
            kind == "Trigger" || kind == "EventListener" && has(object, "triggers")
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of it changes nothing: it stands in for no object of another book, and no object of both together asks for it.
    pub(crate) fn idle(&self, now: &Self, both: &Self) -> Vec<Problem> {
        let (snapshot, _) = both.view();
        let offered: BTreeSet<(String, String)> = snapshot
            .every_listener()
            .iter()
            .flat_map(|listener| select::offers(listener, &snapshot))
            .map(|offer| (offer.namespace, offer.trigger.name_any()))
            .collect();
        let fresh = self.0.keys().filter(|key| !now.0.contains_key(*key));
        let idle = fresh.filter_map(|key| {
            let (kind, namespace, name) = key;
            let why = match kind.as_str() {
                // What came to another of its name did not come to it.
                "EventListener" if now.listeners().iter().any(|(_, other)| other == name) => {
                    "there is one of its name in another namespace"
                }
                "Trigger" if !offered.contains(&(namespace.clone(), name.clone())) => {
                    "no listener offers events to it"
                }
                "TriggerTemplate" | "TriggerBinding" | "Interceptor" if !both.names(namespace, name) => {
                    "no trigger of its namespace names it"
                }
                _ => return None,
            };
            let message = format!("it replaces nothing, and {why}: is metadata.namespace the right one?");
            Some(Problem { object: format!("{kind} {namespace}/{name}"), message })
        });
        idle.collect()
    }

    /// Namespace and name of each Trigger object that another book does not have.
    pub(crate) fn fresh_triggers(&self, now: &Self) -> Vec<(String, String)> {
        let fresh = self.0.keys().filter(|key| key.0 == "Trigger" && !now.0.contains_key(*key));
        fresh.map(|(_, namespace, name)| (namespace.clone(), name.clone())).collect()
    }

    /// `Kind namespace/name` of the objects of a kind.
    pub(crate) fn titles(&self, of: &str) -> Vec<String> {
        let found = self.0.keys().filter(|(kind, ..)| kind == of);
        found.map(|(kind, namespace, name)| format!("{kind} {namespace}/{name}")).collect()
    }

    /// Whether a listener or trigger of the namespace names something.
    fn names(&self, namespace: &str, name: &str) -> bool {
        fn says(value: &Value, name: &str) -> bool {
            match value {
                Value::String(text) => text == name,
                Value::Array(all) => all.iter().any(|one| says(one, name)),
                Value::Object(all) => all.values().any(|one| says(one, name)),
                _ => false,
            }
        }
        self.0.iter().any(|((kind, within, _), object)| {
            matches!(kind.as_str(), "Trigger" | "EventListener")
                && within == namespace
                && says(&object["spec"], name)
        })
    }

    /// The same with the objects of another in place of its own.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut book = self.clone();
        book.0.extend(other.0.clone());
        book
    }

    /// Namespace and name of each listener.
    pub(crate) fn listeners(&self) -> Vec<(String, String)> {
        let listeners = self.0.keys().filter(|(kind, ..)| kind == "EventListener");
        listeners.map(|(_, namespace, name)| (namespace.clone(), name.clone())).collect()
    }

    /// Adds a listener that takes the events for all triggers.
    pub(crate) fn assume_listener(&mut self, namespace: &str) -> anyhow::Result<()> {
        let all = NamespaceSelector { match_names: vec!["*".to_owned()] };
        let spec = EventListenerSpec { namespace_selector: all, ..EventListenerSpec::default() };
        let mut listener = EventListener::new(ASSUMED, spec);
        listener.metadata.namespace = Some(namespace.to_owned());
        self.insert("EventListener", serde_json::to_value(listener)?);
        Ok(())
    }

    /// What the gateway would see, and what is wrong with it. What cannot be read counts as not there.
    pub(crate) fn view(&self) -> (Snapshot, Vec<Problem>) {
        let mut problems = Vec::new();
        let objects = Objects {
            listeners: self.read("EventListener", &mut problems),
            triggers: self.read("Trigger", &mut problems),
            bindings: self.read("TriggerBinding", &mut problems),
            cluster_bindings: self.read("ClusterTriggerBinding", &mut problems),
            templates: self.read("TriggerTemplate", &mut problems),
            cluster_interceptors: self.read("ClusterInterceptor", &mut problems),
            interceptors: self.read("Interceptor", &mut problems),
        };
        (Snapshot::of(objects), problems)
    }

    fn read<K: DeserializeOwned + Checked>(&self, kind: &str, problems: &mut Vec<Problem>) -> Vec<K> {
        let mut read = Vec::new();
        for ((_, namespace, name), object) in self.0.iter().filter(|((of, ..), _)| of == kind) {
            let place = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            let title = format!("{kind} {place}{name}");
            let mut tell = |message: String| problems.push(Problem { object: title.clone(), message });
            match serde_json::from_value::<K>(object.clone()) {
                Ok(one) => {
                    one.problems().into_iter().for_each(&mut tell);
                    read.push(one);
                }
                Err(error) => {
                    tell(format!("it cannot be read, and counts as not there: {}", errors::chain(&error)));
                }
            }
        }
        read
    }

    /// The Secrets among them.
    pub(crate) fn secrets(&self) -> anyhow::Result<SecretCache> {
        let mut secrets = Vec::new();
        for ((_, namespace, name), object) in self.0.iter().filter(|((kind, ..), _)| kind == "Secret") {
            // What is in it is not for error messages.
            let secret: Secret = serde_json::from_value(object.clone()).map_err(|_| {
                anyhow::anyhow!("Secret {namespace}/{name} cannot be read: are its data base64?")
            })?;
            let mut data: BTreeMap<String, Vec<u8>> =
                secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
            let plain = secret.string_data.unwrap_or_default();
            data.extend(plain.into_iter().map(|(key, value)| (key, value.into_bytes())));
            secrets.push(((namespace.clone(), name.clone()), data));
        }
        Ok(SecretCache::of(secrets))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trigger(name: &str, namespace: Option<&str>, marker: &str) -> Value {
        json!({
            "apiVersion": "triggers.tekton.dev/v1beta1", "kind": "Trigger",
            "metadata": { "name": name, "namespace": namespace },
            "spec": { "template": { "ref": marker } },
        })
    }

    #[test]
    fn objects_of_files_stand_in_for_those_of_the_engine() {
        let (now, _) =
            Book::of(vec![trigger("a", Some("x"), "old"), trigger("b", Some("x"), "kept")], "x").unwrap();
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" } });
        let (changed, left) = Book::of(vec![trigger("a", None, "new"), pod], "x").unwrap();
        assert_eq!(left.others.into_iter().collect::<Vec<_>>(), ["Pod"]);
        let both = now.with(&changed);
        let templates: Vec<String> =
            both.0.values().map(|object| text(object, "/spec/template/ref")).collect();
        assert_eq!(templates, ["new", "kept"]);
    }

    #[test]
    fn what_is_wrong_is_told_of_the_object() {
        let mut broken = trigger("broken", Some("x"), "t");
        broken["spec"]["interceptors"] = json!("none");
        let (book, _) = Book::of(vec![broken], "x").unwrap();
        let (_, problems) = book.view();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].object, "Trigger x/broken");
        assert!(problems[0].message.starts_with("it cannot be read"), "{problems:?}");
    }

    #[test]
    fn a_kind_that_there_is_not_is_told_with_the_one_that_was_meant() {
        let mut slip = trigger("a", Some("x"), "t");
        slip["kind"] = json!("Triger");
        let (book, left) = Book::of(vec![slip], "x").unwrap();
        assert!(book.is_empty() && left.others.is_empty());
        assert_eq!(left.unknown[0].message, "no kind Triger in triggers.tekton.dev: did you mean Trigger?");
    }

    #[test]
    fn a_version_that_is_not_served_is_told_with_those_that_are() {
        let mut later = trigger("a", Some("x"), "t");
        later["apiVersion"] = json!("triggers.tekton.dev/v9");
        let (book, left) = Book::of(vec![later], "x").unwrap();
        assert!(book.is_empty());
        assert_eq!(
            left.unknown[0].message,
            "no version v9 in triggers.tekton.dev: v1alpha1 and v1beta1 are served"
        );
    }

    #[test]
    fn what_replaces_nothing_and_nothing_asks_for_changes_nothing() {
        let now = Book::of(vec![trigger("a", Some("x"), "old")], "x").unwrap().0;
        let mut template = trigger("made", None, "");
        template["kind"] = json!("TriggerTemplate");
        let idle = |objects: Vec<Value>, namespace: &str| {
            let changed = Book::of(objects, namespace).unwrap().0;
            let idle = changed.idle(&now, &now.with(&changed));
            idle.into_iter().map(|problem| problem.object).collect::<Vec<_>>()
        };
        let both = || vec![trigger("a", None, "made"), template.clone()];
        assert_eq!(idle(both(), "x"), Vec::<String>::new());
        assert_eq!(idle(both(), "default"), ["Trigger default/a"]);
        assert_eq!(idle(vec![template.clone()], "x"), ["TriggerTemplate x/made"]);
    }

    #[test]
    fn an_entry_of_a_listener_that_cannot_be_read_takes_no_other_down() {
        let listener = json!({
            "apiVersion": "triggers.tekton.dev/v1alpha1", "kind": "EventListener",
            "metadata": { "name": "l", "namespace": "x" },
            "spec": { "triggers": [{ "template": { "ref": "t" } }, { "template": { "ref": "t" }, "bindings": "oops" }] },
        });
        let (book, _) = Book::of(vec![listener], "x").unwrap();
        let (snapshot, problems) = book.view();
        let told = |index: usize| {
            problems
                .iter()
                .any(|problem| problem.message.starts_with(&format!("spec.triggers[{index}] cannot be read")))
        };
        assert!(told(1) && !told(0), "{problems:?}");
        let found = snapshot.listener("x", "l").unwrap();
        assert!(found.spec.triggers[0].template.is_some());
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_not_shown() {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": "x" },
            "data": { "secret": "not base64: hunter2" },
        });
        let (book, _) = Book::of(vec![secret], "x").unwrap();
        let error = book.secrets().unwrap_err().to_string();
        assert!(error.contains("x/s") && !error.contains("hunter2"), "{error}");
    }
}
