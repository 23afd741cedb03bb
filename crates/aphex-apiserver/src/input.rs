//! Reading request bodies: JSON, YAML and protobuf; duplicate fields noticed, nothing trusted.

pub mod protobuf;

use std::cell::RefCell;
use std::fmt;

use aphex_schema::path::Trail;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::status::Status;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

const FORMATS: &str = "the body of the request was in an unknown format - accepted media types include: \
                       application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// A decoded body.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The value; of duplicate fields the last one.
    pub value: Value,
    /// What strict decoding says of fields that occur more than once.
    pub duplicates: Vec<String>,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON; the text is what Go's decoder would say.
    #[error("{0}")]
    Json(String),
    /// Not YAML.
    #[error("error converting YAML to JSON: yaml: {0}")]
    Yaml(String),
    /// Not protobuf.
    #[error("{0}")]
    Protobuf(protobuf::Malformed),
}

/// Reads a JSON, YAML or protobuf body; other media types are answered 415.
pub fn decode(content_type: &str, body: &[u8]) -> Result<Result<Decoded, DecodeError>, Status> {
    match content_type {
        JSON => Ok(json(body)),
        PROTOBUF => Ok(protobuf::decode(body)
            .map(|value| Decoded { value, duplicates: Vec::new() })
            .map_err(DecodeError::Protobuf)),
        YAML => Ok(yaml(body)),
        _ => Err(Status::new(415, "UnsupportedMediaType", FORMATS)),
    }
}

/// Whether a body of that media type is YAML.
pub fn is_yaml(content_type: &str) -> bool {
    content_type == YAML
}

/// Reads JSON.
pub fn json(body: &[u8]) -> Result<Decoded, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let duplicates = RefCell::new(Vec::new());
    let seed = Seed { path: Trail::Root, duplicates: &duplicates };
    let value = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(value) => {
            let paths = duplicates.into_inner();
            let duplicates = paths.into_iter().map(|path| format!("duplicate field \"{path}\"")).collect();
            Ok(Decoded { value, duplicates })
        }
        Err(error) => Err(DecodeError::Json(go_error(&error, body))),
    }
}

/// Reads YAML; since every JSON text is YAML, JSON is tried first.
pub fn yaml(body: &[u8]) -> Result<Decoded, DecodeError> {
    if body.trim_ascii_start().first() == Some(&b'{')
        && let Ok(decoded) = json(body)
    {
        return Ok(decoded);
    }
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let wrong = |error: &serde_saphyr::Error| {
        DecodeError::Yaml(error.to_string().lines().next().unwrap_or_default().to_owned())
    };
    let error = match serde_saphyr::from_slice_with_options(body, options) {
        Ok(value) => return Ok(Decoded { value, duplicates: Vec::new() }),
        Err(error) => error,
    };
    // Only strict decoding minds a duplicate key; the first one is told, by its line, as Go's decoder has no path.
    let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), location } = error.without_snippet()
    else {
        return Err(wrong(&error));
    };
    let line = location.line();
    let duplicate = format!("yaml: unmarshal errors:\n  line {line}: key \"{key}\" already set in map");
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    let value = serde_saphyr::from_slice_with_options(body, options).map_err(|error| wrong(&error))?;
    Ok(Decoded { value, duplicates: vec![duplicate] })
}

/// The error as Go's `encoding/json` words it, which clients' users know.
fn go_error(error: &serde_json::Error, body: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let line = body.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let at = String::from_utf8_lossy(line.get(error.column().saturating_sub(1)..).unwrap_or_default());
    let text = error.to_string();
    if text.starts_with("expected ident") {
        let before =
            String::from_utf8_lossy(line.get(..error.column().saturating_sub(1)).unwrap_or_default());
        let literal = at.chars().next().and_then(|given| broken_literal(&before, given));
        return literal.unwrap_or(text);
    }
    let place = if text.starts_with("expected value") {
        "looking for beginning of value"
    } else if text.starts_with("key must be a string") {
        "looking for beginning of object key string"
    } else if text.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if text.starts_with("expected `,` or `]`") {
        "after array element"
    } else if text.starts_with("expected `:`") {
        "after object key"
    } else if text.starts_with("trailing characters") {
        "after top-level value"
    } else {
        return text;
    };
    // Go looks at bytes, and shows each as the character of that number.
    match line.get(error.column().saturating_sub(1)) {
        Some(byte) if matches!(*byte, 0x80..=0x9f) => format!("invalid character '\\u{byte:04x}' {place}"),
        Some(byte) => format!("invalid character '{}' {place}", char::from(*byte)),
        None => text,
    }
}

/// What Go says where a literal breaks off, as in `nul` or `trie`.
fn broken_literal(before: &str, given: char) -> Option<String> {
    ["null", "true", "false"].into_iter().find_map(|literal| {
        let written = (1..literal.len()).rev().find(|written| before.ends_with(&literal[..*written]))?;
        let expected = literal[written..].chars().next()?;
        Some(format!("invalid character '{given}' in literal {literal} (expecting '{expected}')"))
    })
}

/// The JSON type of a value in the words of Go's decoder.
pub fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Object(_) => "object",
        Value::Number(_) | Value::Null => "number",
    }
}

/// What Go says of a body that is JSON and no object.
pub fn not_an_object(value: &Value) -> DecodeError {
    let kind = go_kind(value);
    DecodeError::Json(format!(
        "json: cannot unmarshal {kind} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
         Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    ))
}

/// What the message of an unreadable body shows of it.
pub fn excerpt(body: &[u8]) -> String {
    if body.is_empty() {
        return "<empty>".to_owned();
    }
    if body.first() != Some(&b'{') {
        let head: Vec<String> = body.iter().take(30).map(|byte| format!("{byte:02x}")).collect();
        return format!("{}{}", head.concat(), if body.len() > 30 { " ..." } else { "" });
    }
    let head = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
    if body.len() > 30 { format!("{head} ...") } else { head }
}

/// Builds a JSON value and notes fields that occur twice.
struct Seed<'a> {
    path: Trail<'a>,
    duplicates: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let path = Trail::Index(&self.path, items.len());
            match seq.next_element_seed(Seed { path, duplicates: self.duplicates })? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let path = Trail::Field(&self.path, &key);
            if map.contains_key(&key) {
                self.duplicates.borrow_mut().push(path.to_string());
            }
            let value = access.next_value_seed(Seed { path, duplicates: self.duplicates })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn duplicate_fields_are_told_with_their_path() {
        let decoded = json(br#"{"data":{"x":"1","x":"2"},"l":[{"a":1,"a":2}]}"#).unwrap();
        assert_eq!(decoded.duplicates, ["duplicate field \"data.x\"", "duplicate field \"l[0].a\""]);
        assert_eq!(decoded.value["data"]["x"], "2");
    }

    #[test]
    fn duplicate_keys_of_yaml_are_told_with_their_line_and_the_last_one_counts() {
        let decoded = yaml(b"\na: 1\nspec:\n  x: 1\n  y: 2\n  x: 3\n").unwrap();
        assert_eq!(decoded.duplicates, ["yaml: unmarshal errors:\n  line 6: key \"x\" already set in map"]);
        assert_eq!(decoded.value, json!({"a": 1, "spec": {"x": 3, "y": 2}}));
    }

    #[test]
    fn errors_read_as_those_of_go() {
        let error = |text: &str| json(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error(""), "unexpected end of JSON input");
        assert_eq!(error("{\"a\":1"), "unexpected end of JSON input");
        assert_eq!(error("hello"), "invalid character 'h' looking for beginning of value");
        assert_eq!(error("nonsense"), "invalid character 'o' in literal null (expecting 'u')");
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
        let deep = "[".repeat(200_000);
        assert!(json(deep.as_bytes()).is_err());
        assert!(yaml(deep.as_bytes()).is_err());
    }

    #[test]
    fn yaml_reads_as_kubectl_would_read_it() {
        let decoded = yaml(b"a: yes\nb: 0644\nc: [1, x]\n").unwrap();
        assert_eq!(decoded.value, json!({"a": true, "b": 420, "c": [1, "x"]}));
    }

    #[test]
    fn cbor_is_not_spoken() {
        assert_eq!(decode("application/cbor", b"").unwrap_err().code, 415);
    }
}
