//! JSON to CEL as the schema says: formats become their CEL types, undeclared fields do not exist.
//!
//! Follows `k8s.io/apiserver/pkg/cel/common/values.go` and the declared types of
//! `apiextensions-apiserver/pkg/apiserver/schema/cel/model`.

use std::sync::Arc;

use aphex_cel::{Key, Map, Value as Cel};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Value};

use crate::model::{Additional, Schema, Type};

/// The CEL value of `value`; `resource` adds what every resource has.
pub(super) fn to_cel(value: &Value, schema: &Schema, resource: bool) -> Cel {
    let resource = resource || schema.embedded_resource;
    match value {
        Value::Object(map) => object(map, schema, resource),
        Value::Array(list) => match &schema.items {
            Some(items) => {
                Cel::from(list.iter().map(|element| to_cel(element, items, false)).collect::<Vec<_>>())
            }
            None => Cel::from_json(value),
        },
        Value::String(text) => string(text, schema),
        Value::Number(number) if schema.kind == Some(Type::Number) => {
            Cel::Double(number.as_f64().unwrap_or_default())
        }
        // 2.0 is as good an integer as 2.
        Value::Number(number) if schema.kind == Some(Type::Integer) => {
            whole(number).map_or_else(|| Cel::from_json(value), Cel::Int)
        }
        other => Cel::from_json(other),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "validation lets only whole numbers through")]
fn whole(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| number.as_f64().map(|float| float as i64))
}

fn object(map: &JsonMap<String, Value>, schema: &Schema, resource: bool) -> Cel {
    let mut fields = Map::new();
    match &schema.additional {
        Additional::Each(each) => {
            for (name, value) in map {
                fields.insert(Key::from(name.as_str()), to_cel(value, each, false));
            }
        }
        Additional::Anything => {
            for (name, value) in map {
                fields.insert(Key::from(name.as_str()), Cel::from_json(value));
            }
        }
        Additional::Unspecified | Additional::Forbidden => {}
    }
    for (name, property) in &schema.properties {
        if let (Some(value), Some(escaped)) = (map.get(name), escape(name)) {
            let value = to_cel(value, property, false);
            // A reserved word may be written as it is where a field is meant.
            if aphex_cel::reserved_words().contains(&name.as_str()) {
                fields.insert(Key::from(name.as_str()), value.clone());
            }
            fields.insert(Key::from(escaped.as_str()), value);
        }
    }
    if resource {
        for name in ["apiVersion", "kind"] {
            if let Some(value) = map.get(name) {
                fields.insert(Key::from(name), Cel::from_json(value));
            }
        }
        if let Some(metadata) = map.get("metadata") {
            let names = ["name", "generateName"].into_iter();
            let given = names.filter_map(|name| Some((Key::from(name), Cel::from_json(metadata.get(name)?))));
            fields.insert(Key::from("metadata"), Cel::from(given.collect::<Map>()));
        }
    }
    Cel::from(fields)
}

fn string(text: &str, schema: &Schema) -> Cel {
    let plain = || Cel::from_json(&Value::String(text.to_owned()));
    let time = |at: jiff::Timestamp| Cel::Timestamp(at.into());
    if schema.int_or_string {
        return plain();
    }
    match schema.format.as_deref().map(|format| format.replace('-', "")).as_deref() {
        Some("byte") => STANDARD.decode(text).map_or_else(|_| plain(), |bytes| Cel::Bytes(Arc::from(bytes))),
        Some("datetime") => text.parse().map_or_else(|_| plain(), time),
        Some("date") => format!("{text}T00:00:00Z").parse().map_or_else(|_| plain(), time),
        Some("duration") => aphex_cel::parse_duration(text).map_or_else(plain, Cel::Duration),
        _ => plain(),
    }
}

/// The name of a property in expressions; none if it cannot be written there.
pub(super) fn escape(name: &str) -> Option<String> {
    if aphex_cel::reserved_words().contains(&name) {
        return Some(format!("__{name}__"));
    }
    let escaped = name.replace("__", "__underscores__");
    let escaped = escaped.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__");
    let mut chars = escaped.chars();
    let opens = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    (opens && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_kubernetes_does() {
        for (name, escaped) in [
            ("a-b", Some("a__dash__b")),
            ("a.b/c", Some("a__dot__b__slash__c")),
            ("__x", Some("__underscores__x")),
            ("namespace", Some("__namespace__")),
            ("1a", None),
            ("a b", None),
        ] {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
        }
    }
}
