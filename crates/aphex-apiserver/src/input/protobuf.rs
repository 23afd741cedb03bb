//! Reading `application/vnd.kubernetes.protobuf`, which Kubernetes' own typed clients send for built-in kinds.
//!
//! The field numbers are data, taken from the struct tags of `k8s.io/api`, `apimachinery`,
//! `apiextensions-apiserver` and `kube-aggregator` v0.35.4. Only reading: answers are JSON, which every such
//! client accepts as well.

mod wire;

use std::collections::HashMap;
use std::io::Read;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Number, Value};

pub use wire::Malformed;
use wire::{Field, Payload, fields};

static MESSAGES: &[u8] = include_bytes!("../../data/protobuf.json.gz");
const MAGIC: &[u8] = b"k8s\0";
/// As deep as JSON bodies may nest.
const DEPTH: usize = 128;

/// Every message and the kinds that name them.
#[derive(Debug, Default, Deserialize)]
struct Messages {
    /// The message of a JSON schema, which three others embed.
    schema: usize,
    /// `apps/v1/Deployment` to its message.
    kinds: HashMap<String, usize>,
    types: Vec<Vec<Member>>,
}

/// Number, JSON name, shape, kind, and whether Go leaves it out of JSON when empty.
#[derive(Debug, Deserialize)]
struct Member(u64, String, Shape, Kind, u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Shape {
    #[serde(rename = "")]
    One,
    #[serde(rename = "rep")]
    Many,
    #[serde(rename = "map")]
    Map,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Kind {
    Message(usize),
    Known(Known),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Known {
    String,
    Bool,
    Int,
    Double,
    Bytes,
    Time,
    Microtime,
    Duration,
    Intstr,
    Quantity,
    Raw,
    Orbool,
    Orarray,
    Orstrings,
    Strings,
}

fn messages() -> &'static Messages {
    static PARSED: OnceLock<Messages> = OnceLock::new();
    PARSED.get_or_init(|| {
        let mut json = Vec::new();
        // The file is part of the program; a test reads all of it.
        match GzDecoder::new(MESSAGES).read_to_end(&mut json) {
            Ok(_) => serde_json::from_slice(&json).unwrap_or_default(),
            Err(_) => Messages::default(),
        }
    })
}

/// The object in a protobuf body.
pub fn decode(body: &[u8]) -> Result<Value, Malformed> {
    let envelope = body.strip_prefix(MAGIC).ok_or(Malformed::NoMagic)?;
    let (mut api_version, mut kind, mut raw, mut media) =
        (String::new(), String::new(), &[][..], String::new());
    for field in fields(envelope) {
        let field = field?;
        match (field.number, field.payload) {
            (1, Payload::Bytes(meta)) => {
                for field in fields(meta) {
                    let field = field?;
                    match field.number {
                        1 => api_version = field.payload.text()?,
                        2 => kind = field.payload.text()?,
                        _ => {}
                    }
                }
            }
            (2, Payload::Bytes(bytes)) => raw = bytes,
            (4, payload) => media = payload.text()?,
            _ => {}
        }
    }
    if media == "application/json" {
        return serde_json::from_slice(raw).map_err(|_| Malformed::Json);
    }
    let messages = messages();
    let found = messages.kinds.get(&format!("{api_version}/{kind}"));
    let found = found.or_else(|| messages.kinds.get(&format!("meta/{kind}")));
    let message = *found
        .ok_or_else(|| Malformed::UnknownKind { api_version: api_version.clone(), kind: kind.clone() })?;
    let mut object = message_map(message, raw, 0)?;
    object.insert("apiVersion".to_owned(), Value::String(api_version));
    object.insert("kind".to_owned(), Value::String(kind));
    Ok(Value::Object(object))
}

fn message_map(message: usize, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, Malformed> {
    if depth > DEPTH {
        return Err(Malformed::TooDeep);
    }
    let members = messages().types.get(message).map(Vec::as_slice).unwrap_or_default();
    let mut object = Map::new();
    for field in fields(bytes) {
        let field = field?;
        // What a newer client knows and we do not is skipped, as protobuf means it.
        let Some(member) = members.iter().find(|member| member.0 == field.number) else { continue };
        add(&mut object, member, field, depth)?;
    }
    Ok(object)
}

fn add(
    object: &mut Map<String, Value>,
    member: &Member,
    field: Field<'_>,
    depth: usize,
) -> Result<(), Malformed> {
    let Member(_, name, shape, kind, omit_empty) = member;
    match shape {
        Shape::One => {
            let value = value(kind, field.payload, depth)?;
            if name.is_empty() {
                // An embedded struct: its fields are the parent's.
                if let Value::Object(inner) = value {
                    object.extend(inner);
                }
            } else if !value.is_null() && (*omit_empty == 0 || !is_empty(&value)) {
                object.insert(name.clone(), value);
            }
        }
        Shape::Many => {
            let value = value(kind, field.payload, depth)?;
            if let Value::Array(list) = object.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()))
            {
                list.push(value);
            }
        }
        Shape::Map => {
            let (mut key, mut entry) = (String::new(), None);
            for field in fields(field.payload.bytes()?) {
                let field = field?;
                match field.number {
                    1 => key = field.payload.text()?,
                    2 => entry = Some(value(kind, field.payload, depth)?),
                    _ => {}
                }
            }
            let entry = entry.unwrap_or_else(|| zero(kind));
            if let Value::Object(map) =
                object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()))
            {
                map.insert(key, entry);
            }
        }
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Bool(true) => false,
    }
}

fn zero(kind: &Kind) -> Value {
    match kind {
        Kind::Known(Known::String | Known::Bytes | Known::Quantity) => Value::String(String::new()),
        Kind::Known(Known::Bool) => Value::Bool(false),
        Kind::Known(Known::Int) => Value::from(0),
        Kind::Known(Known::Strings) => Value::Array(Vec::new()),
        _ => Value::Object(Map::new()),
    }
}

fn value(kind: &Kind, payload: Payload<'_>, depth: usize) -> Result<Value, Malformed> {
    let known = match kind {
        Kind::Message(message) => {
            return Ok(Value::Object(message_map(*message, payload.bytes()?, depth + 1)?));
        }
        Kind::Known(known) => *known,
    };
    Ok(match known {
        Known::String => Value::String(payload.text()?),
        Known::Bool => Value::Bool(payload.integer()? != 0),
        Known::Int => Value::from(payload.integer()?),
        Known::Double => Number::from_f64(payload.double()?).map_or(Value::Null, Value::Number),
        Known::Bytes => Value::String(STANDARD.encode(payload.bytes()?)),
        Known::Time => time(payload.bytes()?, "%Y-%m-%dT%H:%M:%SZ")?,
        Known::Microtime => time(payload.bytes()?, "%Y-%m-%dT%H:%M:%S%.6fZ")?,
        Known::Duration => duration(integer_field(payload.bytes()?, 1)?),
        Known::Intstr => int_or_string(payload.bytes()?)?,
        Known::Quantity => Value::String(text_field(payload.bytes()?, 1)?),
        Known::Raw => match bytes_field(payload.bytes()?, 1)? {
            Some(json) => serde_json::from_slice(json).map_err(|_| Malformed::Json)?,
            None => Value::Null,
        },
        Known::Strings => Value::Array(strings(payload.bytes()?, 1)?),
        Known::Orbool => match bytes_field(payload.bytes()?, 2)? {
            Some(schema) => schema_value(schema, depth)?,
            None => Value::Bool(integer_field(payload.bytes()?, 1)? != 0),
        },
        Known::Orarray => {
            if let Some(schema) = bytes_field(payload.bytes()?, 1)? {
                schema_value(schema, depth)?
            } else {
                let all = fields(payload.bytes()?).filter_map(Result::ok).filter(|field| field.number == 2);
                let all = all.map(|field| schema_value(field.payload.bytes()?, depth));
                Value::Array(all.collect::<Result<_, Malformed>>()?)
            }
        }
        Known::Orstrings => match bytes_field(payload.bytes()?, 1)? {
            Some(schema) => schema_value(schema, depth)?,
            None => Value::Array(strings(payload.bytes()?, 2)?),
        },
    })
}

fn schema_value(bytes: &[u8], depth: usize) -> Result<Value, Malformed> {
    message_map(messages().schema, bytes, depth + 1).map(Value::Object)
}

fn bytes_field(bytes: &[u8], number: u64) -> Result<Option<&[u8]>, Malformed> {
    let mut found = None;
    for field in fields(bytes) {
        let field = field?;
        if field.number == number {
            found = Some(field.payload.bytes()?);
        }
    }
    Ok(found)
}

fn text_field(bytes: &[u8], number: u64) -> Result<String, Malformed> {
    bytes_field(bytes, number)?.map_or(Ok(String::new()), |text| Payload::Bytes(text).text())
}

fn integer_field(bytes: &[u8], number: u64) -> Result<i64, Malformed> {
    let mut found = 0;
    for field in fields(bytes) {
        let field = field?;
        if field.number == number {
            found = field.payload.integer()?;
        }
    }
    Ok(found)
}

fn strings(bytes: &[u8], number: u64) -> Result<Vec<Value>, Malformed> {
    let mut all = Vec::new();
    for field in fields(bytes) {
        let field = field?;
        if field.number == number {
            all.push(Value::String(field.payload.text()?));
        }
    }
    Ok(all)
}

/// The zero time is an empty message, and null in JSON.
fn time(bytes: &[u8], format: &str) -> Result<Value, Malformed> {
    let (seconds, nanos) = (integer_field(bytes, 1)?, integer_field(bytes, 2)?);
    if seconds == 0 && nanos == 0 {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(nanos).unwrap_or_default();
    let time = Timestamp::new(seconds, nanos).map_err(|_| Malformed::Time)?;
    Ok(Value::String(time.strftime(format).to_string()))
}

/// A Go duration in seconds, which Go reads back whatever unit it would have chosen itself.
fn duration(nanos: i64) -> Value {
    let (seconds, rest) = (nanos / 1_000_000_000, (nanos % 1_000_000_000).unsigned_abs());
    if rest == 0 {
        return Value::String(format!("{seconds}s"));
    }
    let sign = if nanos < 0 && seconds == 0 { "-" } else { "" };
    Value::String(format!("{sign}{seconds}.{rest:09}s"))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Malformed> {
    if integer_field(bytes, 1)? == 0 {
        return Ok(Value::from(integer_field(bytes, 2)?));
    }
    text_field(bytes, 3).map(Value::String)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, length][..], bytes].concat()
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw)].concat()
    }

    #[test]
    fn the_shipped_messages_can_be_read() {
        let messages = messages();
        assert!(messages.types.len() > 500);
        assert!(messages.kinds.contains_key("apps/v1/Deployment"));
        assert!(messages.types[messages.schema].iter().any(|member| member.1 == "properties"));
    }

    #[test]
    fn a_config_map_reads_as_its_json_does() {
        let meta = [field(1, b"a"), field(2, b""), field(8, b"")].concat();
        let entry = [field(1, b"k"), field(2, b"v")].concat();
        let raw = [field(1, &meta), field(2, &entry), vec![4 << 3, 0]].concat();
        assert_eq!(
            decode(&body("v1", "ConfigMap", &raw)).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"},
                // A pointer in Go: false is not the same as absent.
                "immutable": false,
            })
        );
    }

    #[test]
    fn nothing_malformed_gets_through() {
        assert!(matches!(decode(b"{}"), Err(Malformed::NoMagic)));
        assert!(matches!(decode(&body("v1", "Nope", b"")), Err(Malformed::UnknownKind { .. })));
        assert!(decode(&body("v1", "ConfigMap", &[0x0a, 0x7f, 1])).is_err());
        let whole = body("v1", "ConfigMap", &field(1, &field(1, b"a")));
        for end in 0..whole.len() {
            // Cut anywhere, it must fail or read less, never panic.
            let _ = decode(&whole[..end]);
        }
    }
}
