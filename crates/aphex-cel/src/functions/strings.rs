//! Text functions: the language's own and cel-go's `ext.Strings`. Positions count characters.

use super::{Cost, Function, Style, global, member};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

type Outcome = Result<Value, Fault>;

/// Those every environment has.
pub(super) const STANDARD: &[Function] = &[
    member("contains", 2, Cost::Search, |_, arguments| test(arguments, |text, part| text.contains(part))),
    member("startsWith", 2, Cost::Text, |_, arguments| test(arguments, |text, part| text.starts_with(part))),
    member("endsWith", 2, Cost::Text, |_, arguments| test(arguments, |text, part| text.ends_with(part))),
];

/// `ext.Strings`.
pub(super) const EXTENDED: &[Function] = &[
    member("charAt", 2, Cost::One, char_at),
    several("indexOf", 2, 3, Cost::Traverse, index_of),
    several("lastIndexOf", 2, 3, Cost::Traverse, last_index_of),
    member("lowerAscii", 1, Cost::Text, |_, arguments| map(arguments, str::to_ascii_lowercase)),
    member("upperAscii", 1, Cost::Text, |_, arguments| map(arguments, str::to_ascii_uppercase)),
    member("trim", 1, Cost::Text, |_, arguments| map(arguments, |text| text.trim().to_owned())),
    several("replace", 3, 4, Cost::Rewrite, replace),
    several("split", 2, 3, Cost::Rewrite, split),
    several("substring", 2, 3, Cost::Text, substring),
    several("join", 1, 2, Cost::Result, join),
    global("strings.quote", 1, Cost::Text, |_, arguments| map(arguments, quote)),
];

/// What Kubernetes' older version of the library does not have.
pub(super) const NEWER: &[Function] =
    &[member("reverse", 1, Cost::Text, |_, arguments| map(arguments, |text| text.chars().rev().collect()))];

const fn several(name: &'static str, least: usize, most: usize, cost: Cost, run: super::Run) -> Function {
    Function { name, style: Style::Member, arguments: least..=most, cost, run }
}

fn test(arguments: &[Value], test: fn(&str, &str) -> bool) -> Outcome {
    match arguments {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(test(text, part))),
        _ => Err(Fault::NoOverload),
    }
}

fn map(arguments: &[Value], map: impl Fn(&str) -> String) -> Outcome {
    match arguments {
        [Value::String(text)] => Ok(Value::from(map(text))),
        _ => Err(Fault::NoOverload),
    }
}

fn out_of_range(at: i64) -> Fault {
    Fault::new(format!("index out of range: {at}"))
}

/// A position no further than the text's end.
fn position(at: i64, length: usize) -> Result<usize, Fault> {
    usize::try_from(at).ok().filter(|at| *at <= length).ok_or_else(|| out_of_range(at))
}

fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn char_at(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::Int(at)] = arguments else { return Err(Fault::NoOverload) };
    let place = position(*at, text.chars().count())?;
    Ok(Value::from(text.chars().nth(place).map(String::from).unwrap_or_default()))
}

/// The byte a character position stands at.
fn byte_at(text: &str, position: usize) -> usize {
    text.char_indices().nth(position).map_or(text.len(), |(at, _)| at)
}

fn index_of(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let (text, part, offset) = match arguments {
        [Value::String(text), Value::String(part)] => (text, part, 0),
        [Value::String(text), Value::String(part), Value::Int(offset)] => (text, part, *offset),
        _ => return Err(Fault::NoOverload),
    };
    if part.is_empty() {
        return Ok(Value::Int(offset));
    }
    let start = usize::try_from(offset).map_err(|_| out_of_range(offset))?;
    let start = byte_at(text, start);
    let found = text[start..].find(&**part).map(|at| text[..start + at].chars().count());
    Ok(found.map_or(Value::Int(-1), count))
}

fn last_index_of(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let (text, part, offset) = match arguments {
        [Value::String(text), Value::String(part)] => (text, part, None),
        [Value::String(text), Value::String(part), Value::Int(offset)] => (text, part, Some(*offset)),
        _ => return Err(Fault::NoOverload),
    };
    if part.is_empty() {
        return Ok(offset.map_or_else(|| count(text.chars().count()), Value::Int));
    }
    let end = match offset {
        None => text.len(),
        Some(offset) => {
            let offset = usize::try_from(offset).map_err(|_| out_of_range(offset))?;
            if offset >= text.chars().count() {
                return Ok(Value::Int(-1));
            }
            byte_at(text, offset.saturating_add(part.chars().count()))
        }
    };
    let found = text[..end].rfind(&**part).map(|at| text[..at].chars().count());
    Ok(found.map_or(Value::Int(-1), count))
}

fn replace(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    let (text, old, new, limit) = match arguments {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(limit)] => {
            (text, old, new, *limit)
        }
        _ => return Err(Fault::NoOverload),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // What comes out may be far larger than what went in.
    let found = text.matches(&**old).take(limit).count();
    scope.charge_size(found.saturating_mul(new.len()))?;
    Ok(Value::from(text.replacen(&**old, new, limit)))
}

fn split(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let (text, separator, limit) = match arguments {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(limit)] => (text, separator, *limit),
        _ => return Err(Fault::NoOverload),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 || (text.is_empty() && separator.is_empty()) {
        return Ok(Value::from(Vec::new()));
    }
    if !separator.is_empty() {
        return Ok(Value::from(text.splitn(limit, &**separator).map(Value::from).collect::<Vec<_>>()));
    }
    // Between all characters, the last part taking what is left (Go's strings.SplitN).
    let mut parts = Vec::new();
    let mut rest = &**text;
    while !rest.is_empty() {
        let cut = if parts.len() + 1 == limit { rest.len() } else { byte_at(rest, 1) };
        parts.push(Value::from(&rest[..cut]));
        rest = &rest[cut..];
    }
    Ok(Value::from(parts))
}

fn substring(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let (text, start, end) = match arguments {
        [Value::String(text), Value::Int(start)] => (text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return Err(Fault::NoOverload),
    };
    if let Some(end) = end.filter(|end| start > *end) {
        return Err(Fault::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let length = text.chars().count();
    let from = position(start, length)?;
    let to = end.map_or(Ok(length), |end| position(end, length))?;
    Ok(Value::from(&text[byte_at(text, from)..byte_at(text, to)]))
}

fn join(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    let (items, separator) = match arguments {
        [Value::List(items)] => (items, ""),
        [Value::List(items), Value::String(separator)] => (items, &**separator),
        _ => return Err(Fault::NoOverload),
    };
    let mut size = 0_usize;
    let mut texts = Vec::with_capacity(items.len());
    for item in items.iter() {
        let text = item.as_str().ok_or_else(|| Fault::new(format!("join: invalid input: {item}")))?;
        size = size.saturating_add(text.len() + separator.len());
        texts.push(text);
    }
    scope.charge_size(size)?;
    Ok(Value::from(texts.join(separator)))
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
