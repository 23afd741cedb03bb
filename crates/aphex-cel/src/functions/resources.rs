//! The Kubernetes quantity and semver libraries.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Cost, Function, Style, global, member};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Quantity, Semver, Value};

type Outcome = Result<Value, Fault>;

pub(super) const FUNCTIONS: &[Function] = &[
    global("quantity", 1, Cost::Text, quantity),
    global("isQuantity", 1, Cost::Text, is_quantity),
    global("sign", 1, Cost::One, sign),
    member("asInteger", 1, Cost::One, as_integer),
    member("isInteger", 1, Cost::One, is_integer),
    member("asApproximateFloat", 1, Cost::One, as_float),
    member("add", 2, Cost::One, |_, arguments| combine(arguments, Quantity::add)),
    member("sub", 2, Cost::One, |_, arguments| combine(arguments, Quantity::sub)),
    member("isGreaterThan", 2, Cost::One, |_, arguments| Ok(Value::Bool(order(arguments)?.is_gt()))),
    member("isLessThan", 2, Cost::One, |_, arguments| Ok(Value::Bool(order(arguments)?.is_lt()))),
    member("compareTo", 2, Cost::One, |_, arguments| Ok(Value::Int(order(arguments)? as i64))),
    Function { name: "semver", style: Style::Global, arguments: 1..=2, cost: Cost::Text, run: semver },
    Function { name: "isSemver", style: Style::Global, arguments: 1..=2, cost: Cost::Text, run: is_semver },
    member("major", 1, Cost::One, |_, arguments| number(arguments, |version| version.major)),
    member("minor", 1, Cost::One, |_, arguments| number(arguments, |version| version.minor)),
    member("patch", 1, Cost::One, |_, arguments| number(arguments, |version| version.patch)),
];

fn quantity(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    Quantity::parse(text).map(|parsed| Value::Quantity(Arc::new(parsed))).map_err(Fault::new)
}

fn is_quantity(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    Ok(Value::Bool(Quantity::parse(text).is_ok()))
}

fn only(arguments: &[Value]) -> Result<&Quantity, Fault> {
    match arguments {
        [Value::Quantity(quantity)] => Ok(quantity),
        _ => Err(Fault::NoOverload),
    }
}

fn sign(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(Value::Int(only(arguments)?.sign()))
}

fn as_integer(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let integer = only(arguments)?.as_int();
    integer.map(Value::Int).ok_or_else(|| Fault::new("cannot convert value to integer"))
}

fn is_integer(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(only(arguments)?.as_int().is_some()))
}

fn as_float(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(Value::Double(only(arguments)?.as_float()))
}

fn combine(arguments: &[Value], combine: fn(&Quantity, &Quantity) -> Option<Quantity>) -> Outcome {
    let result = match arguments {
        [Value::Quantity(a), Value::Quantity(b)] => combine(a, b),
        [Value::Quantity(a), Value::Int(b)] => combine(a, &Quantity::from_int(*b)),
        _ => return Err(Fault::NoOverload),
    };
    let result = result.ok_or_else(|| Fault::new("quantity overflow"))?;
    Ok(Value::Quantity(Arc::new(result)))
}

fn order(arguments: &[Value]) -> Result<Ordering, Fault> {
    match arguments {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(a.cmp(b)),
        [Value::Semver(a), Value::Semver(b)] => Ok(a.cmp(b)),
        _ => Err(Fault::NoOverload),
    }
}

fn parse(arguments: &[Value]) -> Result<Result<Semver, String>, Fault> {
    match arguments {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(Semver::parse(text)),
        [Value::String(text), Value::Bool(true)] => Ok(Semver::parse_normalized(text)),
        _ => Err(Fault::NoOverload),
    }
}

fn semver(_: &mut Scope, arguments: &[Value]) -> Outcome {
    parse(arguments)?.map(|version| Value::Semver(Arc::new(version))).map_err(Fault::Message)
}

fn is_semver(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(parse(arguments)?.is_ok()))
}

fn number(arguments: &[Value], part: fn(&Semver) -> u64) -> Outcome {
    match arguments {
        [Value::Semver(version)] => {
            i64::try_from(part(version)).map(Value::Int).map_err(|_| Fault::new("integer overflow"))
        }
        _ => Err(Fault::NoOverload),
    }
}
