//! The fields an object mentions, and the named fields a set implies.

use std::collections::BTreeSet;

use serde_json::Value;

use super::element::identify;
use crate::field_set::FieldSet;
use crate::node::{Identity, ListShape, MapShape, Node};
use crate::path::PathElement;

/// Every leaf field and list element of the value.
pub(crate) fn field_set(value: &Value, node: Node<'_>) -> FieldSet {
    walk(value, node).1
}

/// Whether the value is itself a leaf, and what is below it.
fn walk(value: &Value, node: Node<'_>) -> (bool, FieldSet) {
    let shapes = node.shapes().narrowed(Some(value));
    if let Some(map) = &shapes.map {
        return if map.atomic { (true, FieldSet::new()) } else { (false, walk_map(value, map)) };
    }
    if shapes.scalar.is_some() {
        return (true, FieldSet::new());
    }
    match &shapes.list {
        Some(list) if !matches!(list.identity, Identity::Atomic) => (false, walk_list(value, list)),
        Some(_) => (true, FieldSet::new()),
        None => (false, FieldSet::new()),
    }
}

fn walk_map(value: &Value, map: &MapShape<'_>) -> FieldSet {
    let mut set = FieldSet::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let Some(node) = map.field(name) else { continue };
        let (leaf, below) = walk(value, node);
        let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        let undeclared = map.declared(name).is_none();
        add(&mut set, PathElement::Field(name.clone()), leaf || empty || undeclared, below);
    }
    set
}

fn walk_list(value: &Value, list: &ListShape<'_>) -> FieldSet {
    let (mut seen, mut duplicates) = (BTreeSet::new(), BTreeSet::new());
    let items: Vec<(PathElement, &Value)> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| identify(list, item).ok().map(|element| (element, item)))
        .collect();
    for (element, _) in &items {
        if !seen.insert(element) {
            duplicates.insert(element);
        }
    }
    let mut set = FieldSet::new();
    for (element, item) in &items {
        // Of elements with one identity only the identity is owned, nothing below it.
        let below = if duplicates.contains(element) { FieldSet::new() } else { walk(item, list.element).1 };
        add(&mut set, element.clone(), true, below);
    }
    set
}

fn add(set: &mut FieldSet, element: PathElement, member: bool, below: FieldSet) {
    if !below.is_empty() {
        set.children.insert(element.clone(), below);
    }
    if member {
        set.members.insert(element);
    }
}

/// The set, and every declared field above one of its members.
pub(crate) fn ensure_named(set: &FieldSet, node: Option<Node<'_>>) -> FieldSet {
    let shapes = node.map(Node::shapes);
    let map = shapes.as_ref().and_then(|shapes| shapes.map);
    let list = shapes.as_ref().and_then(|shapes| shapes.list);
    let mut out = FieldSet { members: set.members.clone(), ..FieldSet::default() };
    for (element, child) in &set.children {
        let below = match element {
            PathElement::Field(name) => {
                if map.as_ref().is_some_and(|map| map.declared(name).is_some()) {
                    out.members.insert(element.clone());
                }
                map.as_ref().and_then(|map| map.field(name))
            }
            PathElement::Key(_) => list.as_ref().map(|list| list.element),
            PathElement::Value(_) | PathElement::Index(_) => None,
        };
        out.children.insert(element.clone(), ensure_named(child, below));
    }
    out
}
