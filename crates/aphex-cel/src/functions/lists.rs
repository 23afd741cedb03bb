//! List functions: cel-go's `ext.Lists` and the Kubernetes list library.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Cost, Function, Style, global, member, operators};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

type Outcome = Result<Value, Fault>;

/// `ext.Lists`, version 3.
pub(super) const EXTENDED: &[Function] = &[
    member("slice", 3, Cost::Allocate, slice),
    Function {
        name: "flatten",
        style: Style::Member,
        arguments: 1..=2,
        cost: Cost::AllocateLike,
        run: flatten,
    },
    member("distinct", 1, Cost::SelfCompare, distinct),
    member("reverse", 1, Cost::Allocate, reverse),
    member("sort", 1, Cost::SelfCompare, sorted),
    global("lists.range", 1, Cost::Allocate, range),
];

/// The Kubernetes list library.
pub(super) const KUBERNETES: &[Function] = &[
    member("isSorted", 1, Cost::Traverse, is_sorted),
    member("sum", 1, Cost::Traverse, sum),
    member("min", 1, Cost::Traverse, |_, arguments| extreme(arguments, "min", Ordering::is_lt)),
    member("max", 1, Cost::Traverse, |_, arguments| extreme(arguments, "max", Ordering::is_gt)),
    member("indexOf", 2, Cost::Traverse, |scope, arguments| place(scope, arguments, false)),
    member("lastIndexOf", 2, Cost::Traverse, |scope, arguments| place(scope, arguments, true)),
];

fn order(a: &Value, b: &Value) -> Result<Ordering, Fault> {
    let order = a.order(b).map_err(|()| Fault::NoOverload)?;
    order.ok_or_else(|| Fault::new("NaN values cannot be ordered"))
}

fn slice(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::List(items), Value::Int(start), Value::Int(end)] = arguments else {
        return Err(Fault::NoOverload);
    };
    let refuse = |reason: String| Fault::new(format!("cannot slice({start}, {end}), {reason}"));
    let (Ok(from), Ok(to)) = (usize::try_from(*start), usize::try_from(*end)) else {
        return Err(refuse("negative indexes not supported".into()));
    };
    if from > to {
        return Err(refuse("start index must be less than or equal to end index".into()));
    }
    let part = items.get(from..to).ok_or_else(|| refuse(format!("list is length {}", items.len())))?;
    Ok(Value::from(part.to_vec()))
}

fn flatten(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    let (items, depth) = match arguments {
        [Value::List(items)] => (items, 1),
        [Value::List(items), Value::Int(depth)] => (items, *depth),
        _ => return Err(Fault::NoOverload),
    };
    let depth = u64::try_from(depth).map_err(|_| Fault::new("level must be non-negative"))?;
    let mut flat = Vec::new();
    flatten_into(scope, items, depth, &mut flat)?;
    Ok(Value::from(flat))
}

fn flatten_into(scope: &mut Scope, items: &[Value], depth: u64, flat: &mut Vec<Value>) -> Result<(), Fault> {
    for item in items {
        match item {
            Value::List(inner) if depth > 0 => {
                // Shared parts can make the flat list far longer than the nested one looks.
                scope.charge(inner.len() as u64)?;
                flatten_into(scope, inner, depth - 1, flat)?;
            }
            other => flat.push(other.clone()),
        }
    }
    Ok(())
}

fn distinct(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::List(items)] = arguments else { return Err(Fault::NoOverload) };
    let mut kept: Vec<Value> = Vec::new();
    'items: for item in items.iter() {
        for known in &kept {
            if scope.equal(known, item)? {
                continue 'items;
            }
        }
        kept.push(item.clone());
    }
    Ok(Value::from(kept))
}

fn reverse(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::List(items)] => Ok(Value::from(items.iter().rev().cloned().collect::<Vec<_>>())),
        _ => Err(Fault::NoOverload),
    }
}

fn sorted(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::List(items)] = arguments else { return Err(Fault::NoOverload) };
    let keyed = items.iter().map(|item| (item.clone(), item.clone())).collect();
    Ok(Value::List(Arc::new(sort(keyed)?)))
}

/// Values in the order of their keys, which must be of one comparable type.
pub(crate) fn sort(mut keyed: Vec<(Value, Value)>) -> Result<Vec<Value>, Fault> {
    if let Some((first, _)) = keyed.first() {
        if first.order(first).is_err() {
            return Err(Fault::new("list elements must be comparable"));
        }
        let kind = first.type_name();
        if keyed.iter().any(|(key, _)| key.type_name() != kind) {
            return Err(Fault::new("list elements must have the same type"));
        }
    }
    if keyed.iter().any(|(key, _)| matches!(key, Value::Double(number) if number.is_nan())) {
        return Err(Fault::new("NaN values cannot be ordered"));
    }
    keyed.sort_by(|(a, _), (b, _)| a.order(b).ok().flatten().unwrap_or(Ordering::Equal));
    Ok(keyed.into_iter().map(|(_, value)| value).collect())
}

fn range(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::Int(end)] = arguments else { return Err(Fault::NoOverload) };
    // Charged for afterwards; here only refused before memory is taken.
    scope.afford(u64::try_from(*end).unwrap_or_default())?;
    Ok(Value::from((0..*end).map(Value::Int).collect::<Vec<_>>()))
}

fn is_sorted(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::List(items)] = arguments else { return Err(Fault::NoOverload) };
    for pair in items.windows(2) {
        if order(&pair[0], &pair[1])?.is_gt() {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn sum(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::List(items)] = arguments else { return Err(Fault::NoOverload) };
    let mut total = match items.first() {
        // Without its declared type, an empty list is one of integers.
        None | Some(Value::Int(_)) => Value::Int(0),
        Some(Value::Uint(_)) => Value::Uint(0),
        Some(Value::Double(_)) => Value::Double(0.0),
        Some(Value::Duration(_)) => Value::Duration(0),
        Some(_) => return Err(Fault::NoOverload),
    };
    for item in items.iter() {
        total = operators::add(&[total, item.clone()])?;
    }
    Ok(total)
}

fn extreme(arguments: &[Value], name: &str, better: fn(Ordering) -> bool) -> Outcome {
    let [Value::List(items)] = arguments else { return Err(Fault::NoOverload) };
    let mut best = items.first().ok_or_else(|| Fault::new(format!("{name} called on empty list")))?;
    for item in items.iter() {
        if better(order(item, best)?) {
            best = item;
        }
    }
    Ok(best.clone())
}

fn place(scope: &mut Scope, arguments: &[Value], last: bool) -> Outcome {
    let [Value::List(items), wanted] = arguments else { return Err(Fault::NoOverload) };
    let mut found = -1;
    for (at, item) in (0_i64..).zip(items.iter()) {
        if scope.equal(item, wanted)? {
            found = at;
            if !last {
                break;
            }
        }
    }
    Ok(Value::Int(found))
}
