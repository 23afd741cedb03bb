//! `FieldsV1`: a set as JSON, ordered as structured-merge-diff writes it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::FieldSet;
use crate::path::{PathElement, write_string};

/// A `fieldsV1` that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FieldSetError {
    /// A key is not a path element.
    #[error("parsing key as path element: {0}")]
    Element(String),
    /// A node of the tree is not an object.
    #[error("expected a map of path elements, got {0}")]
    Shape(String),
}

impl FieldSet {
    /// Reads `fieldsV1`; path elements of unknown types are skipped.
    pub fn from_value(value: &Value) -> Result<Self, FieldSetError> {
        Ok(read(value)?.0.unwrap_or_default())
    }

    /// `fieldsV1` as a JSON value.
    pub fn to_value(&self) -> Value {
        self.tree(false)
    }

    /// `fieldsV1` byte for byte as Kubernetes' encoder orders it.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(false, &mut out);
        out
    }

    /// Members and inner nodes together, each once, in the order of path elements.
    fn elements(&self) -> BTreeSet<&PathElement> {
        self.members.iter().chain(self.children.keys()).collect()
    }

    fn tree(&self, member: bool) -> Value {
        let mut out = Map::new();
        if member && !(self.members.is_empty() && self.children.is_empty()) {
            out.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            out.insert(element.serialized(), child.tree(self.members.contains(element)));
        }
        for element in self.members.iter().filter(|element| !self.children.contains_key(*element)) {
            out.insert(element.serialized(), Value::Object(Map::new()));
        }
        Value::Object(out)
    }

    fn write(&self, member: bool, out: &mut String) {
        out.push('{');
        let mut first = true;
        if member && !(self.members.is_empty() && self.children.is_empty()) {
            out.push_str("\".\":{}");
            first = false;
        }
        for element in self.elements() {
            if !first {
                out.push(',');
            }
            first = false;
            write_string(out, &element.serialized(), false);
            out.push(':');
            match self.children.get(element) {
                Some(child) => child.write(self.members.contains(element), out),
                None => out.push_str("{}"),
            }
        }
        out.push('}');
    }
}

/// The set below a node, if any, and whether the node itself is a member.
fn read(value: &Value) -> Result<(Option<FieldSet>, bool), FieldSetError> {
    let empty = Map::new();
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Null => &empty,
        other => return Err(FieldSetError::Shape(other.to_string())),
    };
    let (mut set, mut member) = (None::<FieldSet>, false);
    for (key, below) in fields {
        if key == "." {
            member = true;
            continue;
        }
        let Some(element) = PathElement::parse(key).map_err(FieldSetError::Element)? else { continue };
        let (below, is_member) = read(below)?;
        let set = set.get_or_insert_default();
        if let Some(below) = below {
            set.children.insert(element.clone(), below);
        }
        if is_member {
            set.members.insert(element);
        }
    }
    Ok((set.clone(), member || set.is_none()))
}
