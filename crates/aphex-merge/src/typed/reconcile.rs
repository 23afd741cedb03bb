//! Following a schema that changed since a set was written.
//!
//! A list or object that became atomic is owned as one value by whoever owned something in it. One that became
//! granular needs nothing: its owner still owns the field itself.

use crate::field_set::FieldSet;
use crate::node::{Identity, Node};
use crate::path::PathElement;

/// The set as the schema now sees it; none when nothing changes.
pub(crate) fn reconcile(set: &FieldSet, node: Node<'_>) -> Option<FieldSet> {
    let mut collapsed = FieldSet::new();
    walk(Some(set), false, node, &mut Vec::new(), &mut collapsed);
    (!collapsed.is_empty()).then(|| set.recursive_difference(&collapsed).union(&collapsed))
}

/// Collects the paths that became atomic; `whole` says the path is owned and nothing below it.
fn walk(
    set: Option<&FieldSet>,
    whole: bool,
    node: Node<'_>,
    path: &mut Vec<PathElement>,
    out: &mut FieldSet,
) {
    let shapes = node.shapes();
    if let Some(map) = &shapes.map {
        if map.is_free_form() && !map.atomic {
            return;
        }
        if !whole && map.atomic {
            if set.is_some_and(|set| !set.is_empty()) {
                out.insert(path);
            }
            return;
        }
        for (element, member, below) in set.map(steps).unwrap_or_default() {
            let PathElement::Field(name) = element else { continue };
            let Some(node) = map.field(name) else { continue };
            path.push(element.clone());
            walk(below, member && below.is_none(), node, path, out);
            path.pop();
        }
        return;
    }
    if shapes.scalar.is_some() {
        return;
    }
    let Some(list) = &shapes.list else { return };
    if !whole && matches!(list.identity, Identity::Atomic) {
        out.insert(path);
        return;
    }
    for (element, member, below) in set.map(steps).unwrap_or_default() {
        path.push(element.clone());
        walk(below, member && below.is_none(), list.element, path, out);
        path.pop();
    }
}

/// Every element of one level: the element, whether it is a member, and the set below it.
fn steps(set: &FieldSet) -> Vec<(&PathElement, bool, Option<&FieldSet>)> {
    let inner =
        set.children.iter().map(|(element, below)| (element, set.members.contains(element), Some(below)));
    let leaves = set.members.iter().filter(|member| !set.children.contains_key(*member));
    inner.chain(leaves.map(|member| (member, true, None))).collect()
}
