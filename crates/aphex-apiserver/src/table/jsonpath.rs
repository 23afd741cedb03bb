//! The part of kubectl's JSONPath that printer columns use (k8s.io/client-go/util/jsonpath).
//!
//! Fields, quoted and escaped names, indices, slices from the end, `[*]`, unions such as `['a','b']`, `..` is not allowed
//! in columns, and filters of the form `[?(@.type=="Ready")]`. Results are references into the object.

use serde_json::Value;

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Every,
    Filter {
        path: Vec<Step>,
        operator: Operator,
        operand: Value,
    },
    /// What each of them leads to, one after the other.
    Union(Vec<Step>),
}

/// How a filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Exists,
    Equal,
    NotEqual,
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Parses `.spec.x`, `.status.conditions[?(@.type=="Ready")].status` and the like; nothing when it cannot.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
        steps(text.strip_prefix('$').unwrap_or(text)).map(Self)
    }

    /// Every value the path leads to, in order.
    pub(super) fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        follow(&self.0, object)
    }
}

fn follow<'a>(steps: &[Step], object: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![object];
    for step in steps {
        found = found.into_iter().flat_map(|value| advance(step, value)).collect();
    }
    found
}

fn advance<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Field(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
        (Step::Index(at), Value::Array(items)) => {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let at = if *at < 0 { at + length } else { *at };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        (Step::Every, Value::Array(items)) => items.iter().collect(),
        (Step::Every, Value::Object(fields)) => fields.values().collect(),
        (Step::Filter { path, operator, operand }, Value::Array(items)) => {
            items.iter().filter(|item| holds(path, *operator, operand, item)).collect()
        }
        (Step::Union(steps), value) => steps.iter().flat_map(|step| advance(step, value)).collect(),
        _ => Vec::new(),
    }
}

fn holds(path: &[Step], operator: Operator, operand: &Value, item: &Value) -> bool {
    let found = follow(path, item);
    match operator {
        Operator::Exists => !found.is_empty(),
        Operator::Equal => found.first().is_some_and(|value| *value == operand),
        Operator::NotEqual => found.first().is_some_and(|value| *value != operand),
    }
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = closing(after)?;
            found.push(bracket(after[..end].trim())?);
            rest = &after[end + 1..];
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            if after.starts_with('[') || (after.is_empty() && rest == ".") {
                rest = after;
                continue;
            }
            let (name, left) = name(after)?;
            found.push(if name == "*" { Step::Every } else { Step::Field(name) });
            rest = left;
        }
    }
    Some(found)
}

/// A field name up to the next `.` or `[`; a backslash takes the next character as it is.
fn name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            '.' | '[' => return (!name.is_empty()).then_some((name, &text[at..])),
            _ => name.push(character),
        }
    }
    (!name.is_empty()).then_some((name, ""))
}

/// The position of the bracket that closes; quotes and inner brackets are skipped.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Option<Step> {
    if inner == "*" {
        return Some(Step::Every);
    }
    if let Some(condition) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return filter(condition);
    }
    // Before quotes are looked at, as client-go has it: a name in them holds no comma.
    if inner.contains(',') {
        return inner.split(',').map(|part| bracket(part.trim())).collect::<Option<_>>().map(Step::Union);
    }
    if let Some(text) = unquoted(inner) {
        return Some(Step::Field(text.to_owned()));
    }
    inner.parse().ok().map(Step::Index)
}

fn filter(condition: &str) -> Option<Step> {
    for (sign, operator) in [("==", Operator::Equal), ("!=", Operator::NotEqual)] {
        if let Some((left, right)) = condition.split_once(sign) {
            let right = right.trim();
            let operand = match unquoted(right) {
                Some(text) => Value::from(text),
                None => serde_json::from_str(right).ok()?,
            };
            return Some(Step::Filter { path: relative(left)?, operator, operand });
        }
    }
    Some(Step::Filter { path: relative(condition)?, operator: Operator::Exists, operand: Value::Null })
}

fn relative(text: &str) -> Option<Vec<Step>> {
    steps(text.trim().strip_prefix('@')?)
}

fn unquoted(text: &str) -> Option<&str> {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\''))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns_find_their_values() {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "dotted"}},
            "spec": {"list": [1, 2, 3], "names": [{"n": "x"}, {"n": "y"}]},
            "status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        let find = |path: &str| -> Value {
            JsonPath::parse(path).map(|p| p.find(&object).into_iter().cloned().collect::<Value>()).into()
        };
        assert_eq!(find(".spec.list[0]"), json!([1]));
        assert_eq!(find(".spec.list[-1]"), json!([3]));
        assert_eq!(find("{.spec.names[*].n}"), json!(["x", "y"]));
        assert_eq!(find(".status.conditions[?(@.type==\"Ready\")].status"), json!(["True"]));
        assert_eq!(find(".status.conditions[?(@.type=='Ready')].status"), json!(["True"]));
        assert_eq!(find(".status.conditions[?(@.type!='Ready')].type"), json!(["A"]));
        assert_eq!(find(".status.conditions[?(@.reason)].type"), json!([]));
        assert_eq!(find(r".metadata.labels.a\.b/c"), json!(["dotted"]));
        assert_eq!(find(".metadata.labels['a.b/c']"), json!(["dotted"]));
        assert_eq!(find(".status.conditions[0]['reason','type', 'status']"), json!(["A", "False"]));
        assert_eq!(find(".spec.list[0,2]"), json!([1, 3]));
        assert_eq!(find(".spec['absent','gone']"), json!([]));
        assert_eq!(find(".spec['absent',]"), Value::Null);
        assert_eq!(find(".spec.absent.more"), json!([]));
        assert_eq!(find(".spec.list[x]"), Value::Null);
        assert_eq!(find(".spec["), Value::Null);
    }
}
