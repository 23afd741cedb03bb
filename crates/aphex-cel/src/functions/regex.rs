//! Regular expressions: `matches`, `find`, `findAll`, in Go's dialect, compiled once.

use super::{Cost, Function, Style, global, member};
use crate::error::Fault;
use crate::eval::Scope;
use crate::pattern::compile;
use crate::value::Value;

type Outcome = Result<Value, Fault>;

/// Those that take a pattern, after the text.
pub(crate) const WITH_PATTERN: [&str; 3] = ["matches", "find", "findAll"];

/// `matches`.
pub(super) const STANDARD: &[Function] =
    &[member("matches", 2, Cost::Pattern, matches), global("matches", 2, Cost::Pattern, matches)];

/// `find` and `findAll`.
pub(super) const KUBERNETES: &[Function] = &[
    member("find", 2, Cost::Pattern, find),
    Function { name: "findAll", style: Style::Member, arguments: 2..=3, cost: Cost::Pattern, run: find_all },
];

fn matches(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::String(pattern)] = arguments else { return Err(Fault::NoOverload) };
    let regex = compile(pattern).map_err(Fault::Message)?;
    Ok(Value::Bool(regex.is_match(text)))
}

fn find(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::String(pattern)] = arguments else { return Err(Fault::NoOverload) };
    let regex = compile(pattern).map_err(|reason| illegal(&reason))?;
    Ok(Value::from(regex.find(text).map(|found| found.as_str()).unwrap_or_default()))
}

fn illegal(reason: &str) -> Fault {
    Fault::new(format!("Illegal regex: {reason}"))
}

fn find_all(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let (text, pattern, limit) = match arguments {
        [Value::String(text), Value::String(pattern)] => (text, pattern, -1),
        [Value::String(text), Value::String(pattern), Value::Int(limit)] => (text, pattern, *limit),
        _ => return Err(Fault::NoOverload),
    };
    let regex = compile(pattern).map_err(|reason| illegal(&reason))?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = regex.find_iter(text).take(limit);
    Ok(Value::from(found.map(|found| Value::from(found.as_str())).collect::<Vec<_>>()))
}
