//! `metadata` of every kind: what the server fills in, and what it refuses.
//!
//! `rest.BeforeCreate`, `rest.BeforeUpdate` of apiserver and `ValidateObjectMetaAccessor` of apimachinery.

use aphex_schema::error::FieldError;
use aphex_schema::path::Path;
use serde_json::{Map, Value};

use crate::names;
use crate::object;
use crate::resource::Resource;
use crate::strategy::NameRule;

/// All annotations of an object together may have this many bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Fills in what the server decides about a new object.
pub fn prepare_create(resource: &Resource, object: &mut Value, now: &str) {
    let meta = object::meta_map(object);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        meta.remove(field);
    }
    meta.insert("uid".to_owned(), Value::String(crate::uid::v4()));
    meta.insert("creationTimestamp".to_owned(), Value::String(now.to_owned()));
    if resource.strategy.generation {
        meta.insert("generation".to_owned(), Value::from(1));
    }
    drop_empty(meta);
}

/// Carries over what an update cannot change.
pub fn prepare_update(object: &mut Value, old: &Value) {
    let old_meta = |field: &str| object::meta(old, field).cloned();
    if object::uid(object).is_empty() {
        object::set_meta(object, "uid", old_meta("uid"));
    }
    for field in ["creationTimestamp", "generation", "resourceVersion", "selfLink"] {
        object::set_meta(object, field, old_meta(field));
    }
    object::set_meta(object, "deletionTimestamp", old_meta("deletionTimestamp"));
    if object::meta(object, "deletionGracePeriodSeconds").is_none() || !object::is_deleting(old) {
        object::set_meta(object, "deletionGracePeriodSeconds", old_meta("deletionGracePeriodSeconds"));
    }
    drop_empty(object::meta_map(object));
}

/// Empty maps and lists are the same as absent ones in Go, so they are not stored.
fn drop_empty(meta: &mut Map<String, Value>) {
    for field in ["labels", "annotations", "finalizers", "ownerReferences", "generateName"] {
        let empty = match meta.get(field) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Null) => true,
            _ => false,
        };
        if empty {
            meta.remove(field);
        }
    }
}

/// Everything wrong with the metadata of an object.
pub fn validate(object: &Value, resource: &Resource, rule: NameRule) -> Vec<FieldError> {
    let path = Path::root().child("metadata");
    let mut errors = Vec::new();
    let generate = object::meta_str(object, "generateName");
    for why in if generate.is_empty() { Vec::new() } else { names::check_prefix(rule, generate) } {
        errors.push(FieldError::invalid(&path.child("generateName"), generate, why));
    }
    let name = object::name(object);
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    } else {
        let problems = names::check(rule, name);
        errors.extend(problems.into_iter().map(|why| FieldError::invalid(&path.child("name"), name, why)));
    }
    let namespace = object::namespace(object);
    if resource.namespaced {
        if namespace.is_empty() {
            errors.push(FieldError::required(&path.child("namespace"), ""));
        } else {
            let problems = names::label(namespace).into_iter();
            errors.extend(problems.map(|why| FieldError::invalid(&path.child("namespace"), namespace, why)));
        }
    } else if !namespace.is_empty() {
        errors.push(FieldError::forbidden(&path.child("namespace"), "not allowed on this type"));
    }
    labels(object::meta(object, "labels"), &path.child("labels"), &mut errors);
    annotations(object::meta(object, "annotations"), &path.child("annotations"), &mut errors);
    owners(object::meta(object, "ownerReferences"), &path.child("ownerReferences"), &mut errors);
    let strict = resource.custom().is_none();
    finalizers(&object::finalizers(object), strict, &path.child("finalizers"), &mut errors);
    errors
}

/// Everything wrong with a change of the metadata.
pub fn validate_update(object: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::root().child("metadata");
    let mut errors = Vec::new();
    if object::is_deleting(object) {
        let before = object::finalizers(old);
        let added: Vec<String> =
            object::finalizers(object).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            let list: Vec<String> = added.iter().map(|finalizer| format!("{finalizer:?}")).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), why));
        }
    }
    if object::generation(object) < object::generation(old) {
        let why = "must not be decremented";
        errors.push(FieldError::invalid(&path.child("generation"), object::generation(object), why));
    }
    for field in ["name", "namespace", "uid"] {
        let (new, before) = (object::meta_str(object, field), object::meta_str(old, field));
        if new != before {
            errors.push(FieldError::invalid(&path.child(field), new, "field is immutable"));
        }
    }
    errors
}

/// Everything wrong with a map of labels.
pub fn labels(labels: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        errors.extend(
            names::qualified(key).into_iter().map(|why| FieldError::invalid(path, key.as_str(), why)),
        );
        let value = value.as_str().unwrap_or_default();
        if let Err(why) = names::label_value(value) {
            errors.push(FieldError::invalid(path, value, why));
        }
    }
}

fn annotations(annotations: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let mut total = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        // Capitals are allowed in annotation keys for compatibility.
        let problems = names::qualified(&key.to_lowercase());
        errors.extend(problems.into_iter().map(|why| FieldError::invalid(path, key.as_str(), why)));
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long(path, ANNOTATIONS_LIMIT as u64));
    }
}

fn owners(owners: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let list = owners.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut controllers: Vec<String> = Vec::new();
    for owner in list {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        let version = text("apiVersion").split_once('/').map_or(text("apiVersion"), |(_, version)| version);
        if version.is_empty() {
            errors.push(FieldError::invalid(
                &path.child("apiVersion"),
                text("apiVersion"),
                "version must not be empty",
            ));
        }
        for field in ["kind", "name", "uid"] {
            if text(field).is_empty() {
                errors.push(FieldError::invalid(&path.child(field), "", "must not be empty"));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.clone(), why));
        }
        if owner.get("controller").and_then(Value::as_bool).unwrap_or_default() {
            controllers.push(format!("{}/{}", text("kind"), text("name")));
        }
    }
    if let [first, second, ..] = controllers.as_slice() {
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        errors.push(FieldError::invalid(path, Value::Array(list.to_vec()), why));
    }
}

/// Built-in kinds take only standard or fully qualified names (`strict`); custom ones any qualified name.
fn finalizers(finalizers: &[String], strict: bool, path: &Path, errors: &mut Vec<FieldError>) {
    for (i, finalizer) in finalizers.iter().enumerate() {
        let problems = names::qualified(finalizer);
        // Without the place in the list, unlike the next finding: so Kubernetes tells them.
        errors.extend(problems.into_iter().map(|why| FieldError::invalid(path, finalizer.as_str(), why)));
        let simple = ["foregroundDeletion", "orphan", "kubernetes"].contains(&finalizer.as_str());
        if strict && !finalizer.contains('/') && !simple {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path.index(i), finalizer.as_str(), why));
        }
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has("orphan") && has("foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, finalizers.to_vec(), why));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    fn problems(metadata: &Value) -> Vec<String> {
        let snapshot = Registry::new().snapshot();
        let resource = snapshot.resource("", "v1", "configmaps").unwrap();
        let errors = validate(&json!({"metadata": metadata}), resource, NameRule::Subdomain);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_object_has_no_problems() {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"});
        assert!(
            problems(
                &json!({"name": "a", "namespace": "b", "labels": {"x/y": "1"}, "ownerReferences": [owner],
            "finalizers": ["example.com/x"], "annotations": {"A": "any text"}})
            )
            .is_empty()
        );
    }

    #[test]
    fn problems_are_told_with_their_path() {
        let found = problems(&json!({"namespace": "b", "labels": {"a b": "c"}, "finalizers": ["x"]}));
        assert_eq!(found[0], "metadata.name: Required value: name or generateName is required");
        assert!(found[1].starts_with("metadata.labels: Invalid value: \"a b\": name part must consist"));
        assert!(found[2].ends_with("name is neither a standard finalizer name nor is it fully qualified"));
    }

    #[test]
    fn a_deleted_object_gets_no_new_finalizers() {
        let old = json!({"metadata": {"name": "a", "deletionTimestamp": "t", "finalizers": ["x/a"]}});
        let new = json!({"metadata": {"name": "a", "deletionTimestamp": "t", "finalizers": ["x/a", "x/b"]}});
        assert_eq!(
            validate_update(&new, &old)[0].to_string(),
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, \
             found new finalizers []string{\"x/b\"}"
        );
    }
}
