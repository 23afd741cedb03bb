//! Conversions between types: `int(x)`, `string(x)`, `timestamp(x)` and their kin.

use super::{Cost, Function, global};
use crate::error::Fault;
use crate::eval::Scope;
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

fn number_error(function: &str, text: &str, range: bool) -> Fault {
    let reason = if range { "value out of range" } else { "invalid syntax" };
    Fault::new(format!("strconv.{function}: parsing {text:?}: {reason}"))
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
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
        [Value::String(text)] => {
            Value::Int(text.parse().map_err(|_| number_error("ParseInt", text, is_number(text)))?)
        }
        [Value::Timestamp(at)] => {
            Value::Int(at.as_nanosecond().div_euclid(1_000_000_000).try_into().map_err(|_| range())?)
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
            let known = !text.starts_with(['+', '-']) && is_number(text);
            let parsed = text.parse().ok().filter(|_| known);
            Value::Uint(parsed.ok_or_else(|| number_error("ParseUint", text, known))?)
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
        [Value::String(text)] => {
            Value::Double(text.parse().map_err(|_| number_error("ParseFloat", text, false))?)
        }
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
            | Value::Timestamp(_)
            | Value::Ip(_)
            | Value::Cidr(_)),
        ] => Ok(Value::from(value.to_string())),
        [Value::Double(number)] => Ok(Value::from(go_float(*number))),
        _ => Err(Fault::NoOverload),
    }
}

/// Go's `%g` with the fewest digits: exponents from 21 digits on, or below a ten-thousandth.
fn go_float(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    if size == 0.0 || (1e-4..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
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
            other => Err(number_error("ParseBool", other, false)),
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
