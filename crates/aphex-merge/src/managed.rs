//! `metadata.managedFields`: who owns what, since when.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::field_set::FieldSet;
use crate::path::equal;

/// How many entries of operation Update are kept apart; older ones are folded into one.
const MAX_UPDATE_ENTRIES: usize = 10;
/// The entry that the oldest updates are folded into.
const ANCIENT: &str = "ancient-changes";

/// Who an entry is about. Entries of operation Apply have one per manager and subresource, whatever the version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManagerId {
    pub(crate) manager: String,
    pub(crate) applied: bool,
    /// Empty for operation Apply.
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

impl ManagerId {
    /// The identity of a writer; a nameless one is `unknown`.
    pub(crate) fn new(manager: &str, applied: bool, api_version: &str, subresource: &str) -> Self {
        Self {
            manager: if manager.is_empty() { "unknown" } else { manager }.to_owned(),
            applied,
            api_version: if applied { "" } else { api_version }.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// The name as conflict messages write it.
    pub(crate) fn described(&self) -> String {
        let subresource = match self.subresource.as_str() {
            "" => String::new(),
            name => format!(" with subresource {name:?}"),
        };
        let version = if self.applied { String::new() } else { format!(" using {}", self.api_version) };
        format!("{:?}{subresource}{version}", self.manager)
    }
}

/// The fields of one manager, as paths of one apiVersion.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Owned {
    pub(crate) set: FieldSet,
    pub(crate) api_version: String,
    pub(crate) applied: bool,
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Managed {
    pub(crate) owners: BTreeMap<ManagerId, Owned>,
    times: BTreeMap<ManagerId, String>,
}

impl Managed {
    /// Reads `metadata.managedFields`; the error is Kubernetes' own sentence.
    pub(crate) fn decode(entries: Option<&Value>) -> Result<Self, String> {
        let mut managed = Self::default();
        let entries = match entries {
            None | Some(Value::Null) => return Ok(managed),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err("managedFields must be a list".to_owned()),
        };
        for (position, entry) in entries.iter().enumerate() {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let applied = match text("operation") {
                "Apply" => true,
                "Update" => false,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {position}")),
                other => {
                    return Err(format!("invalid fieldsType {other:?} in managed fields entry {position}"));
                }
            }
            let set = FieldSet::from_value(entry.get("fieldsV1").unwrap_or(&Value::Null))
                .map_err(|error| format!("error decoding versioned set: error decoding set: {error}"))?;
            let id = ManagerId {
                manager: text("manager").to_owned(),
                applied,
                api_version: if applied { String::new() } else { api_version.to_owned() },
                subresource: text("subresource").to_owned(),
            };
            if let Some(time) = entry.get("time").and_then(Value::as_str) {
                managed.times.insert(id.clone(), time.to_owned());
            }
            managed.owners.insert(id, Owned { set, api_version: api_version.to_owned(), applied });
        }
        Ok(managed)
    }

    /// Writes the entries into an object, sorted as Kubernetes sorts them; none removes the field.
    pub(crate) fn encode_into(&self, object: &mut Value) {
        let Some(root) = object.as_object_mut() else { return };
        if self.owners.is_empty() {
            strip(object);
            return;
        }
        let mut owners: Vec<_> = self.owners.iter().collect();
        owners.sort_by_key(|(id, owned)| {
            let time = self.times.get(*id).map_or(0, |time| seconds(time));
            (!owned.applied, time, &id.manager, &owned.api_version, &id.subresource)
        });
        let entries = owners.into_iter().map(|(id, owned)| self.entry(id, owned)).collect();
        let metadata = root.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("managedFields".to_owned(), Value::Array(entries));
        }
    }

    fn entry(&self, id: &ManagerId, owned: &Owned) -> Value {
        let mut entry = json!({
            "apiVersion": owned.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": owned.set.to_value(),
            "operation": if owned.applied { "Apply" } else { "Update" },
        });
        if let Some(fields) = entry.as_object_mut() {
            let optional = [("manager", &id.manager), ("subresource", &id.subresource)];
            for (name, value) in optional.into_iter().filter(|(_, value)| !value.is_empty()) {
                fields.insert(name.to_owned(), Value::String(value.clone()));
            }
            if let Some(time) = self.times.get(id) {
                fields.insert("time".to_owned(), Value::String(time.clone()));
            }
        }
        entry
    }

    /// Records when a manager last wrote.
    pub(crate) fn touch(&mut self, id: ManagerId, now: &str) {
        self.times.insert(id, now.to_owned());
    }

    /// Folds the oldest updates together until few enough are left.
    pub(crate) fn cap(&mut self) {
        let mut updaters: Vec<ManagerId> =
            self.owners.iter().filter(|(_, owned)| !owned.applied).map(|(id, _)| id.clone()).collect();
        let mut count = updaters.len();
        if count <= MAX_UPDATE_ENTRIES {
            return;
        }
        updaters.sort_by_cached_key(|id| (self.times.get(id).map_or(0, |time| seconds(time)), id.clone()));
        let mut first_of_version: BTreeMap<String, ManagerId> = BTreeMap::new();
        for id in updaters {
            if count <= MAX_UPDATE_ENTRIES {
                break;
            }
            let Some(owned) = self.owners.get(&id).cloned() else { continue };
            let version = owned.api_version.clone();
            let Some(first) = first_of_version.get(&version) else {
                first_of_version.insert(version, id);
                continue;
            };
            let bucket = ManagerId::new(ANCIENT, false, &version, "");
            if !self.owners.contains_key(&bucket)
                && let Some(folded) = self.owners.remove(first)
            {
                self.owners.insert(bucket.clone(), folded);
            }
            let folded =
                self.owners.get(&bucket).map_or_else(FieldSet::new, |folded| folded.set.union(&owned.set));
            self.owners.remove(&id);
            self.owners.insert(bucket.clone(), Owned { set: folded, ..owned });
            count -= 1;
            if let Some(time) = self.times.get(&id).cloned() {
                self.times.insert(bucket, time);
            }
        }
    }
}

fn seconds(time: &str) -> i64 {
    time.parse::<Timestamp>().map_or(0, Timestamp::as_second)
}

/// `metadata.managedFields` of an object.
pub(crate) fn entries(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

/// Removes `metadata.managedFields`.
pub(crate) fn strip(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// Takes the old object's times when nothing but times in `metadata.managedFields` differs.
///
/// Without this an update that changes nothing would still write, and bump the resourceVersion
/// (apiserver `IgnoreManagedFieldsTimestampsTransformer`).
pub fn keep_times(old: &Value, new: &mut Value) {
    let timeless = |object: &Value| {
        let mut object = object.clone();
        let entries = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("managedFields"));
        for entry in entries.and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("time");
            }
        }
        object
    };
    let Some(before) = entries(old).filter(|before| before.as_array().is_some_and(|all| !all.is_empty()))
    else {
        return;
    };
    if entries(new) == Some(before) || !equal(&timeless(old), &timeless(new)) {
        return;
    }
    if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), before.clone());
    }
}
