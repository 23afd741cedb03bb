//! Reading and writing the parts of an object that every kind has.
//!
//! Objects are plain JSON values here; whatever is malformed reads as absent and is refused by validation.

use serde_json::{Map, Value};

/// The member of `metadata` with that name.
pub fn meta<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(field)
}

/// The string member of `metadata` with that name, or "".
pub fn meta_str<'a>(object: &'a Value, field: &str) -> &'a str {
    meta(object, field).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`, or "".
pub fn name(object: &Value) -> &str {
    meta_str(object, "name")
}

/// `metadata.namespace`, or "".
pub fn namespace(object: &Value) -> &str {
    meta_str(object, "namespace")
}

/// `metadata.uid`, or "".
pub fn uid(object: &Value) -> &str {
    meta_str(object, "uid")
}

/// `metadata.resourceVersion`, or "".
pub fn resource_version(object: &Value) -> &str {
    meta_str(object, "resourceVersion")
}

/// `metadata.generation`, or 0.
pub fn generation(object: &Value) -> i64 {
    meta(object, "generation").and_then(Value::as_i64).unwrap_or_default()
}

/// Whether deletion has been asked for.
pub fn is_deleting(object: &Value) -> bool {
    meta(object, "deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> Vec<String> {
    strings(meta(object, "finalizers"))
}

/// `apiVersion`, or "".
pub fn api_version(object: &Value) -> &str {
    object.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
}

/// `kind`, or "".
pub fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// The strings in a JSON array; anything else is skipped.
pub fn strings(array: Option<&Value>) -> Vec<String> {
    let items = array.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The object's map; a value of another type becomes an empty object first.
pub fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        // Made an object above; a leaked map is never reached.
        _ => Box::leak(Box::default()),
    }
}

/// `metadata` as a map, created when absent.
pub fn meta_map(object: &mut Value) -> &mut Map<String, Value> {
    map(map(object).entry("metadata").or_insert_with(|| Value::Object(Map::new())))
}

/// Sets a member of `metadata`; `None` and `null` remove it.
pub fn set_meta(object: &mut Value, field: &str, value: Option<Value>) {
    put(meta_map(object), field, value);
}

/// Sets a member of a map; `None` and `null` remove it.
pub fn put(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) if !value.is_null() => {
            map.insert(field.to_owned(), value);
        }
        _ => {
            map.remove(field);
        }
    }
}

/// The value at a dotted path of plain field names (`spec.nodeName`).
pub fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|step| !step.is_empty()).try_fold(object, |value, step| value.get(step))
}

/// Replaces `field` of `object` by what `from` has there.
pub fn copy(object: &mut Value, from: &Value, field: &str) {
    let value = from.get(field).cloned();
    put(map(object), field, value);
}

/// Sets the value at a dotted path of plain field names, creating the objects on the way.
pub fn set_at(object: &mut Value, path: &str, value: Value) {
    let mut steps: Vec<&str> = path.split('.').filter(|step| !step.is_empty()).collect();
    let Some(last) = steps.pop() else { return };
    let mut place = map(object);
    for step in steps {
        place = map(place.entry(step).or_insert_with(|| Value::Object(Map::new())));
    }
    put(place, last, Some(value));
}
