//! Conversions between types: `int(x)`, `string(x)`, `timestamp(x)` and their kin.

use super::{Cost, Function, global};
use crate::error::Fault;
use crate::eval::Scope;
use crate::number;
use crate::value::Value;

type Outcome = Result<Value, Fault>;

pub(super) const FUNCTIONS: &[Function] = &[
    global("int", 1, Cost::One, int),
    global("uint", 1, Cost::One, uint),
    global("double", 1, Cost::One, double),
    global("string", 1, Cost::Text, string),
    global("bytes", 1, Cost::Text, bytes),
    global("bool", 1, Cost::One, bool),
    global("dyn", 1, Cost::One, dynamic),
    global("type", 1, Cost::One, type_of),
];

fn range() -> Fault {
    Fault::new("integer overflow")
}

fn unsigned_range() -> Fault {
    Fault::new("unsigned integer overflow")
}

/// cel-go tells the types and no more.
pub(super) fn unreadable(kind: &str) -> Fault {
    Fault::new(format!("type conversion error from 'string' to '{kind}'"))
}

fn int(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Int(number)] => Value::Int(*number),
        [Value::Uint(number)] => Value::Int(i64::try_from(*number).map_err(|_| range())?),
        [Value::Double(number)] => {
            // The bounds themselves are out, as rounding may have led to them (cel-go overflow.go).
            let inside = *number > -9_223_372_036_854_775_808.0 && *number < 9_223_372_036_854_775_808.0;
            if !inside {
                return Err(range());
            }
            #[expect(clippy::cast_possible_truncation, reason = "the fraction is meant to go")]
            Value::Int(*number as i64)
        }
        [Value::String(text)] => Value::Int(text.parse().map_err(|_| unreadable("int"))?),
        [Value::Timestamp(at)] => {
            Value::Int(at.at().as_nanosecond().div_euclid(1_000_000_000).try_into().map_err(|_| range())?)
        }
        [Value::Duration(nanos)] => Value::Int(*nanos),
        _ => return Err(Fault::NoOverload),
    })
}

fn uint(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Uint(number)] => Value::Uint(*number),
        [Value::Int(number)] => Value::Uint(u64::try_from(*number).map_err(|_| unsigned_range())?),
        [Value::Double(number)] => {
            if !(*number >= 0.0 && *number < 18_446_744_073_709_551_616.0) {
                return Err(unsigned_range());
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
            Value::Uint(*number as u64)
        }
        [Value::String(text)] => {
            let parsed = text.parse().ok().filter(|_| !text.starts_with('+'));
            Value::Uint(parsed.ok_or_else(|| unreadable("uint"))?)
        }
        _ => return Err(Fault::NoOverload),
    })
}

#[expect(clippy::cast_precision_loss, reason = "that is what the conversion does")]
fn double(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Double(number)] => Value::Double(*number),
        [Value::Int(number)] => Value::Double(*number as f64),
        [Value::Uint(number)] => Value::Double(*number as f64),
        [Value::String(text)] => Value::Double(number::read(text).ok_or_else(|| unreadable("double"))?),
        _ => return Err(Fault::NoOverload),
    })
}

fn string(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [text @ Value::String(_)] => Ok(text.clone()),
        [Value::Bytes(bytes)] => std::str::from_utf8(bytes)
            .map(Value::from)
            .map_err(|_| Fault::new("invalid UTF-8 in bytes, cannot convert to string")),
        [
            value @ (Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Duration(_)
            | Value::Ip(_)
            | Value::Cidr(_)),
        ] => Ok(Value::from(value.to_string())),
        [Value::Double(number)] => Ok(Value::from(number::general(*number))),
        [Value::Timestamp(moment)] => Ok(Value::from(moment.to_string())),
        _ => Err(Fault::NoOverload),
    }
}

fn bytes(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [bytes @ Value::Bytes(_)] => Ok(bytes.clone()),
        [Value::String(text)] => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(Fault::NoOverload),
    }
}

fn bool(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [truth @ Value::Bool(_)] => Ok(truth.clone()),
        [Value::String(text)] => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(unreadable("bool")),
        },
        _ => Err(Fault::NoOverload),
    }
}

fn dynamic(_: &mut Scope, arguments: &[Value]) -> Outcome {
    arguments.first().cloned().ok_or(Fault::NoOverload)
}

fn type_of(_: &mut Scope, arguments: &[Value]) -> Outcome {
    arguments.first().map(|value| Value::Type(value.type_name().into())).ok_or(Fault::NoOverload)
}
