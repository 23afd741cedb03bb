//! Whether a value fits its schema closely enough to be merged.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};

use serde_json::Value;

use super::Mismatches;
use super::element::identify;
use crate::node::{Identity, ListShape, MapShape, Node, ScalarKind};
use crate::path::{FieldName, PathElement};

/// Checks a whole object; `duplicates` lets several elements of a list have one identity.
pub(crate) fn check(value: &Value, node: Node<'_>, duplicates: bool) -> Result<(), Mismatches> {
    let mut checker = Checker { path: String::new(), found: Vec::new(), duplicates };
    checker.value(value, node);
    if checker.found.is_empty() { Ok(()) } else { Err(Mismatches(checker.found)) }
}

struct Checker {
    path: String,
    found: Vec<String>,
    duplicates: bool,
}

impl Checker {
    fn report(&mut self, message: &str) {
        let message =
            if self.path.is_empty() { message.to_owned() } else { format!("{}: {message}", self.path) };
        self.found.push(message);
    }

    fn below(&mut self, element: &impl Display, value: &Value, node: Node<'_>) {
        let length = self.path.len();
        // Writing to a String cannot fail.
        let _ = write!(self.path, "{element}");
        self.value(value, node);
        self.path.truncate(length);
    }

    fn value(&mut self, value: &Value, node: Node<'_>) {
        let shapes = node.shapes().narrowed(Some(value));
        if let Some(map) = &shapes.map {
            self.map(value, map);
        } else if let Some(kind) = shapes.scalar {
            if let Err(message) = check_scalar(kind, value) {
                self.report(&message);
            }
        } else if let Some(list) = &shapes.list {
            self.list(value, list);
        }
    }

    fn map(&mut self, value: &Value, map: &MapShape<'_>) {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Null => return,
            other => return self.report(&format!("expected map, got &{{{}}}", go_value(other))),
        };
        for (name, value) in fields {
            if let Some(node) = map.field(name) {
                self.below(&FieldName(name), value, node);
            } else {
                self.found.push(format!("{}{}: field not declared in schema", self.path, FieldName(name)));
                return;
            }
        }
    }

    fn list(&mut self, value: &Value, list: &ListShape<'_>) {
        let items = match value {
            Value::Array(items) => items,
            Value::Null => return,
            other => return self.report(&format!("expected list, got &{{{}}}", go_value(other))),
        };
        let mut seen = BTreeSet::new();
        for (position, item) in items.iter().enumerate() {
            let element = if matches!(list.identity, Identity::Atomic) {
                PathElement::Index(i64::try_from(position).unwrap_or(i64::MAX))
            } else {
                match identify(list, item) {
                    Ok(element) => element,
                    Err(message) => return self.report(&format!("element {position}: {message}")),
                }
            };
            if !self.duplicates && !seen.insert(element.clone()) {
                self.report(&format!("duplicate entries for key {element}"));
            }
            self.below(&element, item, list.element);
        }
    }
}

/// Whether a value is a scalar of the kind; null always is.
pub(super) fn check_scalar(kind: ScalarKind, value: &Value) -> Result<(), String> {
    match (kind, value) {
        (_, Value::Null)
        | (ScalarKind::Numeric | ScalarKind::Any, Value::Number(_))
        | (ScalarKind::String | ScalarKind::Any, Value::String(_))
        | (ScalarKind::Boolean | ScalarKind::Any, Value::Bool(_)) => Ok(()),
        (ScalarKind::Numeric, other) => {
            Err(format!("expected numeric (int or float), got {}", go_type(other)))
        }
        (ScalarKind::String, other) => {
            Err(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(other)))
        }
        (ScalarKind::Boolean, other) => Err(format!("expected boolean, got &{{{}}}", go_value(other))),
        (ScalarKind::Any, other) => Err(format!("expected any scalar, got &{{{}}}", go_value(other))),
    }
}

/// The type Go's decoder gives a JSON value.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as Go's `%v` prints it.
pub(crate) fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}:{}", go_value(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name:?}:{}", go_syntax(value))).collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
