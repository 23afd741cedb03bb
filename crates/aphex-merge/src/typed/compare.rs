//! What changed between two objects: removed, modified and added fields.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Mismatches;
use super::check::check_scalar;
use super::element::identify;
use crate::field_set::FieldSet;
use crate::node::{Identity, ListShape, MapShape, Node, Shapes};
use crate::path::{PathElement, equal};

/// The difference of two objects; no field is in two of the sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) removed: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) added: FieldSet,
}

impl Comparison {
    /// Without these fields and everything below them.
    pub(crate) fn without(mut self, fields: &FieldSet) -> Self {
        for set in [&mut self.removed, &mut self.modified, &mut self.added] {
            set.take_trees(fields);
        }
        self
    }

    /// The set that a value is in when it differs.
    fn side(&mut self, left: Option<&Value>, right: Option<&Value>) -> &mut FieldSet {
        match (left, right) {
            (None, _) => &mut self.added,
            (_, None) => &mut self.removed,
            _ => &mut self.modified,
        }
    }
}

/// Compares an object with its successor.
pub(crate) fn compare(left: &Value, right: &Value, node: Node<'_>) -> Result<Comparison, Mismatches> {
    let mut result = Comparison::default();
    // The root is in no set.
    walk(Some(left), Some(right), node, &mut result)?;
    Ok(result)
}

/// Whether the value itself differs; `into` gets what does below it.
fn walk(
    left: Option<&Value>,
    right: Option<&Value>,
    node: Node<'_>,
    into: &mut Comparison,
) -> Result<bool, Mismatches> {
    let shapes = node.shapes();
    let (of_left, of_right) = (shapes.narrowed(left), shapes.narrowed(right));
    let leaf = if right.is_none() {
        shape(left, right, &of_left, into)?
    } else if left.is_none() || of_left.same(&of_right) {
        shape(left, right, &of_right, into)?
    } else {
        shape(left, right, &of_left, into)? | shape(left, right, &of_right, into)?
    };
    Ok(match (left, right) {
        (Some(left), Some(right)) => leaf && !equal(left, right),
        _ => true,
    })
}

/// Whether the value is to be compared as one.
fn shape(
    left: Option<&Value>,
    right: Option<&Value>,
    shapes: &Shapes<'_>,
    into: &mut Comparison,
) -> Result<bool, Mismatches> {
    if let Some(map) = &shapes.map {
        let fields = (left.and_then(Value::as_object), right.and_then(Value::as_object));
        let empty = fields.0.is_none_or(Map::is_empty) && fields.1.is_none_or(Map::is_empty);
        if map.atomic || empty {
            return Ok(true);
        }
        compare_maps(fields.0, fields.1, map, into)?;
        return Ok(false);
    }
    if let Some(kind) = shapes.scalar {
        let fits = (left.map(|it| check_scalar(kind, it)), right.map(|it| check_scalar(kind, it)));
        if let (Some(Err(left)), Some(Err(right))) = fits {
            return Err(Mismatches(vec![format!("lhs: {left}"), format!("rhs: {right}")]));
        }
        return Ok(true);
    }
    let Some(list) = &shapes.list else { return Ok(false) };
    let items = (left.and_then(Value::as_array), right.and_then(Value::as_array));
    let empty = items.0.is_none_or(Vec::is_empty) && items.1.is_none_or(Vec::is_empty);
    if matches!(list.identity, Identity::Atomic) || empty {
        return Ok(true);
    }
    compare_lists(items.0.map_or(&[], Vec::as_slice), items.1.map_or(&[], Vec::as_slice), list, into)?;
    Ok(false)
}

/// Compares what an element names on both sides; what is below it is found first, so that no path is ever looked up.
fn below(
    element: PathElement,
    left: Option<&Value>,
    right: Option<&Value>,
    node: Node<'_>,
    into: &mut Comparison,
) -> Result<(), Mismatches> {
    let mut found = Comparison::default();
    let differs = walk(left, right, node, &mut found)?;
    into.removed.adopt(&element, found.removed);
    into.modified.adopt(&element, found.modified);
    into.added.adopt(&element, found.added);
    if differs {
        into.side(left, right).members.insert(element);
    }
    Ok(())
}

fn compare_maps(
    left: Option<&Map<String, Value>>,
    right: Option<&Map<String, Value>>,
    map: &MapShape<'_>,
    into: &mut Comparison,
) -> Result<(), Mismatches> {
    let (empty_left, empty_right) = (Map::new(), Map::new());
    let (left, right) = (left.unwrap_or(&empty_left), right.unwrap_or(&empty_right));
    for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))) {
        let Some(node) = map.field(name) else {
            return Err(Mismatches(vec![format!(".{name}: field not declared in schema")]));
        };
        below(PathElement::Field(name.clone()), left.get(name), right.get(name), node, into)?;
    }
    Ok(())
}

fn compare_lists(
    left: &[Value],
    right: &[Value],
    list: &ListShape<'_>,
    into: &mut Comparison,
) -> Result<(), Mismatches> {
    let mut by_identity: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for (position, item) in left.iter().enumerate() {
        by_identity.entry(element_of(list, position, item)?).or_default().0.push(item);
    }
    for (position, item) in right.iter().enumerate() {
        by_identity.entry(element_of(list, position, item)?).or_default().1.push(item);
    }
    for (element, (left, right)) in by_identity {
        compare_items(element, &left, &right, list.element, into)?;
    }
    Ok(())
}

/// Compares the elements of one identity; several of them on one side are compared as a whole.
fn compare_items(
    element: PathElement,
    left: &[&Value],
    right: &[&Value],
    node: Node<'_>,
    into: &mut Comparison,
) -> Result<(), Mismatches> {
    match (left, right) {
        ([] | [_], [] | [_]) => below(element, left.first().copied(), right.first().copied(), node, into)?,
        ([_, _, ..], [_, _, ..]) => {
            let same =
                left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right));
            if !same {
                into.modified.members.insert(element);
            }
        }
        ([_, _, ..], _) => {
            if let Some(right) = right.first() {
                below(element.clone(), None, Some(right), node, into)?;
            }
            into.removed.members.insert(element);
        }
        (_, [_, _, ..]) => {
            if let Some(left) = left.first() {
                below(element.clone(), Some(left), None, node, into)?;
            }
            into.added.members.insert(element);
        }
    }
    Ok(())
}

fn element_of(list: &ListShape<'_>, position: usize, item: &Value) -> Result<PathElement, Mismatches> {
    identify(list, item).map_err(|message| Mismatches(vec![format!("element {position}: {message}")]))
}
