//! Merging an applied configuration into an object.
//!
//! Leaves take the applied value. Associative lists keep what only the object has, where it stood among the
//! elements both have, and follow the applied order otherwise (structured-merge-diff v6 `visitListItems`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::Mismatches;
use super::check::check_scalar;
use super::element::identify;
use crate::node::{Identity, ListShape, MapShape, Node};
use crate::path::PathElement;

/// Merges `right` over `left`; nothing is removed.
pub(crate) fn merge(left: &Value, right: &Value, node: Node<'_>) -> Result<Value, Mismatches> {
    Ok(walk(Some(left), Some(right), node)?.unwrap_or(Value::Null))
}

type Merged = Result<Option<Value>, Mismatches>;

fn walk(left: Option<&Value>, right: Option<&Value>, node: Node<'_>) -> Merged {
    // Of two different shapes (only an untyped node allows several) the right one decides.
    let shapes = node.shapes().narrowed(right.or(left));
    let keep_right = || Ok(right.or(left).cloned());
    if let Some(map) = &shapes.map {
        let (left, right) = (left.and_then(Value::as_object), right.and_then(Value::as_object));
        let empty = left.is_none_or(Map::is_empty) && right.is_none_or(Map::is_empty);
        return if map.atomic || empty { keep_right() } else { walk_map(left, right, map) };
    }
    if let Some(kind) = shapes.scalar {
        let (left_fits, right_fits) =
            (left.map(|it| check_scalar(kind, it)), right.map(|it| check_scalar(kind, it)));
        if let (Some(Err(left)), Some(Err(right))) = (left_fits, right_fits) {
            return Err(Mismatches(vec![format!("lhs: {left}"), format!("rhs: {right}")]));
        }
        return keep_right();
    }
    let Some(list) = &shapes.list else { return keep_right() };
    let (left, right) = (left.and_then(Value::as_array), right.and_then(Value::as_array));
    let empty = left.is_none_or(Vec::is_empty) && right.is_none_or(Vec::is_empty);
    if matches!(list.identity, Identity::Atomic) || empty {
        return keep_right();
    }
    ListMerge::new(list, left.map_or(&[], Vec::as_slice), right.map_or(&[], Vec::as_slice))?.run()
}

fn walk_map(
    left: Option<&Map<String, Value>>,
    right: Option<&Map<String, Value>>,
    map: &MapShape<'_>,
) -> Merged {
    let mut out = Map::new();
    let (empty_left, empty_right) = (Map::new(), Map::new());
    let (left, right) = (left.unwrap_or(&empty_left), right.unwrap_or(&empty_right));
    let names = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
    for name in names {
        let Some(node) = map.field(name) else {
            return Err(Mismatches(vec![format!(".{name}: field not declared in schema")]));
        };
        let merged = walk(left.get(name), right.get(name), node).map_err(|Mismatches(all)| {
            Mismatches(all.into_iter().map(|each| format!(".{name}{each}")).collect())
        })?;
        if let Some(merged) = merged {
            out.insert(name.clone(), merged);
        }
    }
    Ok((!out.is_empty()).then_some(Value::Object(out)))
}

/// The state of merging two associative lists.
struct ListMerge<'a, 'b> {
    list: &'b ListShape<'a>,
    left: Vec<(PathElement, &'b Value)>,
    right: Vec<(PathElement, &'b Value)>,
    /// By identity; none for an identity that occurs more than once.
    in_left: BTreeMap<PathElement, Option<&'b Value>>,
    in_right: BTreeSet<PathElement>,
    /// What both lists have, in the right one's order, still to come.
    shared: VecDeque<PathElement>,
    merged: BTreeSet<PathElement>,
    out: Vec<Value>,
}

impl<'a, 'b> ListMerge<'a, 'b> {
    fn new(list: &'b ListShape<'a>, left: &'b [Value], right: &'b [Value]) -> Result<Self, Mismatches> {
        let identified = |items: &'b [Value]| {
            items
                .iter()
                .enumerate()
                .map(|(position, item)| match identify(list, item) {
                    Ok(element) => Ok((element, item)),
                    Err(message) => Err(Mismatches(vec![format!(": element {position}: {message}")])),
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let (left, right) = (identified(left)?, identified(right)?);
        let mut in_right = BTreeSet::new();
        for (element, _) in &right {
            if !in_right.insert(element.clone()) {
                return Err(Mismatches(vec![format!(": duplicate entries for key {element}")]));
            }
        }
        let mut in_left: BTreeMap<PathElement, Option<&'b Value>> = BTreeMap::new();
        for (element, item) in &left {
            in_left.entry(element.clone()).and_modify(|item| *item = None).or_insert(Some(item));
        }
        let shared =
            right.iter().map(|(element, _)| element).filter(|element| in_left.contains_key(*element));
        let shared = shared.cloned().collect();
        Ok(Self { list, left, right, in_left, in_right, shared, merged: BTreeSet::new(), out: Vec::new() })
    }

    fn run(mut self) -> Merged {
        let (mut left, mut right) = (0, 0);
        while left < self.left.len() || right < self.right.len() {
            if left < self.left.len() && right < self.right.len() {
                let element = &self.left[left].0;
                if *element == self.right[right].0 {
                    self.take_right(right)?;
                    self.shared.pop_front();
                    left += 1;
                    right += 1;
                    continue;
                }
                let awaited = self.shared.front();
                if self.in_right.contains(element) && awaited.is_some_and(|next| next != element) {
                    // Shared, but its turn by the right order has not come or has passed.
                    left += 1;
                    continue;
                }
            }
            if left < self.left.len() {
                let (element, item) = &self.left[left];
                if !self.in_right.contains(element) {
                    let merged = walk(Some(item), None, self.list.element)?;
                    self.out.extend(merged);
                    left += 1;
                    continue;
                }
                if self.merged.contains(element) {
                    left += 1;
                }
            }
            if right < self.right.len() {
                self.take_right(right)?;
                if self.shared.front() == Some(&self.right[right].0) {
                    self.shared.pop_front();
                }
                right += 1;
            }
        }
        Ok((!self.out.is_empty()).then_some(Value::Array(self.out)))
    }

    fn take_right(&mut self, position: usize) -> Result<(), Mismatches> {
        let (element, item) = &self.right[position];
        let left = self.in_left.get(element).copied().flatten();
        let merged = walk(left, Some(item), self.list.element).map_err(|Mismatches(all)| {
            Mismatches(all.into_iter().map(|each| format!("{element}{each}")).collect())
        })?;
        self.merged.insert(element.clone());
        self.out.extend(merged);
        Ok(())
    }
}
