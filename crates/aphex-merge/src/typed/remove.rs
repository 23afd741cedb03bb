//! Taking fields and list elements out of an object.

use serde_json::{Map, Value};

use super::element::identify;
use crate::field_set::FieldSet;
use crate::node::{Identity, Node};
use crate::path::PathElement;

/// The value without the members of the set; a container that loses everything becomes null.
pub(crate) fn remove(value: &Value, set: &FieldSet, node: Node<'_>) -> Value {
    walk(value, set, node, None)
}

/// As [`remove`], and a container that lost everything stays, empty, only if it is itself owned.
///
/// Kubernetes leaves null in its place, which it then drops from built-in kinds and refuses in custom ones
/// ("must be of type object: null"). Empty is what its owner asked for.
pub(crate) fn remove_tidily(value: &Value, set: &FieldSet, node: Node<'_>, owned: &FieldSet) -> Value {
    walk(value, set, node, Some(owned))
}

fn walk(value: &Value, set: &FieldSet, node: Node<'_>, owned: Option<&FieldSet>) -> Value {
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
                (Some(below), Some(node)) => walk(value, below, node, owned.map(|owned| of(owned, &element))),
                _ => value.clone(),
            };
            match owned {
                Some(owned) if kept.is_null() && !value.is_null() => {
                    if owned.members.contains(&element) {
                        out.insert(name.clone(), emptied(value));
                    }
                }
                _ => {
                    out.insert(name.clone(), kept);
                }
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
            Some(below) => match walk(item, below, list.element, owned.map(|owned| of(owned, &element))) {
                Value::Null if owned.is_some() => emptied(item),
                kept => kept,
            },
            None => item.clone(),
        });
    }
    if out.is_empty() { Value::Null } else { Value::Array(out) }
}

/// The part of a set below an element, empty if there is none.
fn of<'s>(set: &'s FieldSet, element: &PathElement) -> &'s FieldSet {
    static NOTHING: FieldSet = FieldSet::new();
    set.below(element).unwrap_or(&NOTHING)
}

fn emptied(value: &Value) -> Value {
    if value.is_array() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) }
}
