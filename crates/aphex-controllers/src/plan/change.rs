//! A change as it is shown: without what the engine adds, and without secrets.

use aphex_api::labels;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::state::Entry;

/// What would happen to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It would be made.
    Create,
    /// It would be changed.
    Change,
    /// It would be deleted, because nothing wants it any more.
    Prune,
}

/// One object that would not stay as it is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What would happen to it.
    pub action: Action,
    /// Its group and version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace, if its kind has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Whose it is: kind and name; none for what was asked for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether the engine itself said what it would become; else it is computed from what the controllers want.
    pub tried: bool,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Change {
    /// What a write makes of an object, unless it leaves it as it is.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let (mut before, mut after) = (entry.before.as_ref().map(bare), entry.after.as_ref().map(bare));
        if before == after {
            return None;
        }
        mask(before.as_mut(), after.as_mut());
        let action = match (&before, &after) {
            (None, _) => Action::Create,
            (Some(_), Some(_)) => Action::Change,
            (Some(_), None) => Action::Prune,
        };
        let shown = after.as_ref().or(before.as_ref())?;
        let text = |pointer: &str| shown.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let label = |key: &str| shown["metadata"]["labels"][key].as_str();
        let owner = label(labels::OWNER_KIND).zip(label(labels::OWNER_NAME));
        Some(Self {
            action,
            api_version: text("/apiVersion").unwrap_or_default(),
            kind: text("/kind").unwrap_or_default(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
            owner: owner.map(|(kind, name)| format!("{kind} {name}")),
            tried: entry.tried,
            before,
            after,
        })
    }
}

/// Puts what each owner has together, namespaces first: what is written at once is answered in another order each time.
///
/// Owners, and what was asked for itself, stay in the order in which they came.
pub(super) fn sort(changes: &mut [Change]) {
    let mut owners: Vec<Option<String>> = Vec::new();
    for change in &*changes {
        if !owners.contains(&change.owner) {
            owners.push(change.owner.clone());
        }
    }
    changes.sort_by_cached_key(|change| {
        let group = owners.iter().position(|owner| *owner == change.owner);
        let Change { kind, namespace, name, .. } = change;
        let place = change
            .owner
            .as_ref()
            .map(|_| (kind != "Namespace", kind.clone(), namespace.clone(), name.clone()));
        (group, place)
    });
}

/// An object without what the engine and its controllers add.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in
            ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"]
        {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            // kubectl's copy of the object, with everything secret that is in it.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            annotations.remove(aphex_api::labels::APPLIED);
        }
        metadata.retain(|_, value| value.as_object().is_none_or(|fields| !fields.is_empty()));
    }
    object
}

/// Hides secret values of both; that they differ is told.
fn mask(before: Option<&mut Value>, after: Option<&mut Value>) {
    let is_secret = |value: &Option<&mut Value>| value.as_ref().is_some_and(|v| v["kind"] == "Secret");
    if is_secret(&before) || is_secret(&after) {
        let mut before = before.and_then(|value| value.as_object_mut());
        let mut after = after.and_then(|value| value.as_object_mut());
        for field in ["data", "stringData"] {
            mask_all(
                before.as_mut().and_then(|fields| fields.get_mut(field)?.as_object_mut()),
                after.as_mut().and_then(|fields| fields.get_mut(field)?.as_object_mut()),
            );
        }
        return;
    }
    mask_named(before, after);
}

/// Hides every value of two maps.
fn mask_all(mut before: Option<&mut Map<String, Value>>, mut after: Option<&mut Map<String, Value>>) {
    let keys: Vec<String> =
        [&before, &after].into_iter().flatten().flat_map(|fields| fields.keys().cloned()).collect();
    for key in keys {
        let one = before.as_mut().and_then(|fields| fields.get_mut(&key));
        let other = after.as_mut().and_then(|fields| fields.get_mut(&key));
        hide(one, other);
    }
}

/// Hides the texts in fields whose names say that they hold a secret.
fn mask_named(mut before: Option<&mut Value>, mut after: Option<&mut Value>) {
    let lengths = [&before, &after].into_iter().flatten().filter_map(|value| Some(value.as_array()?.len()));
    for index in 0..lengths.max().unwrap_or_default() {
        let one = before.as_mut().and_then(|items| items.get_mut(index));
        mask_named(one, after.as_mut().and_then(|items| items.get_mut(index)));
    }
    let (mut before, mut after) =
        (before.and_then(|value| value.as_object_mut()), after.and_then(|value| value.as_object_mut()));
    let mut keys: Vec<String> =
        [&before, &after].into_iter().flatten().flat_map(|fields| fields.keys().cloned()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let one = before.as_mut().and_then(|fields| fields.get_mut(&key));
        let other = after.as_mut().and_then(|fields| fields.get_mut(&key));
        let name = key.to_lowercase();
        if ["secret", "token", "password"].iter().any(|word| name.ends_with(word)) {
            hide(one, other);
        } else {
            mask_named(one, other);
        }
    }
}

fn hide(before: Option<&mut Value>, after: Option<&mut Value>) {
    let hidden = |value: &Value| value.is_string() || value.is_null();
    match (before, after) {
        (Some(before), Some(after)) if hidden(before) && hidden(after) => {
            let same = before == after;
            *before = json!(if same { "***" } else { "*** (before)" });
            *after = json!(if same { "***" } else { "*** (after)" });
        }
        (before, after) => {
            for value in [before, after].into_iter().flatten().filter(|value| hidden(value)) {
                *value = json!("***");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(before: Option<Value>, after: Option<Value>) -> Entry {
        Entry { before, after, tried: true, ..Entry::default() }
    }

    fn secret(value: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": "a" }, "data": { "secret": value } })
    }

    #[test]
    fn what_the_engine_adds_is_no_change() {
        let before =
            json!({ "kind": "A", "metadata": { "name": "a", "resourceVersion": "1", "managedFields": [] } });
        let after = json!({ "kind": "A", "metadata": { "name": "a", "resourceVersion": "2", "labels": {} }, "status": {} });
        assert!(Change::of(&entry(Some(before), Some(after))).is_none());
    }

    #[test]
    fn whatever_was_answered_first_the_order_is_the_same() {
        let object = |kind: &str, name: &str, owner: Option<&str>| {
            let labels =
                owner.map(|owner| json!({ labels::OWNER_KIND: "Organization", labels::OWNER_NAME: owner }));
            let made = json!({ "kind": kind, "metadata": { "name": name, "labels": labels } });
            Change::of(&entry(None, Some(made))).unwrap()
        };
        let mut changes = [
            object("Organization", "z", None),
            object("Organization", "y", None),
            object("Secret", "s", Some("z")),
            object("Role", "b", Some("z")),
            object("Role", "a", Some("z")),
            object("Namespace", "n", Some("z")),
            object("Namespace", "n", Some("y")),
        ];
        sort(&mut changes);
        let names: Vec<String> =
            changes.iter().map(|change| format!("{} {}", change.kind, change.name)).collect();
        let expected = [
            "Organization z",
            "Organization y",
            "Namespace n",
            "Role a",
            "Role b",
            "Secret s",
            "Namespace n",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_secret_tells_that_it_differs_and_nothing_else() {
        let change = Change::of(&entry(Some(secret("b2xk")), Some(secret("bmV3")))).unwrap();
        assert_eq!(change.action, Action::Change);
        let text = serde_json::to_string(&change).unwrap();
        assert!(!text.contains("b2xk") && !text.contains("bmV3"), "{text}");
        assert_eq!(change.before.unwrap()["data"]["secret"], "*** (before)");
        let created = Change::of(&entry(None, Some(secret("bmV3")))).unwrap();
        assert_eq!(
            (created.action, created.after.unwrap()["data"]["secret"].as_str()),
            (Action::Create, Some("***"))
        );
    }

    #[test]
    fn a_secret_inside_a_spec_is_hidden_and_the_name_of_one_is_not() {
        let object = |secret: &str| {
            let spec =
                json!({ "webhookSecret": secret, "secretName": "shown", "deep": [{ "apiToken": secret }] });
            json!({ "kind": "Organization", "metadata": { "name": "o" }, "spec": spec })
        };
        let change = Change::of(&entry(Some(object("hush-one")), Some(object("hush-two")))).unwrap();
        let text = serde_json::to_string(&change).unwrap();
        assert!(text.contains("shown") && !text.contains("\"webhookSecret\":\"hush"), "{text}");
    }

    #[test]
    fn what_goes_is_pruned() {
        let change = Change::of(&entry(Some(secret("eA==")), None)).unwrap();
        assert_eq!((change.action, change.name.as_str()), (Action::Prune, "s"));
    }
}
