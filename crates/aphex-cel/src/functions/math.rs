//! cel-go's `ext.Math`.

use std::cmp::Ordering;

use super::{Cost, Function, Style, global};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

type Outcome = Result<Value, Fault>;

/// The most arguments `math.greatest` and `math.least` take one by one.
const MANY: usize = 64;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "math.greatest",
        style: Style::Global,
        arguments: 1..=MANY,
        cost: Cost::Traverse,
        run: greatest,
    },
    Function {
        name: "math.least",
        style: Style::Global,
        arguments: 1..=MANY,
        cost: Cost::Traverse,
        run: least,
    },
    global("math.ceil", 1, Cost::One, |_, arguments| double(arguments, f64::ceil)),
    global("math.floor", 1, Cost::One, |_, arguments| double(arguments, f64::floor)),
    global("math.round", 1, Cost::One, |_, arguments| double(arguments, f64::round)),
    global("math.trunc", 1, Cost::One, |_, arguments| double(arguments, f64::trunc)),
    global("math.sqrt", 1, Cost::One, sqrt),
    global("math.abs", 1, Cost::One, abs),
    global("math.sign", 1, Cost::One, sign),
    global("math.isNaN", 1, Cost::One, |_, arguments| test(arguments, f64::is_nan)),
    global("math.isInf", 1, Cost::One, |_, arguments| test(arguments, f64::is_infinite)),
    global("math.isFinite", 1, Cost::One, |_, arguments| test(arguments, f64::is_finite)),
    global("math.bitAnd", 2, Cost::One, |_, arguments| bits(arguments, |a, b| a & b, |a, b| a & b)),
    global("math.bitOr", 2, Cost::One, |_, arguments| bits(arguments, |a, b| a | b, |a, b| a | b)),
    global("math.bitXor", 2, Cost::One, |_, arguments| bits(arguments, |a, b| a ^ b, |a, b| a ^ b)),
    global("math.bitNot", 1, Cost::One, bit_not),
    global("math.bitShiftLeft", 2, Cost::One, |_, arguments| shift(arguments, true)),
    global("math.bitShiftRight", 2, Cost::One, |_, arguments| shift(arguments, false)),
];

fn greatest(_: &mut Scope, arguments: &[Value]) -> Outcome {
    extreme(arguments, "math.@max", Ordering::is_gt)
}

fn least(_: &mut Scope, arguments: &[Value]) -> Outcome {
    extreme(arguments, "math.@min", Ordering::is_lt)
}

fn extreme(arguments: &[Value], name: &str, better: fn(Ordering) -> bool) -> Outcome {
    let items = match arguments {
        [Value::List(items)] => items.as_slice(),
        many => many,
    };
    let mut best =
        items.first().ok_or_else(|| Fault::new(format!("{name}(list) argument must not be empty")))?;
    if items.iter().any(|item| !matches!(item, Value::Int(_) | Value::Uint(_) | Value::Double(_))) {
        return Err(Fault::new(format!("no such overload: {name}")));
    }
    for item in &items[1..] {
        let order = item.order(best).ok().flatten();
        if better(order.ok_or_else(|| Fault::new(format!("NaN values cannot be ordered: {name}")))?) {
            best = item;
        }
    }
    Ok(best.clone())
}

fn double(arguments: &[Value], map: fn(f64) -> f64) -> Outcome {
    match arguments {
        [Value::Double(number)] => Ok(Value::Double(map(*number))),
        _ => Err(Fault::NoOverload),
    }
}

fn test(arguments: &[Value], test: fn(f64) -> bool) -> Outcome {
    match arguments {
        [Value::Double(number)] => Ok(Value::Bool(test(*number))),
        _ => Err(Fault::NoOverload),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a root is a double")]
fn sqrt(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(Value::Double(match arguments {
        [Value::Double(number)] => number.sqrt(),
        [Value::Int(number)] => (*number as f64).sqrt(),
        [Value::Uint(number)] => (*number as f64).sqrt(),
        _ => return Err(Fault::NoOverload),
    }))
}

fn abs(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Double(number)] => Value::Double(number.abs()),
        [Value::Int(number)] => {
            Value::Int(number.checked_abs().ok_or_else(|| Fault::new("integer overflow"))?)
        }
        [number @ Value::Uint(_)] => number.clone(),
        _ => return Err(Fault::NoOverload),
    })
}

fn sign(_: &mut Scope, arguments: &[Value]) -> Outcome {
    Ok(match arguments {
        [Value::Double(number)] if *number == 0.0 || number.is_nan() => Value::Double(*number),
        [Value::Double(number)] => Value::Double(number.signum()),
        [Value::Int(number)] => Value::Int(number.signum()),
        [Value::Uint(number)] => Value::Uint((*number).min(1)),
        _ => return Err(Fault::NoOverload),
    })
}

fn bits(arguments: &[Value], signed: fn(i64, i64) -> i64, unsigned: fn(u64, u64) -> u64) -> Outcome {
    match arguments {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Int(signed(*a, *b))),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(unsigned(*a, *b))),
        _ => Err(Fault::NoOverload),
    }
}

fn bit_not(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Int(number)] => Ok(Value::Int(!number)),
        [Value::Uint(number)] => Ok(Value::Uint(!number)),
        _ => Err(Fault::NoOverload),
    }
}

/// Shifts are of the bare bits: to the right they bring in zeros, also for negative numbers.
fn shift(arguments: &[Value], left: bool) -> Outcome {
    let [number, Value::Int(by)] = arguments else { return Err(Fault::NoOverload) };
    let name = if left { "Left" } else { "Right" };
    let by = u32::try_from((*by).min(64))
        .map_err(|_| Fault::new(format!("math.bitShift{name}() negative offset: {by}")))?;
    let moved =
        |bits: u64| if left { bits.checked_shl(by) } else { bits.checked_shr(by) }.unwrap_or_default();
    match number {
        Value::Int(number) => Ok(Value::Int(moved(number.cast_unsigned()).cast_signed())),
        Value::Uint(number) => Ok(Value::Uint(moved(*number))),
        _ => Err(Fault::NoOverload),
    }
}
