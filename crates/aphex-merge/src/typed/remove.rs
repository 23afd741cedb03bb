//! Taking fields and list elements out of an object.

use serde_json::{Map, Value};

use super::element::identify;
use crate::field_set::FieldSet;
use crate::node::{Identity, Node};
use crate::path::PathElement;

/// The value without the members of the set; a container that loses everything becomes null.
pub(crate) fn remove(value: &Value, set: &FieldSet, node: Node<'_>) -> Value {
    walk(value, set, node, false)
}

/// As [`remove`], and a field whose container lost everything goes with it.
pub(crate) fn remove_tidily(value: &Value, set: &FieldSet, node: Node<'_>) -> Value {
    walk(value, set, node, true)
}

fn walk(value: &Value, set: &FieldSet, node: Node<'_>, tidy: bool) -> Value {
    let shapes = node.shapes().narrowed(Some(value));
    if let Some(map) = &shapes.map {
        let Some(fields) = value.as_object() else { return Value::Null };
        if map.atomic {
            return Value::Null;
        }
        let mut out = Map::new();
        for (name, value) in fields {
            let element = PathElement::Field(name.clone());
            if set.members.contains(&element) {
                continue;
            }
            let kept = match (set.below(&element).filter(|below| !below.is_empty()), map.field(name)) {
                (Some(below), Some(node)) => walk(value, below, node, tidy),
                _ => value.clone(),
            };
            if !(tidy && kept.is_null() && !value.is_null()) {
                out.insert(name.clone(), kept);
            }
        }
        return if out.is_empty() { Value::Null } else { Value::Object(out) };
    }
    if shapes.scalar.is_some() {
        return value.clone();
    }
    let (Some(list), Some(items)) = (&shapes.list, value.as_array()) else { return Value::Null };
    if matches!(list.identity, Identity::Atomic) {
        return Value::Null;
    }
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let Ok(element) = identify(list, item) else {
            out.push(item.clone());
            continue;
        };
        if set.members.contains(&element) {
            continue;
        }
        out.push(match set.below(&element).filter(|below| !below.is_empty()) {
            Some(below) => walk(item, below, list.element, tidy),
            None => item.clone(),
        });
    }
    if out.is_empty() { Value::Null } else { Value::Array(out) }
}
