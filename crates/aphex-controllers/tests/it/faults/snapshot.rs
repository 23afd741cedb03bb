//! Everything that is on the engine because of one life, without what differs from run to run.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use aphex_api::labels;

use crate::engine::{Engine, KINDS};

/// Our own kinds; of theirs the status counts too.
const OWN: [(&str, &str, &str); 5] = [
    ("aphex.io", "v1alpha1", "Organization"),
    ("aphex.io", "v1alpha1", "RepoBinding"),
    ("aphex.io", "v1alpha1", "KnowledgeBase"),
    ("aphex.io", "v1alpha1", "Delivery"),
    ("platform.dev", "v1alpha1", "Pipeline"),
];

/// What others make, and the controllers change.
const OF_RUNS: [(&str, &str, &str); 2] = [("tekton.dev", "v1", "PipelineRun"), ("", "v1", VOLUME)];
const VOLUME: &str = "PersistentVolumeClaim";

/// What differs from run to run whatever happens.
const VOLATILE: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"];

/// Objects by kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// Everything that a life's id occurs in; what others made up is called as `made_up` says.
    pub(super) async fn take(
        engine: &Engine,
        id: &str,
        made_up: Vec<(String, String)>,
    ) -> anyhow::Result<Self> {
        let mut objects = Vec::new();
        for (group, version, kind) in KINDS.into_iter().chain(OWN).chain(OF_RUNS) {
            let api = engine.dynamic(group, version, kind, None);
            let list = api.list(&ListParams::default()).await?.items.into_iter();
            let mentions = |object: &DynamicObject| {
                // The cluster's own, in every namespace.
                if object.name_any() == "kube-root-ca.crt" {
                    return false;
                }
                // A real cluster takes its time with volumes.
                if kind == VOLUME && object.metadata.deletion_timestamp.is_some() {
                    return false;
                }
                [object.name_any(), object.namespace().unwrap_or_default()].iter().any(|n| n.contains(id))
            };
            objects.extend(list.filter(mentions).map(|object| (format!("{group}/{kind}"), object)));
        }
        let mut names = vec![(id.to_owned(), "*".to_owned())];
        names.extend(made_up);
        for (kind, object) in &objects {
            names.extend(object.uid().map(|uid| (uid, format!("<uid of {kind} {}>", object.name_any()))));
            names.extend(secrets(object));
        }
        let plain = |text: String| names.iter().rev().fold(text, |text, (name, by)| text.replace(name, by));
        let entry = |(kind, object): (String, DynamicObject)| {
            let place = format!("{kind} {}/{}", object.namespace().unwrap_or_default(), object.name_any());
            Ok((plain(place), plain(serde_json::to_string_pretty(&stable(&kind, object)?)?)))
        };
        Ok(Self(objects.into_iter().map(entry).collect::<anyhow::Result<_>>()?))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first things that are not as in another.
    pub(super) fn differs(&self, expected: &Self) -> String {
        let missing = expected.0.keys().filter(|key| !self.0.contains_key(*key));
        let mut told: Vec<String> = missing.map(|key| format!("{key} is missing")).collect();
        for (key, found) in &self.0 {
            let Some(wanted) = expected.0.get(key) else {
                told.push(format!("{key} is left"));
                continue;
            };
            let differ = found.lines().zip(wanted.lines()).find(|(a, b)| a != b);
            told.extend(differ.map(|(a, b)| format!("{key} has {} and not {}", a.trim(), b.trim())));
            if found.lines().count() != wanted.lines().count() && differ.is_none() {
                told.push(format!("{key} is longer or shorter"));
            }
        }
        told.truncate(6);
        told.join("; ")
    }
}

/// What a Secret holds, as text.
fn held(object: &DynamicObject) -> Vec<(String, String)> {
    let data = object.data.get("data").and_then(Value::as_object).into_iter().flatten();
    let text = |value: &Value| String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok();
    data.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

/// The webhook secrets that a Secret holds: wherever else one is told, it must be this one.
fn secrets(object: &DynamicObject) -> Vec<(String, String)> {
    let secrets = held(object).into_iter().filter(|(_, text)| text.starts_with("whsec_"));
    secrets.map(|(key, text)| (text, format!("<{key} of {}>", object.name_any()))).collect()
}

/// An object without what differs from run to run.
fn stable(kind: &str, object: DynamicObject) -> anyhow::Result<Value> {
    let held = held(&object);
    let mut value = serde_json::to_value(object)?;
    if kind == "/Secret" {
        value["data"] = serde_json::to_value(held)?;
    }
    for field in VOLATILE {
        value["metadata"].as_object_mut().map(|metadata| metadata.remove(field));
    }
    // A checksum of all, owner's uid included.
    if let Some(annotations) = value["metadata"]["annotations"].as_object_mut() {
        annotations.remove(labels::APPLIED);
    }
    let own = OWN.iter().any(|(group, _, name)| *kind == format!("{group}/{name}"));
    if !own {
        value.as_object_mut().map(|object| object.remove("status"));
    }
    let status = &mut value["status"];
    if own {
        status["observedGeneration"] = json!(null);
        // Moves with every pass that comes an hour after the one before.
        status["lastReconcileTime"] = json!(null);
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"] = json!(null);
            condition["observedGeneration"] = json!(null);
        }
    }
    Ok(value)
}
