//! Values from JSON and back, as cel-go converts them to `structpb` for the wire.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value as Json};

use super::{Key, Value, whole};
use crate::number::general;

/// Numbers beyond these lose digits in a double, so cel-go writes them as text.
const SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// More values, and longer texts in all, than any request's body can hold.
const MAX_NODES: usize = 1 << 20;
const BYTES_PER_NODE: usize = 32;

impl Value {
    /// The value of a JSON document: whole numbers are `int` where they fit, else `uint`, else `double`.
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => from_number(number),
            Json::String(text) => Self::String(text.as_str().into()),
            Json::Array(items) => Self::from(items.iter().map(Self::from_json).collect::<Vec<_>>()),
            Json::Object(fields) => Self::Map(Arc::new(
                fields
                    .iter()
                    .map(|(name, field)| (Key::from(name.as_str()), Self::from_json(field)))
                    .collect(),
            )),
        }
    }

    /// The value of a JSON document as Go's `map[string]any` has it: every number is a `double`.
    ///
    /// Tekton decodes event bodies this way, so `body.number` compares with `1` but is not an `int`.
    pub fn from_json_doubles(json: &Json) -> Self {
        match json {
            Json::Number(number) => Self::Double(number.as_f64().unwrap_or_default()),
            Json::Array(items) => Self::from(items.iter().map(Self::from_json_doubles).collect::<Vec<_>>()),
            Json::Object(fields) => Self::Map(Arc::new(
                fields
                    .iter()
                    .map(|(name, field)| (Key::from(name.as_str()), Self::from_json_doubles(field)))
                    .collect(),
            )),
            other => Self::from_json(other),
        }
    }

    /// The value as JSON, as Tekton has it of cel-go: bytes in base64, times and big integers as text; no keys but texts.
    pub fn to_json(&self) -> Result<Json, String> {
        self.json(&mut 0)
    }

    fn json(&self, count: &mut usize) -> Result<Json, String> {
        // Shared parts can make a small value's document endless.
        *count += 1 + self.as_str().map_or(0, |text| text.len() / BYTES_PER_NODE);
        if *count > MAX_NODES {
            return Err("value is too large for JSON".into());
        }
        Ok(match self {
            Self::Null | Self::Optional(None) => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Int(number) if number.unsigned_abs() > SAFE_INTEGER.unsigned_abs() => {
                Json::String(number.to_string())
            }
            Self::Int(number) => Json::from(*number),
            Self::Uint(number) if *number > SAFE_INTEGER.unsigned_abs() => Json::String(number.to_string()),
            Self::Uint(number) => Json::from(*number),
            Self::Double(number) => from_double(*number)?,
            Self::String(text) => Json::String(text.to_string()),
            Self::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
            Self::List(items) => {
                Json::Array(items.iter().map(|item| item.json(count)).collect::<Result<_, _>>()?)
            }
            Self::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|(key, value)| Ok((name(key)?, value.json(count)?)))
                    .collect::<Result<_, String>>()?,
            ),
            Self::Optional(Some(value)) => value.json(count)?,
            Self::Timestamp(moment) => Json::String(moment.to_string()),
            Self::Duration(_) | Self::Ip(_) | Self::Cidr(_) => Json::String(self.to_string()),
            Self::Quantity(quantity) => Json::String(quantity.to_string()),
            Self::Url(_) | Self::Semver(_) | Self::Format(_) | Self::Type(_) | Self::Opaque(_) => {
                return Err(format!("type conversion error from '{}' to JSON", self.type_name()));
            }
        })
    }
}

fn from_number(number: &Number) -> Value {
    if let Some(integer) = number.as_i64() {
        Value::Int(integer)
    } else if let Some(integer) = number.as_u64() {
        Value::Uint(integer)
    } else {
        Value::Double(number.as_f64().unwrap_or_default())
    }
}

/// Whole doubles lose their fraction, as in Go's JSON, which keeps the sign of zero; not every double is JSON.
fn from_double(number: f64) -> Result<Json, String> {
    let small = |integer: &i64| integer.unsigned_abs() <= SAFE_INTEGER.unsigned_abs();
    let negative_zero = number == 0.0 && number.is_sign_negative();
    match whole(number).filter(small) {
        Some(integer) if !negative_zero => Ok(Json::from(integer)),
        _ => Number::from_f64(number)
            .map(Json::Number)
            .ok_or_else(|| format!("google.protobuf.Value.number_value: invalid {} value", general(number))),
    }
}

/// The name of a field: only a text is one.
fn name(key: &Key) -> Result<String, String> {
    match key {
        Key::String(name) => Ok(name.to_string()),
        other => {
            Err(format!("unsupported type conversion from '{}' to string", Value::from(other).type_name()))
        }
    }
}
