//! JSON types of built-in objects, refused in the words of Go's decoder.
//!
//! kube-apiserver decodes into Go structs before it validates; a number where a string belongs ends there with
//! `json: cannot unmarshal number into Go struct field ConfigMap.data of type string`. Names of structs come from
//! the definitions; Go's own names for strings with a fixed set of values are not published and shown as `string`.

mod time;

use aphex_cel::pattern;
use serde_json::{Number, Value};

use crate::model::{Additional, Definitions, Schema, Type, Typed};
use crate::path::Trail;

const QUANTITY: &str = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";

/// Checks an object of a built-in kind; the error is Go's, without what is before `json:`.
pub fn check(object: &Value, schema: Typed<'_>) -> Result<(), String> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let place = Place { holder: kind, path: Trail::Root };
    Decoder { definitions: schema.definitions() }.object(object, schema.schema(), kind, &place)
}

/// The whole message of a refused object, as clients see it.
pub fn message(kind: &str, version: &str, cause: &str) -> String {
    format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {cause}")
}

/// Checks what every custom resource has in common: `metadata`, and that of embedded resources.
///
/// The error is the text after `cannot be handled as a KIND: `.
pub fn check_custom(object: &Value, schema: Typed<'_>) -> Result<(), String> {
    if let Some((Value::Object(metadata), meta)) = object.get("metadata").zip(crate::builtin::object_meta()) {
        metadata_of(&Value::Object(metadata.clone()), meta)?;
    }
    embedded(object, schema, &crate::path::Path::root(), true)
}

fn metadata_of(metadata: &Value, meta: Typed<'_>) -> Result<(), String> {
    let place = Place { holder: "ObjectMeta", path: Trail::Root };
    Decoder { definitions: meta.definitions() }.object(metadata, meta.schema(), "v1.ObjectMeta", &place)
}

fn embedded(value: &Value, typed: Typed<'_>, field: &crate::path::Path, root: bool) -> Result<(), String> {
    use crate::error::FieldError;
    let schema = typed.schema();
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if schema.embedded_resource && !root {
                    let at = field.child(name);
                    if matches!(name.as_str(), "apiVersion" | "kind") && !value.is_string() {
                        return Err(FieldError::invalid(&at, value.clone(), "must be a string").to_string());
                    }
                    if let Some(meta) = crate::builtin::object_meta().filter(|_| name == "metadata") {
                        let blame = |cause| FieldError::invalid(&at, value.clone(), cause).to_string();
                        metadata_of(value, meta).map_err(blame)?;
                    }
                }
                if let Some(property) = schema.properties.get(name) {
                    embedded(value, typed.at(property), &field.child(name), false)?;
                } else if let Additional::Each(each) = &schema.additional {
                    embedded(value, typed.at(each), &field.key(name), false)?;
                }
            }
            Ok(())
        }
        Value::Array(list) => {
            let Some(items) = typed.items() else { return Ok(()) };
            let mut elements = list.iter().enumerate();
            elements.try_for_each(|(index, element)| embedded(element, items, &field.index(index), false))
        }
        _ => Ok(()),
    }
}

/// The struct being filled and the path of the field, as Go's errors name them.
struct Place<'a> {
    holder: &'a str,
    path: Trail<'a>,
}

impl Place<'_> {
    fn refuse(&self, what: &str, wanted: &str) -> String {
        if self.path.is_root() {
            return format!("json: cannot unmarshal {what} into Go value of type {wanted}");
        }
        format!(
            "json: cannot unmarshal {what} into Go struct field {}.{} of type {wanted}",
            self.holder, self.path
        )
    }
}

struct Decoder<'a> {
    definitions: &'a Definitions,
}

impl<'a> Decoder<'a> {
    /// Follows references; gives the name of the last definition, too.
    fn resolve(&self, schema: &'a Schema) -> (&'a Schema, Option<&'a str>) {
        let (mut schema, mut name) = (schema, None);
        while let Some((reference, target)) = schema
            .reference
            .as_deref()
            .and_then(|reference| Some((reference, self.definitions.get(reference)?)))
        {
            (schema, name) = (target, Some(reference));
        }
        (schema, name)
    }

    fn value(&self, value: &Value, node: &'a Schema, place: &Place<'_>) -> Result<(), String> {
        let (schema, name) = self.resolve(node);
        if value.is_null() || schema.preserve_unknown {
            return Ok(());
        }
        if schema.int_or_string {
            return if value.is_string() { Ok(()) } else { integer(value, "int32", place) };
        }
        match name.map(short) {
            Some("Quantity") => return quantity(value),
            Some("Time") => return text(value, place).and_then(|text| time::check(text, time::SECONDS)),
            Some("MicroTime") => {
                return text(value, place).and_then(|text| time::check(text, time::MICROSECONDS));
            }
            _ => {}
        }
        match (schema.kind, &schema.additional) {
            (Some(Type::Object), Additional::Each(each)) => match value {
                Value::Object(map) => map.values().try_for_each(|value| self.value(value, each, place)),
                other => Err(place.refuse(described(other), &self.go_type(node))),
            },
            (Some(Type::Object), _) => self.object(value, schema, &self.go_type(node), place),
            (Some(Type::Array), _) => match (value, &schema.items) {
                (Value::Array(list), Some(items)) => {
                    list.iter().try_for_each(|value| self.value(value, items, place))
                }
                (Value::Array(_), None) => Ok(()),
                (other, _) => Err(place.refuse(described(other), &self.go_type(node))),
            },
            (Some(Type::Integer), _) => integer(value, integer_type(schema), place),
            (Some(Type::Number), _) if !value.is_number() => Err(place.refuse(described(value), "float64")),
            (Some(Type::Boolean), _) if !value.is_boolean() => Err(place.refuse(described(value), "bool")),
            (Some(Type::String), _) if schema.format.as_deref() == Some("byte") => bytes(value, place),
            (Some(Type::String), _) => text(value, place).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Fills a struct: `name` is its Go type.
    fn object(&self, value: &Value, schema: &'a Schema, name: &str, place: &Place<'_>) -> Result<(), String> {
        let Value::Object(map) = value else { return Err(place.refuse(described(value), name)) };
        let holder = name.rsplit('.').next().unwrap_or(name);
        for (field, value) in map {
            let Some(node) = schema.properties.get(field) else { continue };
            self.value(value, node, &Place { holder, path: Trail::Field(&place.path, field) })?;
        }
        Ok(())
    }

    /// The Go type a node stands for.
    fn go_type(&self, node: &'a Schema) -> String {
        let (schema, name) = self.resolve(node);
        if let Some(name) = name {
            let name = name.split('#').next().unwrap_or(name);
            let mut parts = name.rsplitn(3, '.');
            let (kind, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            return format!("{package}.{kind}");
        }
        match (schema.kind, &schema.additional) {
            (Some(Type::Object), Additional::Each(each))
                if self.resolve(each).1.map(short) == Some("Quantity") =>
            {
                "v1.ResourceList".to_owned()
            }
            (Some(Type::Object), Additional::Each(each)) => format!("map[string]{}", self.go_type(each)),
            (Some(Type::Object), _) => "map[string]interface {}".to_owned(),
            (Some(Type::Array), _) => match &schema.items {
                Some(items) => format!("[]{}", self.go_type(items)),
                None => "[]interface {}".to_owned(),
            },
            (Some(Type::Integer), _) => integer_type(schema).to_owned(),
            (Some(Type::Number), _) => "float64".to_owned(),
            (Some(Type::Boolean), _) => "bool".to_owned(),
            _ if schema.format.as_deref() == Some("byte") => "[]uint8".to_owned(),
            _ => "string".to_owned(),
        }
    }
}

/// The last part of a definition's name.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn integer_type(schema: &Schema) -> &'static str {
    if schema.format.as_deref() == Some("int32") { "int32" } else { "int64" }
}

fn integer(value: &Value, wanted: &str, place: &Place<'_>) -> Result<(), String> {
    let Value::Number(number) = value else { return Err(place.refuse(described(value), wanted)) };
    let fits = |number: &Number| match wanted {
        "int32" => number.as_i64().is_some_and(|whole| i32::try_from(whole).is_ok()),
        _ => number.is_i64(),
    };
    if fits(number) { Ok(()) } else { Err(place.refuse(&format!("number {number}"), wanted)) }
}

fn text<'v>(value: &'v Value, place: &Place<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| place.refuse(described(value), "string"))
}

fn quantity(value: &Value) -> Result<(), String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match pattern::compile(QUANTITY) {
        Ok(regex) if !regex.is_match(text.trim()) => {
            Err(format!("quantities must match the regular expression '{QUANTITY}'"))
        }
        _ => Ok(()),
    }
}

fn bytes(value: &Value, place: &Place<'_>) -> Result<(), String> {
    match value {
        Value::String(text) => match bad_base64(text) {
            Some(at) => Err(format!("illegal base64 data at input byte {at}")),
            None => Ok(()),
        },
        // A list of numbers is a byte slice to Go.
        Value::Array(list) => list.iter().try_for_each(|value| integer(value, "int64", place)),
        other => Err(place.refuse(described(other), "[]uint8")),
    }
}

/// Where Go finds base64 broken: the odd character, or the start of a group that is cut short.
fn bad_base64(text: &str) -> Option<usize> {
    let mut group = 0;
    let mut start = 0;
    let mut padding = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')) {
        if group == 0 {
            start = at;
            if padding > 0 {
                return Some(at);
            }
        }
        match byte {
            b'=' if group >= 2 => padding += 1,
            byte if padding == 0 && (byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')) => {}
            _ => return Some(at),
        }
        group = (group + 1) % 4;
    }
    (group != 0).then_some(start)
}
