//! Lists taken as sets: `sets.contains`, `sets.equivalent`, `sets.intersects`.

use super::{Cost, Function, global};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

type Outcome = Result<Value, Fault>;

pub(super) const FUNCTIONS: &[Function] = &[
    global("sets.contains", 2, Cost::Pairs, contains),
    global("sets.equivalent", 2, Cost::PairsTwice, equivalent),
    global("sets.intersects", 2, Cost::Pairs, intersects),
];

fn has(scope: &mut Scope, items: &[Value], wanted: &Value) -> Result<bool, Fault> {
    for item in items {
        if scope.equal(item, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_all(scope: &mut Scope, items: &[Value], wanted: &[Value]) -> Result<bool, Fault> {
    for item in wanted {
        if !has(scope, items, item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::List(items), Value::List(wanted)] = arguments else { return Err(Fault::NoOverload) };
    Ok(Value::Bool(has_all(scope, items, wanted)?))
}

fn equivalent(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::List(a), Value::List(b)] = arguments else { return Err(Fault::NoOverload) };
    Ok(Value::Bool(has_all(scope, a, b)? && has_all(scope, b, a)?))
}

fn intersects(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::List(a), Value::List(b)] = arguments else { return Err(Fault::NoOverload) };
    for item in a.iter() {
        if has(scope, b, item)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
