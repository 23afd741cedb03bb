//! JSONPath as client-go's `util/jsonpath` reads it, which is what Tekton's `$(…)` expressions are written in.
//!
//! Parsing is in `parse.rs`; here is the walk over a JSON value. Missing keys are errors, as Tekton asks for
//! (`AllowMissingKeys(false)`). Left out: templates with text between expressions, `range` and `end`.

mod parse;

use std::cmp::Ordering;

use serde_json::Value;
use thiserror::Error;

use parse::{Filter, Operand, Slice, Step};

/// Longest expression that is read; bindings are written by tenants.
const MAX_LENGTH: usize = 4096;
/// Most values an expression may pass through, so that `..` cannot be stacked without bound.
const MAX_VALUES: usize = 100_000;

/// Why an expression has no value.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum JsonPathError {
    /// The text is not an expression.
    #[error("{0}")]
    Syntax(String),
    /// A key is not there.
    #[error("{0} is not found")]
    NotFound(String),
    /// An index was applied to something that has none.
    #[error("{0} is not array or slice")]
    NotAList(&'static str),
    /// An index is not there.
    #[error("array index out of bounds: index {index}, length {length}")]
    OutOfBounds {
        /// The index asked for.
        index: i64,
        /// How many there are.
        length: i64,
    },
    /// A filter compares values that cannot be compared.
    #[error("incompatible types for comparison")]
    Incomparable,
    /// The expression selects more values than is sensible.
    #[error("the expression selects too many values")]
    TooMany,
}

/// The values of an event that a path such as `body.commits[*].id` selects; the leading dot and the braces are optional.
pub fn find<'a>(root: &'a Value, path: &str) -> Result<Vec<&'a Value>, JsonPathError> {
    if path.len() > MAX_LENGTH {
        return Err(JsonPathError::Syntax("the expression is too long".to_owned()));
    }
    let mut steps = parse::path(path)?;
    rename(&mut steps);
    walk(vec![root], &steps)
}

/// To Go the event and its context are structs, whose fields go by their names in Go too.
fn rename(steps: &mut [Step]) {
    let Some((Step::Field(first), rest)) = steps.split_first_mut() else { return };
    if matches!(first.as_str(), "Body" | "Header" | "Extensions" | "Context") {
        first.make_ascii_lowercase();
    }
    if first == "context"
        && let Some(Step::Field(second)) = rest.first_mut()
        && second == "EventID"
    {
        "eventID".clone_into(second);
    }
}

/// Whether a path can be read at all.
pub fn check(path: &str) -> Result<(), JsonPathError> {
    if path.len() > MAX_LENGTH {
        return Err(JsonPathError::Syntax("the expression is too long".to_owned()));
    }
    parse::path(path).map(drop)
}

fn walk<'a>(mut current: Vec<&'a Value>, steps: &[Step]) -> Result<Vec<&'a Value>, JsonPathError> {
    for step in steps {
        current = take(current, step)?;
        if current.len() > MAX_VALUES {
            return Err(JsonPathError::TooMany);
        }
    }
    Ok(current)
}

fn take<'a>(current: Vec<&'a Value>, step: &Step) -> Result<Vec<&'a Value>, JsonPathError> {
    match step {
        Step::Field(name) => field(&current, name),
        Step::Wildcard => Ok(current.into_iter().flat_map(children).collect()),
        Step::Descend => descend(&current),
        Step::Slice(slice) => {
            let mut found = Vec::new();
            for value in current.into_iter().filter(|v| !v.is_null()) {
                let list = value.as_array().ok_or(JsonPathError::NotAList(kind(value)))?;
                found.extend(select(list, slice)?);
            }
            Ok(found)
        }
        Step::Filter(filter) => {
            let mut found = Vec::new();
            for value in current {
                for item in value.as_array().ok_or(JsonPathError::NotAList(kind(value)))? {
                    if passes(item, filter)? {
                        found.push(item);
                    }
                }
            }
            Ok(found)
        }
        Step::Union(branches) => {
            let mut found = Vec::new();
            for branch in branches {
                found.extend(walk(current.clone(), branch)?);
            }
            Ok(found)
        }
    }
}

fn field<'a>(current: &[&'a Value], name: &str) -> Result<Vec<&'a Value>, JsonPathError> {
    let found: Vec<&Value> = current.iter().filter_map(|value| value.as_object()?.get(name)).collect();
    if found.is_empty() && !current.is_empty() {
        return Err(JsonPathError::NotFound(name.to_owned()));
    }
    Ok(found)
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}

/// Every object and list at or below the values, outermost first.
fn descend<'a>(current: &[&'a Value]) -> Result<Vec<&'a Value>, JsonPathError> {
    let mut found = Vec::new();
    let mut waiting: Vec<&Value> = current.iter().rev().copied().collect();
    while let Some(value) = waiting.pop() {
        let below = children(value);
        if !below.is_empty() {
            found.push(value);
            waiting.extend(below.into_iter().rev());
        }
        if found.len() + waiting.len() > MAX_VALUES {
            return Err(JsonPathError::TooMany);
        }
    }
    Ok(found)
}

/// `evalArray` in client-go's jsonpath.go: negative numbers count from the end, out of bounds is an error.
fn select<'a>(list: &'a [Value], slice: &Slice) -> Result<Vec<&'a Value>, JsonPathError> {
    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let from_end = |n: i64| if n < 0 { n.saturating_add(length) } else { n };
    let (start, end) = match slice {
        Slice::Index(index) => (from_end(*index), from_end(*index).saturating_add(1)),
        Slice::Range { start, end, .. } => (from_end(start.unwrap_or(0)), from_end(end.unwrap_or(length))),
    };
    if start == end {
        return Ok(Vec::new());
    }
    if start < 0 || start >= length {
        return Err(JsonPathError::OutOfBounds { index: start, length });
    }
    if end < 0 || end > length {
        return Err(JsonPathError::OutOfBounds { index: end - 1, length });
    }
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else { return Ok(Vec::new()) };
    if from > to {
        let text = format!("starting index {start} is greater than ending index {end}");
        return Err(JsonPathError::Syntax(text));
    }
    let step = if let Slice::Range { step, .. } = slice { *step } else { 1 };
    Ok(list[from..to].iter().step_by(step).collect())
}

/// Whether an item has something at a path. To client-go it has where a step other than that to a field fails, since
/// such a step gives back what it was given.
fn exists(item: &Value, steps: &[Step]) -> Result<bool, JsonPathError> {
    let mut current = vec![item];
    for step in steps {
        current = match take(current, step) {
            Ok(found) if found.len() > MAX_VALUES => return Err(JsonPathError::TooMany),
            Ok(found) => found,
            Err(JsonPathError::TooMany) => return Err(JsonPathError::TooMany),
            Err(_) => return Ok(!matches!(step, Step::Field(_))),
        };
    }
    Ok(!current.is_empty())
}

fn passes(item: &Value, filter: &Filter) -> Result<bool, JsonPathError> {
    let left = match (&filter.left, &filter.comparison) {
        (Operand::Path(steps), None) => return exists(item, steps),
        (Operand::Path(steps), Some(_)) => walk(vec![item], steps)?,
        (Operand::Literal(value), _) => vec![value],
    };
    let Some((operator, right)) = &filter.comparison else { return Ok(true) };
    // An item that lacks either side is passed over; the right one is not looked for where there is no left one.
    let Some(left) = single(&left)? else { return Ok(false) };
    let right = match right {
        Operand::Path(steps) => walk(vec![item], steps)?,
        Operand::Literal(value) => vec![value],
    };
    let Some(right) = single(&right)? else { return Ok(false) };
    let order = compare(left, right)?;
    Ok(match operator.as_str() {
        "==" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        ">" => order == Ordering::Greater,
        "<=" => order != Ordering::Greater,
        ">=" => order != Ordering::Less,
        other => return Err(JsonPathError::Syntax(format!("unrecognized filter operator {other}"))),
    })
}

/// The one value of a side, if it has any.
fn single<'a>(found: &[&'a Value]) -> Result<Option<&'a Value>, JsonPathError> {
    match found {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(JsonPathError::Syntax("can only compare one element at a time".to_owned())),
    }
}

fn compare(left: &Value, right: &Value) -> Result<Ordering, JsonPathError> {
    match (left, right) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)).ok_or(JsonPathError::Incomparable)
        }
        _ => Err(JsonPathError::Incomparable),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(path: &str) -> Result<Value, JsonPathError> {
        let root = json!({
            "body": {
                "a": "x", "null": null, "list": [0, 1, 2, 3], "dotted.key": 7,
                "child": [{ "a": "b", "w": 1 }, { "a": "c", "w": 2 }, { "a": "d", "w": 3, "deep": { "w": 4 } }],
                "tagged": [{ "id": 1, "tags": ["a"] }, { "id": 2, "tags": [] }],
            },
            "context": { "eventID": "e" },
        });
        find(&root, path).map(|values| values.into_iter().cloned().collect::<Vec<_>>().into())
    }

    #[test]
    fn paths_select_as_client_go_does() {
        let cases = [
            ("body.a", json!(["x"])),
            (".body.a", json!(["x"])),
            ("{.body.a}", json!(["x"])),
            ("{body.a}", json!(["x"])),
            ("body['a']", json!(["x"])),
            ("body.null", json!([null])),
            ("body.dotted\\.key", json!([7])),
            ("body.list[1]", json!([1])),
            ("body.list[-1]", json!([3])),
            ("body.list[:2]", json!([0, 1])),
            ("body.list[1:4:2]", json!([1, 3])),
            ("body.list[*]", json!([0, 1, 2, 3])),
            ("body.list[0,2]", json!([0, 2])),
            ("body.child[*].w", json!([1, 2, 3])),
            ("body.child[?(@.a == 'd')].w", json!([3])),
            ("body.child[?(@.w >= 2)].a", json!(["c", "d"])),
            ("body.child[?(@.deep)].a", json!(["d"])),
            ("body..w", json!([1, 2, 3, 4])),
            ("body.child[0].*", json!(["b", 1])),
            ("body.tagged[?(@.tags[*] == 'a')].id", json!([1])),
            ("body.tagged[?('a' == @.tags[*])].id", json!([1])),
            ("Body.a", json!(["x"])),
            ("context.EventID", json!(["e"])),
            ("Context['EventID']", json!(["e"])),
        ];
        for (path, expected) in cases {
            assert_eq!(found(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert_eq!(found("body.missing"), Err(JsonPathError::NotFound("missing".into())));
        assert_eq!(found("body.null.a"), Err(JsonPathError::NotFound("a".into())));
        assert_eq!(found("body.list[4]"), Err(JsonPathError::OutOfBounds { index: 4, length: 4 }));
        assert_eq!(found("body.a[0]"), Err(JsonPathError::NotAList("string")));
        for wrong in [
            "{.hello",
            "+12.3.0",
            "body.['a']",
            "body.list[+1]",
            "body.Body",
            "BODY.a",
            "[1",
            "body[a]",
            "body[?(@.a",
            "{foo.bar}}",
            "{{foo.bar",
            "body.a}",
            "",
        ] {
            assert!(found(wrong).is_err(), "{wrong}");
        }
    }
}
