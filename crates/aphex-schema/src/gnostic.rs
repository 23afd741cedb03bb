//! The OpenAPI v2 document in protobuf, which client-go asks for
//! (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`).
//!
//! Field numbers are those of `OpenAPIv2.proto` of `github.com/google/gnostic-models` v0.7. Only what Kubernetes'
//! documents hold is written; absent and empty values are left out, as protobuf does.

use serde_json::{Map, Value};

/// The media type clients ask for.
pub const ACCEPT: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The media type of the answer: kube-apiserver writes a dot where the request has `@`.
pub const CONTENT_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// How the value of a JSON key is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Texts,
    Flag,
    Whole,
    Float,
    /// Anything, as YAML text.
    Any,
    Anys,
    /// A message of its own.
    Message(Fields),
    /// Repeated messages.
    Messages(Fields),
    /// A map: repeated pairs of name and message under number 1.
    Named(Fields),
    /// One writer for a shape that no table describes.
    Special(fn(&Value) -> Vec<u8>),
    /// The same, repeated.
    Specials(fn(&Value) -> Vec<u8>),
}

/// The fields of a message by JSON key; under `x-` the number for vendor extensions.
struct Table(&'static [(&'static str, u32, Form)]);

type Fields = &'static Table;

static DOCUMENT: Table = Table(&[
    ("swagger", 1, Form::Text),
    ("info", 2, Form::Message(&Table(&[("title", 1, Form::Text), ("version", 2, Form::Text)]))),
    ("paths", 8, Form::Special(paths)),
    ("definitions", 9, Form::Named(&SCHEMA)),
    ("security", 12, Form::Specials(requirement)),
    ("securityDefinitions", 13, Form::Special(security_definitions)),
]);

static PATH_ITEM: Table = Table(&[
    ("get", 2, Form::Message(&OPERATION)),
    ("put", 3, Form::Message(&OPERATION)),
    ("post", 4, Form::Message(&OPERATION)),
    ("delete", 5, Form::Message(&OPERATION)),
    ("options", 6, Form::Message(&OPERATION)),
    ("head", 7, Form::Message(&OPERATION)),
    ("patch", 8, Form::Message(&OPERATION)),
    ("parameters", 9, Form::Specials(parameter)),
    ("x-", 10, Form::Any),
]);

static OPERATION: Table = Table(&[
    ("tags", 1, Form::Texts),
    ("summary", 2, Form::Text),
    ("description", 3, Form::Text),
    ("operationId", 5, Form::Text),
    ("produces", 6, Form::Texts),
    ("consumes", 7, Form::Texts),
    ("parameters", 8, Form::Specials(parameter)),
    ("responses", 9, Form::Special(responses)),
    ("schemes", 10, Form::Texts),
    ("deprecated", 11, Form::Flag),
    ("x-", 13, Form::Any),
]);

static SCHEMA: Table = Table(&[
    ("$ref", 1, Form::Text),
    ("format", 2, Form::Text),
    ("title", 3, Form::Text),
    ("description", 4, Form::Text),
    ("default", 5, Form::Any),
    ("multipleOf", 6, Form::Float),
    ("maximum", 7, Form::Float),
    ("exclusiveMaximum", 8, Form::Flag),
    ("minimum", 9, Form::Float),
    ("exclusiveMinimum", 10, Form::Flag),
    ("maxLength", 11, Form::Whole),
    ("minLength", 12, Form::Whole),
    ("pattern", 13, Form::Text),
    ("maxItems", 14, Form::Whole),
    ("minItems", 15, Form::Whole),
    ("uniqueItems", 16, Form::Flag),
    ("maxProperties", 17, Form::Whole),
    ("minProperties", 18, Form::Whole),
    ("required", 19, Form::Texts),
    ("enum", 20, Form::Anys),
    ("additionalProperties", 21, Form::Special(additional)),
    ("type", 22, Form::Special(one_text)),
    ("items", 23, Form::Special(one_schema)),
    ("allOf", 24, Form::Messages(&SCHEMA)),
    ("properties", 25, Form::Named(&SCHEMA)),
    ("example", 30, Form::Any),
    ("x-", 31, Form::Any),
]);

static BODY: Table = Table(&[
    ("description", 1, Form::Text),
    ("name", 2, Form::Text),
    ("in", 3, Form::Text),
    ("required", 4, Form::Flag),
    ("schema", 5, Form::Message(&SCHEMA)),
]);

static QUERY: Table = Table(&[
    ("required", 1, Form::Flag),
    ("in", 2, Form::Text),
    ("description", 3, Form::Text),
    ("name", 4, Form::Text),
    ("type", 6, Form::Text),
    ("format", 7, Form::Text),
    ("uniqueItems", 20, Form::Flag),
]);

/// Parameters in paths and headers, which have no `allowEmptyValue`.
static PATH: Table = Table(&[
    ("required", 1, Form::Flag),
    ("in", 2, Form::Text),
    ("description", 3, Form::Text),
    ("name", 4, Form::Text),
    ("type", 5, Form::Text),
    ("format", 6, Form::Text),
    ("uniqueItems", 19, Form::Flag),
]);

static RESPONSE: Table = Table(&[("description", 1, Form::Text), ("schema", 2, Form::Special(one_schema))]);

static API_KEY: Table = Table(&[
    ("type", 1, Form::Text),
    ("name", 2, Form::Text),
    ("in", 3, Form::Text),
    ("description", 4, Form::Text),
]);

/// Encodes an OpenAPI v2 document.
pub fn encode(swagger: &Value) -> Vec<u8> {
    message(swagger, &DOCUMENT)
}

fn message(value: &Value, fields: Fields) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(map) = value.as_object() else { return out };
    for (key, number, form) in fields.0 {
        if *key == "x-" {
            extensions(map, *number, &mut out);
        } else if let Some(value) = map.get(*key) {
            field(value, *number, *form, &mut out);
        }
    }
    out
}

fn field(value: &Value, number: u32, form: Form, out: &mut Vec<u8>) {
    let each = |out: &mut Vec<u8>, write: &dyn Fn(&Value) -> Vec<u8>| {
        for value in value.as_array().into_iter().flatten() {
            bytes(number, &write(value), out);
        }
    };
    match form {
        Form::Text => match value.as_str() {
            Some(text) if !text.is_empty() => bytes(number, text.as_bytes(), out),
            _ => {}
        },
        Form::Texts => each(out, &|value| value.as_str().unwrap_or_default().into()),
        Form::Flag if value == &Value::Bool(true) => {
            varint(u64::from(number) << 3, out);
            varint(1, out);
        }
        Form::Flag => {}
        Form::Whole => {
            if let Some(whole) = value.as_u64().filter(|whole| *whole != 0) {
                varint(u64::from(number) << 3, out);
                varint(whole, out);
            }
        }
        Form::Float => {
            if let Some(float) = value.as_f64().filter(|float| *float != 0.0) {
                varint(u64::from(number) << 3 | 1, out);
                out.extend(float.to_le_bytes());
            }
        }
        Form::Any => bytes(number, &any(value), out),
        Form::Anys => each(out, &any),
        Form::Message(fields) => bytes(number, &message(value, fields), out),
        Form::Messages(fields) => each(out, &|value| message(value, fields)),
        Form::Named(fields) => {
            let mut all = Vec::new();
            for (name, value) in value.as_object().into_iter().flatten() {
                bytes(1, &named(name, &message(value, fields)), &mut all);
            }
            bytes(number, &all, out);
        }
        Form::Special(write) => bytes(number, &write(value), out),
        Form::Specials(write) => each(out, &write),
    }
}

fn extensions(map: &Map<String, Value>, number: u32, out: &mut Vec<u8>) {
    for (name, value) in map.iter().filter(|(name, _)| name.starts_with("x-")) {
        bytes(number, &named(name, &any(value)), out);
    }
}

fn named(name: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(1, name.as_bytes(), &mut out);
    bytes(2, value, &mut out);
    out
}

/// `Any` holds YAML; JSON in one line is YAML.
fn any(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(2, format!("{value}\n").as_bytes(), &mut out);
    out
}

/// A message with one message under number 1.
fn wrapped(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(number, inner, &mut out);
    out
}

fn paths(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, item) in value.as_object().into_iter().flatten() {
        bytes(2, &named(path, &message(item, &PATH_ITEM)), &mut out);
    }
    out
}

fn parameter(value: &Value) -> Vec<u8> {
    if value.get("$ref").is_some() {
        return wrapped(2, &message(value, &Table(&[("$ref", 1, Form::Text)])));
    }
    let parameter = match value.get("in").and_then(Value::as_str) {
        Some("body") => wrapped(1, &message(value, &BODY)),
        Some("header") => wrapped(2, &wrapped(1, &message(value, &PATH))),
        Some("path") => wrapped(2, &wrapped(4, &message(value, &PATH))),
        _ => wrapped(2, &wrapped(3, &message(value, &QUERY))),
    };
    wrapped(1, &parameter)
}

fn responses(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (code, response) in value.as_object().into_iter().flatten() {
        bytes(1, &named(code, &wrapped(1, &message(response, &RESPONSE))), &mut out);
    }
    out
}

fn additional(value: &Value) -> Vec<u8> {
    if value.is_object() {
        return wrapped(1, &message(value, &SCHEMA));
    }
    // A choice is written even if it is false.
    vec![2 << 3, u8::from(value == &Value::Bool(true))]
}

fn one_text(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    field(&Value::Array(vec![value.clone()]), 1, Form::Texts, &mut out);
    out
}

fn one_schema(value: &Value) -> Vec<u8> {
    wrapped(1, &message(value, &SCHEMA))
}

fn requirement(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, scopes) in value.as_object().into_iter().flatten() {
        let mut texts = Vec::new();
        field(scopes, 1, Form::Texts, &mut texts);
        bytes(1, &named(name, &texts), &mut out);
    }
    out
}

fn security_definitions(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, definition) in value.as_object().into_iter().flatten() {
        bytes(1, &named(name, &wrapped(2, &message(definition, &API_KEY))), &mut out);
    }
    out
}

fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_written_as_gnostic_writes_it() {
        let property =
            json!({ "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set" });
        let mut wanted = b"\xb2\x01\x07\n\x05array".to_vec();
        wanted.extend(b"\xba\x01\x0d\n\x0b\xb2\x01\x08\n\x06string");
        wanted.extend(b"\xfa\x01\x22\n\x16x-kubernetes-list-type\x12\x08\x12\x06\"set\"\n");
        assert_eq!(message(&property, &SCHEMA), wanted);
        assert_eq!(additional(&json!(true)), [0x10, 0x01]);
    }

    #[test]
    fn lengths_beyond_one_byte_are_varints() {
        let mut out = Vec::new();
        varint(300, &mut out);
        assert_eq!(out, [0xac, 0x02]);
    }
}
