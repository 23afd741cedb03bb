//! Regular expressions: `matches`, `find`, `findAll`, in Go's dialect, compiled once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};

use super::{Cost, Function, Style, global, member};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::Value;

type Outcome = Result<Value, Fault>;

/// `matches`.
pub(super) const STANDARD: &[Function] =
    &[member("matches", 2, Cost::Pattern, matches), global("matches", 2, Cost::Pattern, matches)];

/// `find` and `findAll`.
pub(super) const KUBERNETES: &[Function] = &[
    member("find", 2, Cost::Pattern, find),
    Function { name: "findAll", style: Style::Member, arguments: 2..=3, cost: Cost::Pattern, run: find_all },
];

/// Patterns kept compiled; when there are more, all are dropped and those in use compiled again.
const MAX_CACHED: usize = 512;
/// Memory one compiled pattern may take.
const MAX_SIZE: usize = 4 << 20;

static CACHE: LazyLock<Mutex<HashMap<String, Arc<Regex>>>> = LazyLock::new(Mutex::default);

/// The compiled form of a pattern in Go's dialect.
pub(crate) fn compile(pattern: &str) -> Result<Arc<Regex>, String> {
    if let Some(known) = CACHE.lock().unwrap_or_else(PoisonError::into_inner).get(pattern) {
        return Ok(Arc::clone(known));
    }
    let compiled = RegexBuilder::new(&translate(pattern))
        .size_limit(MAX_SIZE)
        .build()
        .map_err(|error| format!("error parsing regexp: {}: `{pattern}`", reason(&error)))?;
    let compiled = Arc::new(compiled);
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= MAX_CACHED {
        cache.clear();
    }
    cache.insert(pattern.to_owned(), Arc::clone(&compiled));
    Ok(compiled)
}

/// The last line of the library's message is the reason alone; the common ones in Go's words.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    match reason {
        "unclosed group" => "missing closing )",
        "unclosed character class" => "missing closing ]",
        "unopened group" => "unexpected )",
        "repetition operator missing expression" => "missing argument to repetition operator",
        other => other,
    }
    .to_owned()
}

/// Go's `\d`, `\w`, `\s` and `\b` know only ASCII, and its classes neither nest nor subtract.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str(r"[\t\n\x0C\r ]"),
                Some('S') => out.push_str(r"[^\t\n\x0C\r ]"),
                Some('b') if !in_class => out.push_str(r"(?-u:\b)"),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if rest.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for inner in rest.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str(r"\["),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            other => out.push(other),
        }
    }
    out
}

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
