//! Which part of the old object a part of the new one came from.
//!
//! Properties and map entries correlate by name, elements of lists only by their keys (list type `map`).
//! Ratcheting and transition rules both stand on this (`k8s.io/apiserver/pkg/cel/common/equality.go`).

use serde_json::Value;

use crate::model::{ListKind, Structure, Typed};

/// A part of the old object, with the schema that says how its children correlate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Old<'a> {
    pub(crate) value: &'a Value,
    schema: Typed<'a>,
}

impl<'a> Old<'a> {
    pub(crate) fn new(value: &'a Value, schema: Typed<'a>) -> Self {
        Self { value, schema }
    }

    /// The old value of a property or map entry.
    pub(crate) fn property(self, name: &str) -> Option<Self> {
        let value = self.value.as_object()?.get(name)?;
        Some(Self { value, schema: self.schema.property(name)? })
    }

    /// The old element with the keys of `element`; lists of other types do not correlate.
    pub(crate) fn element(self, element: &Value) -> Option<Self> {
        let Structure::List(ListKind::Map(keys)) = self.schema.structure() else { return None };
        let items = self.schema.items()?;
        let same =
            |old: &&Value| keys.iter().all(|key| key_of(old, key, items) == key_of(element, key, items));
        let value = self.value.as_array()?.iter().find(same).filter(|_| element.is_object())?;
        Some(Self { value, schema: items })
    }

    /// Whether nothing changed; the order of lists of type `map` does not count.
    pub(crate) fn equals(self, new: &Value) -> bool {
        match (self.value, new) {
            (Value::Array(old), Value::Array(list)) => {
                let by_keys = matches!(self.schema.structure(), Structure::List(ListKind::Map(_)));
                if !by_keys {
                    return old == list;
                }
                let found = |element| self.element(element).is_some_and(|old| old.equals(element));
                old.len() == list.len() && list.iter().all(found)
            }
            (Value::Object(old), Value::Object(map)) => {
                let same = |(name, value): (&String, &Value)| match self.property(name) {
                    Some(property) => property.equals(value),
                    None => old.get(name) == Some(value),
                };
                old.len() == map.len() && map.iter().all(same)
            }
            (old, new) => old == new,
        }
    }
}

/// The value of a key of a list's element, its default where it is absent.
fn key_of<'v>(element: &'v Value, key: &str, items: Typed<'v>) -> Option<&'v Value> {
    let given = element.as_object().and_then(|map| map.get(key));
    given.or_else(|| items.property(key).and_then(|property| property.schema().default.as_ref()))
}
