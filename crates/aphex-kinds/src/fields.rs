//! Reading objects that may lack any field: dotted paths and the values found there.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The value at a dotted path; null where any step is absent.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(object, |value, field| value.get(field)).unwrap_or(&NULL)
}

/// The text at a path, empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// The whole number at a path, 0 where there is none.
pub(crate) fn int(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or_default()
}

/// The list at a path, empty where there is none.
pub(crate) fn items<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The texts of the list at a path.
pub(crate) fn texts<'a>(object: &'a Value, path: &str) -> Vec<&'a str> {
    items(object, path).iter().filter_map(Value::as_str).collect()
}

/// The entries of the map at a path, sorted by key as Go writes maps.
pub(crate) fn entries<'a>(object: &'a Value, path: &str) -> Vec<(&'a str, &'a Value)> {
    sorted(at(object, path))
}

/// The entries of a map, sorted by key.
pub(crate) fn sorted(map: &Value) -> Vec<(&str, &Value)> {
    let map = map.as_object().into_iter().flatten();
    let mut entries: Vec<_> = map.map(|(key, value)| (key.as_str(), value)).collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// Whether there is something other than null at a path.
pub(crate) fn has(object: &Value, path: &str) -> bool {
    !at(object, path).is_null()
}

/// The map that a value is; a value of another type becomes an empty map.
pub(crate) fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made a map above"),
    }
}

/// The map at a path, made where it is absent.
pub(crate) fn map_at<'a>(object: &'a mut Value, path: &str) -> &'a mut Map<String, Value> {
    let place = path.split('.').fold(object, |value, field| map(value).entry(field).or_insert(Value::Null));
    map(place)
}
