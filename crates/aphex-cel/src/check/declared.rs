//! A type with what is known of the sizes of its values: what costs are estimated from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::types::Type;

/// A declared type; copies share it. Sizes are those of the JSON its values are written as.
#[derive(Clone, Debug)]
pub struct Declared {
    shape: Shape,
    /// The most characters, bytes, elements or entries a value has.
    pub(crate) most: u64,
    /// The fewest bytes a value takes.
    least_bytes: i64,
}

#[derive(Clone, Debug)]
enum Shape {
    Simple(Type),
    List(Arc<Declared>),
    Map(Arc<Declared>),
    Object(Arc<BTreeMap<Arc<str>, Declared>>),
}

impl Declared {
    /// A type without parts; `most` is the longest value, `least_bytes` the shortest JSON.
    pub fn simple(kind: Type, most: u64, least_bytes: i64) -> Self {
        Self { shape: Shape::Simple(kind), most, least_bytes }
    }

    /// A list of at most so many elements.
    pub fn list(element: Self, most: u64) -> Self {
        Self { shape: Shape::List(Arc::new(element)), most, least_bytes: 2 }
    }

    /// A map from texts, of at most so many entries.
    pub fn map(value: Self, most: u64) -> Self {
        Self { shape: Shape::Map(Arc::new(value)), most, least_bytes: 2 }
    }

    /// An object with these fields, named as expressions name them.
    pub fn object(fields: BTreeMap<Arc<str>, Self>, least_bytes: i64) -> Self {
        Self { shape: Shape::Object(Arc::new(fields)), most: 0, least_bytes }
    }

    /// The fewest bytes a value takes in JSON.
    pub fn least_bytes(&self) -> i64 {
        self.least_bytes
    }

    /// The type of an object's field.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match &self.shape {
            Shape::Object(fields) => fields.get(name),
            _ => None,
        }
    }

    /// The type of a list's elements or a map's values.
    pub fn element(&self) -> Option<&Self> {
        match &self.shape {
            Shape::List(element) | Shape::Map(element) => Some(element),
            _ => None,
        }
    }

    /// The type for expressions; objects inside are named after `name` and where they are.
    pub fn to_type(&self, name: &str) -> Type {
        match &self.shape {
            Shape::Simple(kind) => kind.clone(),
            Shape::List(element) => Type::list(element.to_type(&format!("{name}.@idx"))),
            Shape::Map(value) => Type::map(Type::String, value.to_type(&format!("{name}.@elem"))),
            Shape::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(field, declared)| {
                        (Arc::clone(field), declared.to_type(&format!("{name}.{field}")))
                    })
                    .collect();
                Type::object(name, fields)
            }
        }
    }

    /// The largest value at the end of a path, its variable left out; none where the path leads nowhere.
    pub(crate) fn most_at(&self, steps: &[Arc<str>]) -> Option<u64> {
        /// The keys of maps are texts nothing is known of.
        const KEYS: &str = "@keys";
        let mut at = self;
        for (place, step) in steps.iter().enumerate() {
            at = match (&**step, &at.shape) {
                ("@items" | "@values", _) => at.element()?,
                (KEYS, Shape::Map(_)) => return (place + 1 == steps.len()).then_some(0),
                _ => at.field(step)?,
            };
        }
        Some(at.most)
    }
}
