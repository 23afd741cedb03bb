//! Bounds of numbers and strings.

use aphex_cel::pattern;
use serde_json::{Number, Value};

use super::{Failure, Walk};
use crate::error::FieldError;
use crate::golang;
use crate::model::Schema;
use crate::path::Trail;

impl Walk<'_> {
    /// The first rule a string breaks; the rest is not looked at.
    pub(super) fn string(&self, text: &str, schema: &Schema, path: Trail<'_>) -> Option<Failure> {
        let length = || text.chars().count() as u64;
        if let Some(limit) = schema.max_length.filter(|limit| length() > *limit) {
            let message = format!("{path} in body should be at most {limit} chars long");
            return Some(Failure { message, error: FieldError::too_long(&self.field(path), limit) });
        }
        if let Some(limit) = schema.min_length.filter(|limit| length() < *limit) {
            return Some(self.invalid(
                path,
                text,
                format!("{path} in body should be at least {limit} chars long"),
            ));
        }
        let pattern = schema.pattern.as_deref()?;
        match pattern::compile(pattern) {
            Ok(regex) if regex.is_match(text) => None,
            Ok(_) => Some(self.invalid(path, text, format!("{path} in body should match '{pattern}'"))),
            Err(cause) => {
                let message =
                    format!("{path} in body should match '{pattern}, but pattern is invalid: {cause}'");
                Some(self.invalid(path, text, message))
            }
        }
    }

    /// Every bound a number breaks. Bounds of whole numbers are cut to whole numbers, as Kubernetes does.
    pub(super) fn number(&self, number: &Number, schema: &Schema, path: Trail<'_>) -> Vec<Failure> {
        let value = Value::Number(number.clone());
        let whole = number.as_i64();
        let float = number.as_f64().unwrap_or_default();
        let mut failures = Vec::new();
        let multiple = schema.multiple_of.and_then(|factor| multiple(path, number, factor));
        failures.extend(multiple.map(|(value, message)| self.invalid(path, value, message)));
        if let Some((bound, exclusive)) = schema.minimum {
            let below = match whole {
                Some(whole) => whole < cut(bound) || (exclusive && whole == cut(bound)),
                None => float < bound || (exclusive && float <= bound),
            };
            if below {
                let words = if exclusive { "greater than" } else { "greater than or equal to" };
                let message = format!("{path} in body should be {words} {}", shown(whole, bound));
                failures.push(self.invalid(path, value.clone(), message));
            }
        }
        if let Some((bound, exclusive)) = schema.maximum {
            let above = match whole {
                Some(whole) => whole > cut(bound) || (exclusive && whole == cut(bound)),
                None => float > bound || (exclusive && float >= bound),
            };
            if above {
                let words = if exclusive { "less than" } else { "less than or equal to" };
                let message = format!("{path} in body should be {words} {}", shown(whole, bound));
                failures.push(self.invalid(path, value, message));
            }
        }
        failures
    }

    /// Whether a string follows its format.
    pub(super) fn format(&self, text: &str, format: &str, path: Trail<'_>) -> Option<Failure> {
        (!super::formats::matches(format, text)).then(|| self.wrong_type(path, format, text))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "Kubernetes compares whole numbers with the cut bound")]
fn cut(bound: f64) -> i64 {
    bound as i64
}

fn shown(whole: Option<i64>, bound: f64) -> String {
    if whole.is_some() { cut(bound).to_string() } else { golang::display_float(bound) }
}

/// What is wrong with a number that is not a multiple, and the value to show with it.
fn multiple(path: Trail<'_>, number: &Number, factor: f64) -> Option<(Value, String)> {
    let whole = number.as_i64();
    let shown = shown(whole, factor);
    let positive = if whole.is_some() { cut(factor) > 0 } else { factor > 0.0 };
    if !positive {
        let value = if whole.is_some() { Value::from(cut(factor)) } else { Value::from(factor) };
        return Some((value, format!("factor MultipleOf declared for {path} must be positive: {shown}")));
    }
    let divides = if let Some(whole) = whole {
        whole % cut(factor) == 0
    } else {
        let float = number.as_f64().unwrap_or_default();
        is_whole(if factor < 1.0 { 1.0 / factor * float } else { float / factor })
    };
    (!divides)
        .then(|| (Value::Number(number.clone()), format!("{path} in body should be a multiple of {shown}")))
}

/// Whether a float is as good as a whole number that JSON can carry (`swag.IsFloat64AJSONInteger`).
pub(super) fn is_whole(number: f64) -> bool {
    const LARGEST: f64 = 9_007_199_254_740_991.0;
    let nearest = number.trunc();
    number.abs() <= LARGEST
        && (number - nearest).abs() <= 1e-9 * (number.abs() + nearest.abs())
        && (nearest != 0.0 || number == 0.0)
}

/// Equality of `enum`: numbers are converted to the kind of the allowed value first.
pub(super) fn equal(value: &Value, allowed: &Value) -> bool {
    match (value, allowed) {
        (Value::Number(value), Value::Number(allowed)) => match (value.as_i64(), allowed.as_i64()) {
            (Some(value), Some(allowed)) => value == allowed,
            (None, Some(allowed)) => value.as_f64().is_some_and(|value| cut(value) == allowed),
            _ => value.as_f64() == allowed.as_f64(),
        },
        _ => value == allowed,
    }
}
