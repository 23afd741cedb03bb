//! What the engine would hold: every object that was written to the shadow, beside what it was before.

use std::collections::{BTreeMap, BTreeSet};

use aphex_api::labels::FIELD_MANAGER;
use serde_json::{Value, json};

use super::address::{Address, Id};

/// One object that was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// What the engine has.
    pub(super) before: Option<Value>,
    /// What it would have.
    pub(super) after: Option<Value>,
    /// Who applied to it since.
    pub(super) appliers: BTreeSet<String>,
    /// Whether all writes passed the engine's own dry run.
    pub(super) tried: bool,
    /// Its place in the order of first writes.
    pub(super) order: usize,
}

/// Every object that was written.
#[derive(Debug, Default)]
pub(super) struct State {
    entries: BTreeMap<Id, Entry>,
    revision: u64,
}

impl State {
    /// How often something came to differ.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// Everything that was written, in the order of first writes.
    pub(super) fn written(&self) -> Vec<(Id, Entry)> {
        let mut all: Vec<(Id, Entry)> =
            self.entries.iter().map(|(id, entry)| (id.clone(), entry.clone())).collect();
        all.sort_by_key(|(_, entry)| entry.order);
        all
    }

    /// Whether a namespace would be made that the engine does not have, so that nothing can be tried in it.
    pub(super) fn is_new_namespace(&self, name: &str) -> bool {
        self.get(&Id::of_namespace(name)).is_some_and(|entry| entry.before.is_none() && entry.after.is_some())
    }

    /// Notes what the engine has, before the first write.
    pub(super) fn note(&mut self, id: &Id, live: Option<Value>) {
        let order = self.entries.len();
        self.entries.entry(id.clone()).or_insert_with(|| Entry {
            before: live.clone(),
            after: live,
            tried: true,
            order,
            ..Entry::default()
        });
    }

    /// Keeps what a write made of an object; gives it as it is now.
    pub(super) fn store(&mut self, id: &Id, mut object: Value, by: Option<&str>, tried: bool) -> Value {
        let order = self.entries.len();
        let entry = self.entries.entry(id.clone()).or_insert_with(|| Entry {
            tried: true,
            order,
            ..Entry::default()
        });
        if entry.before.is_none() {
            let uid = entry.after.as_ref().and_then(|after| after["metadata"]["uid"].as_str());
            // What refers to an object by its uid, as labels do, must find it here.
            let uid = uid.map_or_else(|| format!("known-after-apply-{}", entry.order + 1), str::to_owned);
            object["metadata"]["uid"] = json!(uid);
        }
        if let (Some(after), Some(_)) = (&entry.after, by) {
            // A dry run speaks of what the engine has; what was changed here alone it does not know.
            for field in ["/status", "/metadata/finalizers"] {
                if entry.before.as_ref().and_then(|before| before.pointer(field)) != after.pointer(field) {
                    carry_over(after, &mut object, field);
                }
            }
        }
        entry.appliers.extend(by.map(str::to_owned));
        entry.tried &= tried;
        if entry.after.as_ref().map(stable) != Some(stable(&object)) {
            self.revision += 1;
        }
        entry.after = Some(object.clone());
        object
    }

    /// Takes an object away.
    pub(super) fn delete(&mut self, id: &Id) {
        if let Some(entry) = self.entries.get_mut(id)
            && entry.after.take().is_some()
        {
            self.revision += 1;
        }
    }

    /// The objects of a collection that were written, as they would be, and the names of all that were written.
    pub(super) fn within(&self, address: &Address) -> (Vec<Value>, BTreeSet<Id>) {
        let held = self.entries.iter().filter(|(id, _)| address.holds(id));
        let (mut objects, mut ids) = (Vec::new(), BTreeSet::new());
        for (id, entry) in held {
            objects.extend(entry.after.clone());
            ids.insert(id.clone());
        }
        (objects, ids)
    }
}

/// Copies a field.
fn carry_over(from: &Value, to: &mut Value, pointer: &str) {
    let Some(value) = from.pointer(pointer) else { return };
    match pointer.rsplit_once('/') {
        Some(("", field)) => to[field] = value.clone(),
        Some((parent, field)) => {
            if let Some(parent) = to.pointer_mut(parent) {
                parent[field] = value.clone();
            }
        }
        None => {}
    }
}

/// An object without what differs from one dry run to the next.
fn stable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["managedFields", "resourceVersion", "uid", "creationTimestamp"] {
            metadata.remove(field);
        }
    }
    object
}

/// What applying would make of an object, as far as that can be told without the engine.
///
/// Lists are the applied ones; a field that is not applied any more stays.
pub(super) fn applied(live: Option<&Value>, body: &Value, manager: &str, now: jiff::Timestamp) -> Value {
    let mut object = live.cloned().unwrap_or_else(|| json!({}));
    merge(&mut object, body);
    let metadata = &mut object["metadata"];
    if live.is_none() {
        metadata["creationTimestamp"] = json!(aphex_api::conditions::to_second(now));
    }
    let generation = metadata["generation"].as_i64().unwrap_or_default();
    if live.is_none_or(|live| live["spec"] != object["spec"]) {
        object["metadata"]["generation"] = json!(generation + 1);
    }
    // Enough for the controllers to know their own: everything that they applied is theirs.
    let fields = body.as_object().into_iter().flatten().map(|(field, _)| (format!("f:{field}"), json!({})));
    let fields: serde_json::Map<String, Value> = fields.collect();
    object["metadata"]["managedFields"] = json!([{
        "manager": if manager.is_empty() { FIELD_MANAGER } else { manager },
        "operation": "Apply",
        "fieldsV1": fields,
    }]);
    object
}

fn merge(object: &mut Value, body: &Value) {
    match (object, body) {
        (Value::Object(object), Value::Object(body)) => {
            for (key, value) in body {
                merge(object.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (object, body) => *object = body.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Id {
        Id {
            prefix: "/api/v1".into(),
            plural: "secrets".into(),
            namespace: Some("a".into()),
            name: name.into(),
        }
    }

    #[test]
    fn created_objects_have_uids_of_their_own_that_stay() {
        let mut state = State::default();
        for name in ["x", "y"] {
            state.note(&id(name), None);
            state.store(&id(name), json!({ "metadata": { "uid": "random" } }), Some("m"), true);
        }
        let uid = |state: &State, name: &str| {
            state.get(&id(name)).unwrap().after.as_ref().unwrap()["metadata"]["uid"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let first = uid(&state, "x");
        assert!(first.starts_with("known-after-apply-") && first != uid(&state, "y"));
        let revision = state.revision();
        state.store(
            &id("x"),
            json!({ "metadata": { "uid": "another", "resourceVersion": "2" } }),
            Some("m"),
            true,
        );
        assert_eq!((uid(&state, "x"), state.revision()), (first, revision), "nothing differs");
    }

    #[test]
    fn an_apply_keeps_the_status_that_only_the_shadow_knows() {
        let mut state = State::default();
        state.note(&id("x"), Some(json!({ "metadata": { "uid": "1" }, "status": { "phase": "Old" } })));
        state.store(
            &id("x"),
            json!({ "metadata": { "uid": "1" }, "status": { "phase": "New" } }),
            None,
            true,
        );
        let again = json!({ "metadata": { "uid": "1" }, "spec": 1, "status": { "phase": "Old" } });
        let kept = state.store(&id("x"), again, Some("m"), true);
        assert_eq!((kept["status"]["phase"].as_str(), kept["spec"].as_i64()), (Some("New"), Some(1)));
    }

    #[test]
    fn what_cannot_be_tried_is_merged() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let live = json!({ "metadata": { "labels": { "a": "1" }, "generation": 3 }, "spec": { "list": [1, 2], "b": 1 } });
        let body = json!({ "metadata": { "labels": { "c": "2" } }, "spec": { "list": [3] } });
        let object = applied(Some(&live), &body, "m", now);
        assert_eq!(object["metadata"]["labels"], json!({ "a": "1", "c": "2" }));
        assert_eq!(object["spec"], json!({ "list": [3], "b": 1 }));
        assert_eq!(object["metadata"]["generation"], 4);
        assert_eq!(applied(None, &body, "m", now)["metadata"]["generation"], 1);
    }
}
