//! Field paths: elements, their order, and their two written forms.
//!
//! The order and the text forms are those of structured-merge-diff (`fieldpath/element.go`,
//! `fieldpath/serialize-pe.go`): fields, then keys, then values, then indices.

use std::cmp::Ordering;
use std::fmt::{self, Display, Write as _};

use serde_json::{Number, Value};

/// A JSON value inside a path element, ordered and compared as Kubernetes does (1 equals 1.0).
#[derive(Clone, Debug)]
pub struct Scalar(pub Value);

impl Scalar {
    /// Numbers, strings, booleans, lists, maps, null, in this order.
    fn rank(&self) -> u8 {
        match self.0 {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
            (Value::String(left), Value::String(right)) => left.cmp(right),
            (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
            (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => {
                self.0.to_string().cmp(&other.0.to_string())
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Ordering {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return left.cmp(&right);
    }
    let (left, right) = (left.as_f64().unwrap_or_default(), right.as_f64().unwrap_or_default());
    left.total_cmp(&right)
}

/// Whether two values are the same to Kubernetes: numbers by value, objects regardless of key order.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right) == Ordering::Equal,
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| equal(left, right)))
        }
        _ => left == right,
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// A field of an object or an entry of a map.
    Field(String),
    /// The list element with these key fields, sorted by name.
    Key(Vec<(String, Scalar)>),
    /// The element of a set with this value.
    Value(Scalar),
    /// The element of a list at this position.
    Index(i64),
}

impl PathElement {
    /// Reads the form used in `FieldsV1`; `Ok(None)` for an element type of a later Kubernetes.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Err(format!("key must be 2 characters long: {text}"));
        };
        if !kind.ends_with(':') {
            return Err(format!("missing colon: {text}"));
        }
        let json = || serde_json::from_str::<Value>(rest).map_err(|error| error.to_string());
        Ok(Some(match kind {
            "f:" => Self::Field(rest.to_owned()),
            "v:" => Self::Value(Scalar(json()?)),
            "k:" => match json()? {
                Value::Object(fields) => {
                    let mut fields: Vec<_> =
                        fields.into_iter().map(|(name, value)| (name, Scalar(value))).collect();
                    fields.sort_by(|left, right| left.0.cmp(&right.0));
                    Self::Key(fields)
                }
                _ => return Err(format!("expected an object: {text}")),
            },
            "i:" => Self::Index(rest.parse().map_err(|_| format!("expected a number: {text}"))?),
            _ => return Ok(None),
        }))
    }

    /// The form used in `FieldsV1`.
    pub(crate) fn serialized(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Field(name) => {
                out.push_str("f:");
                out.push_str(name);
            }
            Self::Key(fields) => {
                out.push_str("k:{");
                for (position, (name, value)) in fields.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    write_string(&mut out, name, false);
                    out.push(':');
                    write_json(&mut out, &value.0);
                }
                out.push('}');
            }
            Self::Value(value) => {
                out.push_str("v:");
                write_json(&mut out, &value.0);
            }
            Self::Index(index) => {
                let _ = write!(out, "i:{index}");
            }
        }
        out
    }
}

/// A field's name as a step of a path is shown.
pub(crate) struct FieldName<'a>(pub(crate) &'a str);

impl Display for FieldName<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(".")?;
        out.write_str(self.0)
    }
}

impl Display for PathElement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => FieldName(name).fmt(out),
            Self::Key(fields) => {
                out.write_str("[")?;
                for (position, (name, value)) in fields.iter().enumerate() {
                    let comma = if position > 0 { "," } else { "" };
                    write!(out, "{comma}{name}={}", readable(&value.0))?;
                }
                out.write_str("]")
            }
            Self::Value(value) => write!(out, "[={}]", readable(&value.0)),
            Self::Index(index) => write!(out, "[{index}]"),
        }
    }
}

fn readable(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let mut out = String::new();
            write_string(&mut out, text, false);
            out
        }
        other => other.to_string(),
    }
}

/// A path from the root of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<PathElement>);

impl Path {
    /// A path of named fields.
    pub fn fields(names: &[&str]) -> Self {
        Self(names.iter().map(|name| PathElement::Field((*name).to_owned())).collect())
    }
}

impl Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| write!(out, "{element}"))
    }
}

/// JSON as Go's encoder writes it: keys sorted, `<`, `>` and `&` escaped.
pub(crate) fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_string(out, text, true),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (position, (name, value)) in fields.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_string(out, name, true);
                out.push(':');
                write_json(out, value);
            }
            out.push('}');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

/// A JSON string as Go writes it.
pub(crate) fn write_string(out: &mut String, text: &str, html: bool) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if html => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
