//! Optional values: `optional.of(x)`, `optional.none()`, `x.orValue(y)`.
//!
//! `or` and `orValue` are listed for their names; evaluation does not compute their second argument
//! unless it is needed, and so handles them itself.

use std::sync::Arc;

use super::{Cost, Function, global, member};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

type Outcome = Result<Value, Fault>;

pub(super) const FUNCTIONS: &[Function] = &[
    global("optional.none", 0, Cost::One, |_, _| Ok(Value::Optional(None))),
    global("optional.of", 1, Cost::One, of),
    global("optional.ofNonZeroValue", 1, Cost::One, of_non_zero),
    global("optional.unwrap", 1, Cost::One, unwrap),
    member("unwrapOpt", 1, Cost::One, unwrap),
    member("first", 1, Cost::One, |_, arguments| end(arguments, <[Value]>::first)),
    member("last", 1, Cost::One, |_, arguments| end(arguments, <[Value]>::last)),
    member("hasValue", 1, Cost::One, has_value),
    member("value", 1, Cost::One, value),
    member("or", 2, Cost::Nothing, or),
    member("orValue", 2, Cost::Nothing, or_value),
];

fn of(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [value] => Ok(Value::some(value.clone())),
        _ => Err(Fault::NoOverload),
    }
}

fn of_non_zero(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [value] if is_zero(value) => Ok(Value::Optional(None)),
        [value] => Ok(Value::some(value.clone())),
        _ => Err(Fault::NoOverload),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Int(number) | Value::Duration(number) => *number == 0,
        Value::Uint(number) => *number == 0,
        Value::Double(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    }
}

fn unwrap(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::List(items)] = arguments else { return Err(Fault::NoOverload) };
    let mut present = Vec::new();
    for item in items.iter() {
        match item {
            Value::Optional(value) => present.extend(value.as_deref().cloned()),
            other => present.push(other.clone()),
        }
    }
    Ok(Value::from(present))
}

fn end(arguments: &[Value], end: fn(&[Value]) -> Option<&Value>) -> Outcome {
    match arguments {
        [Value::List(items)] => Ok(Value::Optional(end(items).cloned().map(Arc::new))),
        _ => Err(Fault::NoOverload),
    }
}

fn has_value(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => Err(Fault::NoOverload),
    }
}

fn value(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(Fault::new("optional.none() dereference")),
        _ => Err(Fault::NoOverload),
    }
}

fn or(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Optional(None), other] => Ok(other.clone()),
        [present @ Value::Optional(Some(_)), _] => Ok(present.clone()),
        _ => Err(Fault::NoOverload),
    }
}

fn or_value(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Optional(None), other] => Ok(other.clone()),
        [Value::Optional(Some(value)), _] => Ok((**value).clone()),
        _ => Err(Fault::NoOverload),
    }
}
