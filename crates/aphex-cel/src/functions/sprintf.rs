//! `"%s is %d".format([a, b])`, cel-go's formatter in its two versions.
//!
//! Kubernetes stays with the first, which writes numbers the English way and nested texts quoted.

mod first;

use std::fmt::Write as _;

use super::{Cost, Function, member};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Value, double};

type Outcome = Result<Value, Fault>;

/// Kubernetes' (`ext.StringsVersion(2)`).
pub(super) const VERSION_1: &[Function] =
    &[member("format", 2, Cost::Text, |scope, arguments| format(scope, arguments, first::write))];

/// Tekton's, which is the newest.
pub(super) const VERSION_2: &[Function] =
    &[member("format", 2, Cost::Text, |scope, arguments| format(scope, arguments, write))];

/// Writes a value under a clause with a precision.
type Write = fn(char, usize, &Value) -> Result<String, String>;

/// More decimals than any number has; larger requests are refused.
const MAX_PRECISION: usize = 1_000;

fn format(scope: &mut Scope, arguments: &[Value], write: Write) -> Outcome {
    let [Value::String(template), Value::List(values)] = arguments else { return Err(Fault::NoOverload) };
    let mut out = String::new();
    let mut rest = &**template;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let value = values.get(next).ok_or_else(|| Fault::new(format!("index {next} out of range")))?;
        next += 1;
        let (clause, precision, after) = clause(rest)?;
        rest = after;
        let text = write(clause, precision.unwrap_or(6), value)
            .map_err(|reason| Fault::new(format!("error during formatting: {reason}")))?;
        scope.charge_size(text.len())?;
        out.push_str(&text);
    }
    out.push_str(rest);
    Ok(Value::from(out))
}

/// The letter of a clause, its precision, and what follows it.
fn clause(text: &str) -> Result<(char, Option<usize>, &str), Fault> {
    let fail = |reason: String| Fault::new(format!("could not parse formatting clause: {reason}"));
    let (precision, rest) = match text.strip_prefix('.') {
        None => (None, text),
        Some(digits) => {
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            let precision = digits[..end].parse().ok().filter(|precision| *precision <= MAX_PRECISION);
            let precision = precision.ok_or_else(|| {
                fail(format!("error while parsing precision: invalid precision {:?}", &digits[..end]))
            })?;
            (Some(precision), &digits[end..])
        }
    };
    let letter = rest.chars().next().ok_or_else(|| fail("unexpected end of string".into()))?;
    if !"sdfebxXo".contains(letter) {
        return Err(fail(format!("unrecognized formatting clause \"{letter}\"")));
    }
    Ok((letter, precision, &rest[letter.len_utf8()..]))
}

fn write(clause: char, precision: usize, value: &Value) -> Result<String, String> {
    match clause {
        's' => string(value),
        'd' => match value {
            Value::Int(number) => Ok(number.to_string()),
            Value::Uint(number) => Ok(number.to_string()),
            Value::Double(number) => Ok(double(*number)),
            other => refuse("decimal clause can only be used on ints, uints, and doubles", other),
        },
        'f' => floating(value, "fixed-point", |number| format!("{number:.precision$}")),
        'e' => floating(value, "scientific", |number| scientific(number, precision)),
        'b' => match value {
            Value::Bool(truth) => Ok(u8::from(*truth).to_string()),
            Value::Int(number) => Ok(signed(*number, |size| format!("{size:b}"))),
            Value::Uint(number) => Ok(format!("{number:b}")),
            other => refuse("only ints, uints, and bools can be formatted as binary", other),
        },
        'o' => match value {
            Value::Int(number) => Ok(signed(*number, |size| format!("{size:o}"))),
            Value::Uint(number) => Ok(format!("{number:o}")),
            other => refuse("octal clause can only be used on ints and uints", other),
        },
        upper => {
            let text = hex(value)?;
            Ok(if upper == 'X' { text.to_uppercase() } else { text })
        }
    }
}

fn refuse(rule: &str, value: &Value) -> Result<String, String> {
    Err(format!("{rule}, was given {}", value.type_name()))
}

fn signed(number: i64, write: impl Fn(u64) -> String) -> String {
    let size = write(number.unsigned_abs());
    if number < 0 { format!("-{size}") } else { size }
}

fn string(value: &Value) -> Result<String, String> {
    let rule = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps";
    match value {
        Value::Optional(_)
        | Value::Quantity(_)
        | Value::Url(_)
        | Value::Ip(_)
        | Value::Cidr(_)
        | Value::Semver(_)
        | Value::Format(_)
        | Value::Opaque(_) => refuse(rule, value),
        value => {
            let mut text = String::new();
            value.write(&mut text)?;
            Ok(text)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the clause is for doubles")]
fn floating(value: &Value, name: &str, write: impl Fn(f64) -> String) -> Result<String, String> {
    let number = match value {
        Value::Int(number) => *number as f64,
        Value::Uint(number) => *number as f64,
        Value::Double(number) => *number,
        other => {
            return refuse(&format!("{name} clause can only be used on ints, uints, and doubles"), other);
        }
    };
    Ok(if number.is_finite() { write(number) } else { double(number) })
}

/// Go writes the exponent with a sign and two digits.
fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |size| ('-', size));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn hex(value: &Value) -> Result<String, String> {
    let bytes: &[u8] = match value {
        Value::Int(number) => return Ok(signed(*number, |size| format!("{size:x}"))),
        Value::Uint(number) => return Ok(format!("{number:x}")),
        Value::String(text) => text.as_bytes(),
        Value::Bytes(bytes) => bytes,
        other => return refuse("only ints, uints, bytes, and strings can be formatted as hex", other),
    };
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
