//! The CEL type of a schema and how large its values can be.
//!
//! Follows `k8s.io/apiserver/pkg/cel/common/schemas.go`: a request has at most 3 MiB, so what has no limit of its
//! own is as large as fits into one. Values no schema describes are not there for expressions.

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_cel::{Declared, Type as Cel};
use serde_json::Value;

use super::convert::escape;
use crate::model::{Additional, Schema, Type, Typed};

/// The bytes of the largest request.
pub(super) const REQUEST: i64 = 3 * 1024 * 1024;
/// The longest text: a request less its quotes.
const LONGEST_TEXT: u64 = REQUEST.unsigned_abs() - 2;
/// How deep schemas may refer to others before a value counts as anything.
const DEEPEST: usize = 64;

/// The type of values of this schema, if expressions can speak of them; `resource` adds what every resource has.
pub fn declare(schema: Typed<'_>, resource: bool) -> Option<Declared> {
    declare_below(schema, resource, &mut Vec::new())
}

fn declare_below<'a>(typed: Typed<'a>, resource: bool, above: &mut Vec<&'a Schema>) -> Option<Declared> {
    let schema = typed.schema();
    if schema.int_or_string {
        return Some(Declared::simple(Cel::Dyn, schema.max_length.map_or(LONGEST_TEXT, characters), 1));
    }
    // Only definitions that refer to themselves come by here twice.
    if above.len() > DEEPEST || above.iter().any(|schema| std::ptr::eq(*schema, typed.schema())) {
        return Some(Declared::simple(Cel::Dyn, LONGEST_TEXT, 1));
    }
    above.push(schema);
    let declared = match schema.kind {
        Some(Type::Array) => list(typed, above),
        Some(Type::Object) => object(typed, resource, above),
        Some(Type::String) => Some(text(schema)),
        Some(Type::Boolean) => Some(Declared::simple(Cel::Bool, 0, 4)),
        Some(Type::Number) => Some(Declared::simple(Cel::Double, 0, 1)),
        Some(Type::Integer) => Some(Declared::simple(Cel::Int, 0, 1)),
        None => None,
    };
    above.pop();
    declared
}

fn list<'a>(typed: Typed<'a>, above: &mut Vec<&'a Schema>) -> Option<Declared> {
    let items = typed.items()?;
    let element = declare_below(items, items.schema().embedded_resource, above)?;
    let most = typed.schema().max_items;
    let most = most.unwrap_or_else(|| fitting(element.least_bytes() + 1));
    Some(Declared::list(element, most))
}

/// How many parts of this many bytes fit into a request, its brackets aside.
fn fitting(bytes: i64) -> u64 {
    ((REQUEST - 2) / bytes.max(1)).unsigned_abs()
}

fn object<'a>(typed: Typed<'a>, resource: bool, above: &mut Vec<&'a Schema>) -> Option<Declared> {
    let schema = typed.schema();
    let is_whole = resource && has_meta(schema);
    if let Additional::Each(each) = &schema.additional {
        let each = typed.at(each);
        let value = declare_below(each, each.schema().embedded_resource, above)?;
        // A key of no letters, its quotes, a colon, a comma.
        let most = schema.max_properties.unwrap_or_else(|| fitting(value.least_bytes() + 6));
        return Some(Declared::map(value, most));
    }
    let mut fields = BTreeMap::new();
    let mut bytes = 2;
    for (name, property) in &schema.properties {
        if resource && !is_whole && matches!(name.as_str(), "kind" | "apiVersion" | "metadata") {
            continue;
        }
        let property = typed.at(property);
        let Some(declared) = declare_below(property, property.schema().embedded_resource, above) else {
            continue;
        };
        bytes += required(schema, name, property.schema().default.as_ref(), &declared);
        if let Some(name) = escape(name) {
            fields.insert(Arc::from(name), declared);
        }
    }
    if resource && !is_whole {
        for (name, declared) in meta() {
            bytes += required(schema, name, None, &declared);
            fields.insert(Arc::from(name), declared);
        }
    }
    Some(Declared::object(fields, bytes))
}

/// The bytes a property adds to every object: none unless it is required and has no default.
fn required(schema: &Schema, name: &str, default: Option<&Value>, declared: &Declared) -> i64 {
    if default.is_some() || !schema.required.iter().any(|required| required == name) {
        return 0;
    }
    i64::try_from(name.len()).unwrap_or(REQUEST) + declared.least_bytes() + 4
}

/// Whether the schema itself describes what every resource has.
fn has_meta(schema: &Schema) -> bool {
    let is = |schema: &Schema, name: &str, kind| {
        schema.properties.get(name).is_some_and(|property| property.kind == Some(kind))
    };
    let metadata = schema.properties.get("metadata");
    is(schema, "kind", Type::String)
        && is(schema, "apiVersion", Type::String)
        && is(schema, "metadata", Type::Object)
        && metadata.is_some_and(|metadata| {
            is(metadata, "name", Type::String) && is(metadata, "generateName", Type::String)
        })
}

fn meta() -> [(&'static str, Declared); 3] {
    let text = || Declared::simple(Cel::String, LONGEST_TEXT, 2);
    let names = ["name", "generateName"].map(|name| (Arc::from(name), text()));
    let metadata = Declared::object(names.into_iter().collect(), 2);
    [("kind", text()), ("apiVersion", text()), ("metadata", metadata)]
}

fn text(schema: &Schema) -> Declared {
    match schema.format.as_deref() {
        Some("byte") => Declared::simple(Cel::Bytes, schema.max_length.unwrap_or(LONGEST_TEXT), 2),
        Some("duration") => Declared::simple(Cel::Duration, 32, 3),
        Some("date") => Declared::simple(Cel::Timestamp, 12, 12),
        Some("date-time") => Declared::simple(Cel::Timestamp, 32, 21),
        _ => {
            let longest = || schema.enumeration.as_deref().map_or(LONGEST_TEXT, longest);
            Declared::simple(Cel::String, schema.max_length.map_or_else(longest, characters), 2)
        }
    }
}

/// The bytes of so many characters.
fn characters(count: u64) -> u64 {
    count.wrapping_mul(4)
}

fn longest(values: &[Value]) -> u64 {
    values.iter().filter_map(Value::as_str).map(|text| text.len() as u64).max().unwrap_or_default()
}
