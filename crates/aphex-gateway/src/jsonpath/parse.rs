//! From the text of a path to its steps, by the rules of client-go's jsonpath/parser.go.

use serde_json::Value;

use super::JsonPathError;

/// How deep unions and filters may nest.
const MAX_DEPTH: usize = 16;

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// `.name` or `['name']`.
    Field(String),
    /// `.*`.
    Wildcard,
    /// `..`.
    Descend,
    /// `[1]`, `[0:2]`, `[*]`.
    Slice(Slice),
    /// `[?(…)]`.
    Filter(Filter),
    /// `[0,2]`, `['a','b']`.
    Union(Vec<Vec<Step>>),
}

/// Which items of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slice {
    /// The item at a place.
    Index(i64),
    /// The items from a place to before another.
    Range {
        /// First; from the beginning when absent.
        start: Option<i64>,
        /// Last but one; to the end when absent.
        end: Option<i64>,
        /// Every how many.
        step: usize,
    },
}

/// Keeps the items of a list for which it holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filter {
    /// What is looked at.
    pub(super) left: Operand,
    /// Operator and what it is compared with; absent when existence is asked for.
    pub(super) comparison: Option<(String, Operand)>,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// A path from the item (`@.x`).
    Path(Vec<Step>),
    /// A constant.
    Literal(Value),
}

fn syntax(text: impl Into<String>) -> JsonPathError {
    JsonPathError::Syntax(text.into())
}

/// Reads `a.b`, `.a.b`, `{a.b}` or `{.a.b}` (`relaxedJSONPathExpression` in Tekton's jsonpath.go).
pub(super) fn path(text: &str) -> Result<Vec<Step>, JsonPathError> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or_else(|| syntax("unclosed action"))?,
        None => text,
    };
    let inner = inner.strip_prefix('.').filter(|rest| !rest.starts_with('.')).unwrap_or(inner);
    if inner.is_empty() || inner.contains(['{', '}']) {
        return Err(syntax(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'",
        ));
    }
    steps(&format!(".{inner}"), 0)
}

fn steps(text: &str, depth: usize) -> Result<Vec<Step>, JsonPathError> {
    if depth > MAX_DEPTH {
        return Err(syntax("the expression is nested too deeply"));
    }
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = if let Some(after) = rest.strip_prefix("..") {
            if found.last() == Some(&Step::Descend) {
                return Err(syntax("invalid multiple recursive descent"));
            }
            found.push(Step::Descend);
            if after.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
                field(after, &mut found)
            } else {
                after
            }
        } else if let Some(after) = rest.strip_prefix("[?(") {
            let (step, after) = filter(after, depth)?;
            found.push(step);
            after
        } else if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = after.split_once(']').ok_or_else(|| syntax("unterminated array"))?;
            bracket(inside, depth, &mut found)?;
            after
        } else if let Some(after) = rest.strip_prefix('.') {
            field(after, &mut found)
        } else if matches!(first, ' ' | '@' | '$') {
            &rest[1..]
        } else {
            return Err(unrecognized(first));
        };
    }
    Ok(found)
}

/// Reads a field name up to the next terminator; a backslash takes the next character as it is.
fn field<'a>(text: &'a str, found: &mut Vec<Step>) -> &'a str {
    let mut name = String::new();
    let mut characters = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            name.extend(characters.next().map(|(_, escaped)| escaped));
        } else if matches!(c, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}') {
            end = at;
            break;
        } else {
            name.push(c);
        }
    }
    found.push(if name == "*" { Step::Wildcard } else { Step::Field(name) });
    &text[end..]
}

fn bracket(inside: &str, depth: usize, found: &mut Vec<Step>) -> Result<(), JsonPathError> {
    if inside.contains(',') {
        let branches = inside.split(',').map(|part| steps(&format!("[{}]", part.trim()), depth + 1));
        found.push(Step::Union(branches.collect::<Result<_, _>>()?));
    } else if let Some(name) = inside.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        // As upstream: a dot within is the next field, unless a backslash is before it.
        found.extend(steps(&format!(".{name}"), depth + 1)?);
    } else {
        found.push(Step::Slice(slice(inside)?));
    }
    Ok(())
}

fn slice(inside: &str) -> Result<Slice, JsonPathError> {
    if inside == "*" {
        return Ok(Slice::Range { start: None, end: None, step: 1 });
    }
    let wrong = || syntax(format!("invalid array index {inside}"));
    let number = |part: &str| -> Result<Option<i64>, JsonPathError> {
        if part.is_empty() {
            return Ok(None);
        }
        if part.starts_with('+') {
            return Err(wrong());
        }
        part.parse().map(Some).map_err(|_| wrong())
    };
    let parts: Vec<&str> = inside.split(':').collect();
    match parts.as_slice() {
        [index] => Ok(Slice::Index(number(index)?.unwrap_or(0))),
        [start, end] => Ok(Slice::Range { start: number(start)?, end: number(end)?, step: 1 }),
        [start, end, step] => {
            let step = number(step)?.unwrap_or(1);
            let step = usize::try_from(step)
                .ok()
                .filter(|step| *step > 0)
                .ok_or_else(|| syntax("step must be > 0"))?;
            Ok(Slice::Range { start: number(start)?, end: number(end)?, step })
        }
        _ => Err(wrong()),
    }
}

/// Reads up to `)]`, not minding brackets inside one pair of quotes.
fn filter(text: &str, depth: usize) -> Result<(Step, &str), JsonPathError> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            c if quote == Some(c) => quote = None,
            ')' if quote.is_none() => {
                let after =
                    text[at + 1..].strip_prefix(']').ok_or_else(|| syntax("unclosed array expect ]"))?;
                return Ok((Step::Filter(comparison(&text[..at], depth)?), after));
            }
            _ => {}
        }
    }
    Err(syntax("unterminated filter"))
}

fn comparison(text: &str, depth: usize) -> Result<Filter, JsonPathError> {
    let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
    let Some(start) = text.find(is_operator).filter(|start| *start > 0) else {
        return Ok(Filter { left: operand(text, depth)?, comparison: None });
    };
    let end = text[start..].find(|c| !is_operator(c)).map_or(text.len(), |length| start + length);
    let right = operand(&text[end..], depth)?;
    Ok(Filter {
        left: operand(&text[..start], depth)?,
        comparison: Some((text[start..end].to_owned(), right)),
    })
}

fn operand(text: &str, depth: usize) -> Result<Operand, JsonPathError> {
    let text = text.trim();
    for quote in ['\'', '"'] {
        if let Some(rest) = text.strip_prefix(quote) {
            return quoted(rest, quote).map(|plain| Operand::Literal(Value::String(plain)));
        }
    }
    match text {
        "true" => Ok(Operand::Literal(true.into())),
        "false" => Ok(Operand::Literal(false.into())),
        "" => Err(syntax("a comparison lacks one side")),
        _ => match text.parse::<f64>() {
            Ok(number) => Ok(Operand::Literal(number.into())),
            Err(_) => Ok(Operand::Path(steps(text, depth + 1)?)),
        },
    }
}

/// A text up to the quote that ends it, after which nothing may stand: there is no `&&` and no `||`.
fn quoted(text: &str, quote: char) -> Result<String, JsonPathError> {
    let ends = |at: &usize| !text[..*at].ends_with('\\');
    let Some(end) = text.match_indices(quote).map(|(at, _)| at).find(ends) else {
        return Err(syntax("unterminated quoted string"));
    };
    match text[end + 1..].trim_start().chars().next() {
        None => Ok(text[..end].replace(&format!("\\{quote}"), &quote.to_string())),
        Some(other) => Err(unrecognized(other)),
    }
}

fn unrecognized(character: char) -> JsonPathError {
    syntax(format!("unrecognized character in action: U+{:04X} '{character}'", u32::from(character)))
}
