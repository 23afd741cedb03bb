//! What every function takes and gives: the declarations of Kubernetes v1.35 and Tekton Triggers v0.34, read from tables.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::operators as op;

use super::types::Type;
use crate::environment::Dialect;

/// One line per overload: `name overload member|global (arguments) -> result`; single letters are type parameters.
const KUBERNETES: &str = include_str!("kubernetes.txt");

/// The same for the environment of Tekton's CEL interceptor.
const TRIGGERS: &str = include_str!("triggers.txt");

type Table = HashMap<&'static str, Vec<Overload>>;

static KUBERNETES_TABLE: LazyLock<Table> = LazyLock::new(|| table(KUBERNETES));
static TRIGGERS_TABLE: LazyLock<Table> = LazyLock::new(|| table(TRIGGERS));

fn table(lines: &'static str) -> Table {
    let mut table = Table::new();
    for (name, overload) in lines.lines().filter_map(read) {
        table.entry(name).or_default().push(overload);
    }
    table
}

/// One way to call a function.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) id: &'static str,
    /// Whether it is called on a receiver, the first of the arguments.
    pub(crate) member: bool,
    pub(crate) arguments: Vec<Type>,
    pub(crate) result: Type,
    /// Whether it orders numbers of two types.
    pub(crate) mixed: bool,
    /// The type parameters it names, as numbers of letters.
    pub(crate) parameters: Vec<u32>,
}

/// The overloads of a function, in the order they are tried.
pub(crate) fn find(dialect: Dialect, name: &str) -> Option<&'static [Overload]> {
    let table = match dialect {
        Dialect::Kubernetes => &KUBERNETES_TABLE,
        Dialect::Triggers => &TRIGGERS_TABLE,
    };
    table.get(name).map(Vec::as_slice)
}

fn read(line: &'static str) -> Option<(&'static str, Overload)> {
    let (name, rest) = line.split_once(' ')?;
    let (id, rest) = rest.split_once(' ')?;
    let (style, rest) = rest.split_once(' ')?;
    let (arguments, result) = rest.split_once(" -> ")?;
    let arguments = arguments.strip_prefix('(')?.strip_suffix(')')?;
    let mut parameters = Vec::new();
    let arguments: Vec<Type> =
        parts(arguments).into_iter().map(|text| parse(text, &mut parameters)).collect();
    let result = parse(result, &mut parameters);
    let mixed = matches!(name, op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS)
        && arguments.iter().any(|argument| argument.kind() != arguments[0].kind());
    Some((name, Overload { id, member: style == "member", arguments, result, mixed, parameters }))
}

/// Splits at the commas outside of brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

fn parse(text: &str, parameters: &mut Vec<u32>) -> Type {
    if let Some((name, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let mut inner: Vec<Type> = parts(inner).into_iter().map(|part| parse(part, parameters)).collect();
        return match (name, inner.len()) {
            ("list", 1) => Type::list(inner.remove(0)),
            ("map", 2) => Type::map(inner.remove(0), inner.remove(0)),
            ("type", 1) => Type::of(inner.remove(0)),
            _ => Type::Opaque(name.into(), inner.into()),
        };
    }
    match text {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "duration" => Type::Duration,
        "dyn" => Type::Dyn,
        "int" => Type::Int,
        "null" => Type::Null,
        "string" => Type::String,
        "timestamp" => Type::Timestamp,
        "uint" => Type::Uint,
        _ => named(text, parameters),
    }
}

fn named(text: &str, parameters: &mut Vec<u32>) -> Type {
    if let [letter @ b'A'..=b'Z'] = text.as_bytes() {
        let number = u32::from(letter - b'A');
        if !parameters.contains(&number) {
            parameters.push(number);
        }
        return Type::Param(number);
    }
    if text.starts_with("net.") { Type::Opaque(text.into(), Arc::new([])) } else { Type::named(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        for (table, lines) in [(&KUBERNETES_TABLE, KUBERNETES), (&TRIGGERS_TABLE, TRIGGERS)] {
            let read: usize = table.values().map(Vec::len).sum();
            assert_eq!(read, lines.lines().count());
        }
        let find = |name| find(Dialect::Kubernetes, name);
        let insert = find("cel.@mapInsert").unwrap_or_default();
        assert_eq!(insert.len(), 2);
        assert_eq!(insert[0].parameters.len(), 2);
        assert!(find("optional.none").is_some_and(|found| found[0].arguments.is_empty()));
    }
}
