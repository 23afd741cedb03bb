//! The first version of the formatter.

use std::fmt::Write as _;

use super::{hex, refuse, signed};
use crate::value::{Key, Value, double};

/// Longer texts than this are refused: shared parts can make a small value's text endless.
const MAX_TEXT: usize = 4 << 20;

pub(super) fn write(clause: char, precision: usize, value: &Value) -> Result<String, String> {
    match clause {
        's' => string(value),
        'd' => match value {
            Value::Int(number) => Ok(number.to_string()),
            Value::Uint(number) => Ok(number.to_string()),
            other => refuse("decimal clause can only be used on integers", other),
        },
        'f' => floating(value, "fixed-point", |number| grouped(&format!("{number:.precision$}"))),
        'e' => floating(value, "scientific", |number| scientific(number, precision)),
        'b' => match value {
            Value::Bool(truth) => Ok(u8::from(*truth).to_string()),
            Value::Int(number) => Ok(signed(*number, |size| format!("{size:b}"))),
            Value::Uint(number) => Ok(format!("{number:b}")),
            other => refuse("only integers and bools can be formatted as binary", other),
        },
        'o' => match value {
            Value::Int(number) => Ok(signed(*number, |size| format!("{size:o}"))),
            Value::Uint(number) => Ok(format!("{number:o}")),
            other => refuse("octal clause can only be used on integers", other),
        },
        upper => match value {
            Value::Int(_) | Value::Uint(_) | Value::String(_) | Value::Bytes(_) => {
                let text = hex(value)?;
                Ok(if upper == 'X' { text.to_uppercase() } else { text })
            }
            other => refuse("only integers, byte buffers, and strings can be formatted as hex", other),
        },
    }
}

fn floating(value: &Value, name: &str, write: impl Fn(f64) -> String) -> Result<String, String> {
    match value {
        Value::Double(number) if number.is_finite() => Ok(write(*number)),
        Value::Double(number) => Ok(double(*number).replace("Infinity", "∞")),
        Value::String(text) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => {
            Ok(text.replace("Infinity", "∞"))
        }
        other => refuse(&format!("{name} clause can only be used on doubles"), other),
    }
}

/// Thousands set apart.
fn grouped(text: &str) -> String {
    let (sign, size) = text.strip_prefix('-').map_or(("", text), |size| ("-", size));
    let (whole, fraction) = size.find('.').map_or((size, ""), |point| size.split_at(point));
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

const SUPERSCRIPT: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];

/// `1.5×10⁻⁰⁴`
fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(("", exponent), |size| ("⁻", size));
    let raised = format!("{exponent:0>2}");
    let raised: String =
        raised.bytes().map(|digit| SUPERSCRIPT[usize::from(digit.wrapping_sub(b'0') % 10)]).collect();
    format!("{digits}×10{sign}{raised}")
}

fn string(value: &Value) -> Result<String, String> {
    let rule = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps";
    match value {
        Value::List(_) | Value::Map(_) => {
            let mut text = String::new();
            nested(value, &mut text)?;
            Ok(text)
        }
        Value::Optional(_)
        | Value::Quantity(_)
        | Value::Url(_)
        | Value::Ip(_)
        | Value::Cidr(_)
        | Value::Semver(_)
        | Value::Format(_)
        | Value::Opaque(_) => refuse(rule, value),
        other => Ok(other.to_string()),
    }
}

/// A value inside another, as a literal of the language.
fn nested(value: &Value, out: &mut String) -> Result<(), String> {
    if out.len() > MAX_TEXT {
        return Err("value is too large to format".into());
    }
    // Writing to a string cannot fail.
    let _ = match value {
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                nested(item, out)?;
            }
            out.write_char(']')
        }
        Value::Map(map) => {
            let mut entries: Vec<(String, &Value)> =
                map.iter().map(|(key, value)| (key_text(key), value)).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            out.push('{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                out.push_str(&key);
                out.push(':');
                nested(value, out)?;
            }
            out.write_char('}')
        }
        Value::String(text) => write!(out, "{text:?}"),
        Value::Bytes(_) => write!(out, "b{:?}", value.to_string()),
        Value::Timestamp(_) => write!(out, "timestamp(\"{value}\")"),
        Value::Duration(_) => write!(out, "duration(\"{value}\")"),
        Value::Double(number) if number.is_finite() => write!(out, "{number:.6}"),
        Value::Double(number) => write!(out, "{:?}", double(*number)),
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Null | Value::Type(_) => {
            write!(out, "{value}")
        }
        other => return Err(format!("no formatting function for {}", other.type_name())),
    };
    Ok(())
}

fn key_text(key: &Key) -> String {
    match key {
        Key::String(key) => format!("{key:?}"),
        other => other.to_string(),
    }
}
