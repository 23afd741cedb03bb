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
    pub(crate) fn without(self, fields: &FieldSet) -> Self {
        if fields.is_empty() {
            return self;
        }
        Self {
            removed: self.removed.recursive_difference(fields),
            modified: self.modified.recursive_difference(fields),
            added: self.added.recursive_difference(fields),
        }
    }
}

/// Compares an object with its successor.
pub(crate) fn compare(left: &Value, right: &Value, node: Node<'_>) -> Result<Comparison, Mismatches> {
    let mut walker = Walker { path: Vec::new(), result: Comparison::default() };
    walker.node(Some(left), Some(right), node)?;
    Ok(walker.result)
}

struct Walker {
    path: Vec<PathElement>,
    result: Comparison,
}

impl Walker {
    fn node(
        &mut self,
        left: Option<&Value>,
        right: Option<&Value>,
        node: Node<'_>,
    ) -> Result<(), Mismatches> {
        let (of_left, of_right) = (node.shapes().narrowed(left), node.shapes().narrowed(right));
        let leaf = if right.is_none() {
            self.shape(left, right, &of_left)?
        } else if left.is_none() || of_left.same(&of_right) {
            self.shape(left, right, &of_right)?
        } else {
            self.shape(left, right, &of_left)?;
            self.shape(left, right, &of_right)?
        };
        if !leaf {
            match (left, right) {
                (None, _) => self.result.added.insert(&self.path),
                (_, None) => self.result.removed.insert(&self.path),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the node was compared as one value.
    fn shape(
        &mut self,
        left: Option<&Value>,
        right: Option<&Value>,
        shapes: &Shapes<'_>,
    ) -> Result<bool, Mismatches> {
        if let Some(map) = &shapes.map {
            let fields = (left.and_then(Value::as_object), right.and_then(Value::as_object));
            let empty = fields.0.is_none_or(Map::is_empty) && fields.1.is_none_or(Map::is_empty);
            if map.atomic || empty {
                return Ok(self.leaf(left, right));
            }
            self.map(fields.0, fields.1, map)?;
            return Ok(false);
        }
        if let Some(kind) = shapes.scalar {
            let fits = (left.map(|it| check_scalar(kind, it)), right.map(|it| check_scalar(kind, it)));
            if let (Some(Err(left)), Some(Err(right))) = fits {
                return Err(Mismatches(vec![format!("lhs: {left}"), format!("rhs: {right}")]));
            }
            return Ok(self.leaf(left, right));
        }
        let Some(list) = &shapes.list else { return Ok(false) };
        let items = (left.and_then(Value::as_array), right.and_then(Value::as_array));
        let empty = items.0.is_none_or(Vec::is_empty) && items.1.is_none_or(Vec::is_empty);
        if matches!(list.identity, Identity::Atomic) || empty {
            return Ok(self.leaf(left, right));
        }
        self.list(items.0.map_or(&[], Vec::as_slice), items.1.map_or(&[], Vec::as_slice), list)?;
        Ok(false)
    }

    fn leaf(&mut self, left: Option<&Value>, right: Option<&Value>) -> bool {
        match (left, right) {
            (None, _) => self.result.added.insert(&self.path),
            (_, None) => self.result.removed.insert(&self.path),
            (Some(left), Some(right)) if !equal(left, right) => self.result.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    fn below(
        &mut self,
        element: PathElement,
        left: Option<&Value>,
        right: Option<&Value>,
        node: Node<'_>,
    ) -> Result<(), Mismatches> {
        self.path.push(element);
        let result = self.node(left, right, node);
        self.path.pop();
        result
    }

    fn map(
        &mut self,
        left: Option<&Map<String, Value>>,
        right: Option<&Map<String, Value>>,
        map: &MapShape<'_>,
    ) -> Result<(), Mismatches> {
        let (empty_left, empty_right) = (Map::new(), Map::new());
        let (left, right) = (left.unwrap_or(&empty_left), right.unwrap_or(&empty_right));
        for name in left.keys().chain(right.keys().filter(|name| !left.contains_key(*name))) {
            let Some(node) = map.field(name) else {
                return Err(Mismatches(vec![format!(".{name}: field not declared in schema")]));
            };
            self.below(PathElement::Field(name.clone()), left.get(name), right.get(name), node)?;
        }
        Ok(())
    }

    fn list(&mut self, left: &[Value], right: &[Value], list: &ListShape<'_>) -> Result<(), Mismatches> {
        let mut by_identity: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for (position, item) in left.iter().enumerate() {
            by_identity.entry(element_of(list, position, item)?).or_default().0.push(item);
        }
        for (position, item) in right.iter().enumerate() {
            by_identity.entry(element_of(list, position, item)?).or_default().1.push(item);
        }
        for (element, (left, right)) in by_identity {
            self.items(element, &left, &right, list.element)?;
        }
        Ok(())
    }

    /// Compares the elements of one identity; several of them on one side are compared as a whole.
    fn items(
        &mut self,
        element: PathElement,
        left: &[&Value],
        right: &[&Value],
        node: Node<'_>,
    ) -> Result<(), Mismatches> {
        let mut path = self.path.clone();
        path.push(element.clone());
        match (left, right) {
            ([] | [_], [] | [_]) => {
                self.below(element, left.first().copied(), right.first().copied(), node)?;
            }
            ([_, _, ..], [_, _, ..]) => {
                let same = left.len() == right.len()
                    && left.iter().zip(right).all(|(left, right)| equal(left, right));
                if !same {
                    self.result.modified.insert(&path);
                }
            }
            ([_, _, ..], _) => {
                if let Some(right) = right.first() {
                    self.below(element, None, Some(right), node)?;
                }
                self.result.removed.insert(&path);
            }
            (_, [_, _, ..]) => {
                if let Some(left) = left.first() {
                    self.below(element, Some(left), None, node)?;
                }
                self.result.added.insert(&path);
            }
        }
        Ok(())
    }
}

fn element_of(list: &ListShape<'_>, position: usize, item: &Value) -> Result<PathElement, Mismatches> {
    identify(list, item).map_err(|message| Mismatches(vec![format!("element {position}: {message}")]))
}
