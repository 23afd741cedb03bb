//! Operators and what the language has of functions on every type.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::SignedDuration;

use super::{Cost, Function, Style, global};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Moment, Value};

type Outcome = Result<Value, Fault>;

pub(super) const FUNCTIONS: &[Function] = &[
    global("!_", 1, Cost::One, not),
    global("-_", 1, Cost::One, negate),
    global("_+_", 2, Cost::Join, |_, arguments| add(arguments)),
    global("_-_", 2, Cost::One, subtract),
    global("_*_", 2, Cost::One, multiply),
    global("_/_", 2, Cost::One, divide),
    global("_%_", 2, Cost::One, modulo),
    global("_==_", 2, Cost::Smaller, |scope, arguments| equals(scope, arguments, true)),
    global("_!=_", 2, Cost::Smaller, |scope, arguments| equals(scope, arguments, false)),
    global("_<_", 2, Cost::Smaller, |_, arguments| order(arguments, Ordering::is_lt)),
    global("_<=_", 2, Cost::Smaller, |_, arguments| order(arguments, Ordering::is_le)),
    global("_>_", 2, Cost::Smaller, |_, arguments| order(arguments, Ordering::is_gt)),
    global("_>=_", 2, Cost::Smaller, |_, arguments| order(arguments, Ordering::is_ge)),
    global("@in", 2, Cost::Within, within),
    Function { name: "size", style: Style::Either, arguments: 1..=1, cost: Cost::One, run: size },
];

fn overflow() -> Fault {
    Fault::new("integer overflow")
}

fn unsigned_overflow() -> Fault {
    Fault::new("unsigned integer overflow")
}

fn not(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Bool(truth)] => Ok(Value::Bool(!truth)),
        _ => Err(Fault::NoOverload),
    }
}

fn negate(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Int(number)] => number.checked_neg().map(Value::Int).ok_or_else(overflow),
        [Value::Double(number)] => Ok(Value::Double(-number)),
        [Value::Duration(nanos)] => nanos.checked_neg().map(Value::Duration).ok_or_else(overflow),
        _ => Err(Fault::NoOverload),
    }
}

/// `a + b`, also for `sum`.
pub(super) fn add(arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_add(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_add(*b).ok_or_else(unsigned_overflow)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a + b),
        [Value::String(a), Value::String(b)] => Value::from([&**a, &**b].concat()),
        [Value::Bytes(a), Value::Bytes(b)] => Value::Bytes([&**a, &**b].concat().into()),
        [Value::List(a), Value::List(b)] if b.is_empty() => Value::List(Arc::clone(a)),
        [Value::List(a), Value::List(b)] => {
            Value::from(a.iter().chain(b.iter()).cloned().collect::<Vec<_>>())
        }
        [Value::Duration(a), Value::Duration(b)] => Value::Duration(a.checked_add(*b).ok_or_else(overflow)?),
        [Value::Timestamp(at), Value::Duration(by)] | [Value::Duration(by), Value::Timestamp(at)] => {
            moved(*at, *by)?
        }
        _ => return Err(Fault::NoOverload),
    })
}

fn moved(from: Moment, by: i64) -> Outcome {
    let moved = from.at().checked_add(SignedDuration::from_nanos(by)).ok();
    let moved = moved.filter(super::time::in_range).map(|at| Value::Timestamp(from.moved_to(at)));
    moved.ok_or_else(|| Fault::new("timestamp overflow"))
}

fn subtract(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_sub(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_sub(*b).ok_or_else(unsigned_overflow)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a - b),
        [Value::Duration(a), Value::Duration(b)] => Value::Duration(a.checked_sub(*b).ok_or_else(overflow)?),
        [Value::Timestamp(at), Value::Duration(by)] => moved(*at, by.checked_neg().ok_or_else(overflow)?)?,
        [Value::Timestamp(a), Value::Timestamp(b)] => {
            let nanos = a.at().as_nanosecond() - b.at().as_nanosecond();
            Value::Duration(i64::try_from(nanos).map_err(|_| overflow())?)
        }
        _ => return Err(Fault::NoOverload),
    })
}

fn multiply(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_mul(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_mul(*b).ok_or_else(unsigned_overflow)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a * b),
        _ => return Err(Fault::NoOverload),
    })
}

fn divide(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let by_zero = || Fault::new("division by zero");
    Ok(match arguments {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => return Err(by_zero()),
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_div(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a / b),
        [Value::Double(a), Value::Double(b)] => Value::Double(a / b),
        _ => return Err(Fault::NoOverload),
    })
}

fn modulo(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            return Err(Fault::new("modulus by zero"));
        }
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_rem(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a % b),
        _ => return Err(Fault::NoOverload),
    })
}

fn equals(scope: &mut Scope, arguments: &[Value], wanted: bool) -> Outcome {
    match arguments {
        [a, b] => Ok(Value::Bool(scope.equal(a, b)? == wanted)),
        _ => Err(Fault::NoOverload),
    }
}

fn order(arguments: &[Value], wanted: fn(Ordering) -> bool) -> Outcome {
    match arguments {
        [a, b] => {
            let order = a.order(b).map_err(|()| Fault::NoOverload)?;
            let order = order.ok_or_else(|| Fault::new("NaN values cannot be ordered"))?;
            Ok(Value::Bool(wanted(order)))
        }
        _ => Err(Fault::NoOverload),
    }
}

fn within(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [item, Value::List(items)] => {
            for other in items.iter() {
                if scope.equal(item, other)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        [key, Value::Map(map)] => Ok(Value::Bool(key.as_key().is_some_and(|key| map.contains_key(&key)))),
        _ => Err(Fault::NoOverload),
    }
}

fn size(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        _ => Err(Fault::NoOverload),
    }
}
