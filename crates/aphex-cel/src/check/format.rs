//! `format` with a literal text and a literal list: the clauses are held against the types of the list.

use super::infer::Typed;
use super::literals::is_one_of;
use super::tree::{Expr, Id};
use super::types::Kind;
use crate::environment::Dialect;
use crate::value::Value;

/// What a clause takes, and the words for anything else.
struct Clause {
    kinds: &'static [Kind],
    words: &'static str,
}

const SHOWN: &[Kind] = &[
    Kind::List,
    Kind::Map,
    Kind::Int,
    Kind::Uint,
    Kind::Double,
    Kind::Bool,
    Kind::String,
    Kind::Timestamp,
    Kind::Bytes,
    Kind::Duration,
    Kind::Type,
    Kind::Null,
];

/// What is wrong with a call, and the node to blame.
pub(super) fn check(typed: &Typed, dialect: Dialect, id: Id) -> Option<(Id, String)> {
    let Expr::Call { target: Some(target), arguments, .. } = typed.tree.get(id) else { return None };
    let ([list], Expr::Literal(Value::String(text))) = (arguments.as_slice(), typed.tree.get(*target)) else {
        return None;
    };
    let Expr::List { elements } = typed.tree.get(*list) else { return None };
    if !typed.overloads[id].contains(&"string_format") {
        return None;
    }
    let elements: Vec<Id> = elements.iter().map(|(element, _)| *element).collect();
    let used = match clauses(typed, dialect, text, &elements) {
        Ok(used) => used,
        Err((place, message)) => return Some((place.unwrap_or(id), message)),
    };
    let message =
        || format!("too many arguments supplied to string.format (expected {used}, got {})", elements.len());
    (elements.len() > used).then(|| (id, message()))
}

/// How many arguments the clauses take.
fn clauses(
    typed: &Typed,
    dialect: Dialect,
    text: &str,
    elements: &[Id],
) -> Result<usize, (Option<Id>, String)> {
    let mut rest = text;
    let mut used = 0;
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('%') {
            rest = tail;
            continue;
        }
        if rest.is_empty() {
            return Err((None, "unexpected end of string".to_owned()));
        }
        let Some(element) = elements.get(used) else {
            return Err((None, format!("index {used} out of range")));
        };
        used += 1;
        let (clause, length) = clause(rest, dialect)
            .map_err(|message| (None, format!("could not parse formatting clause: {message}")))?;
        suits(typed, &clause, *element)
            .map_err(|(place, message)| (Some(place), format!("error during formatting: {message}")))?;
        rest = &rest[length..];
    }
    Ok(used)
}

fn clause(text: &str, dialect: Dialect) -> Result<(Clause, usize), String> {
    let mut length = 0;
    if let Some(tail) = text.strip_prefix('.') {
        let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
        length = 1 + digits;
        if length == text.len() {
            return Err("error while parsing precision: could not find end of precision specifier".to_owned());
        }
        if tail[..digits].parse::<i64>().is_err() {
            let cause = if digits == 0 { "invalid syntax" } else { "value out of range" };
            return Err(format!(
                "error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing \
                 {:?}: {cause}",
                &tail[..digits]
            ));
        }
    }
    let byte = text.as_bytes()[length];
    let found = match dialect {
        Dialect::Kubernetes => kinds(byte),
        Dialect::Triggers => newer_kinds(byte),
    };
    let (kinds, words) =
        found.ok_or_else(|| format!("unrecognized formatting clause \"{}\"", char::from(byte)))?;
    Ok((Clause { kinds, words }, length + 1))
}

/// What the clause of a letter takes, and the words for anything else, in the version of `format` that Kubernetes has.
fn kinds(letter: u8) -> Option<(&'static [Kind], &'static str)> {
    Some(match letter {
        b's' => (
            SHOWN,
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, \
             and timestamps",
        ),
        b'd' => (&[Kind::Int, Kind::Uint], "decimal clause can only be used on integers"),
        b'f' => (&[Kind::Double, Kind::String], "fixed-point clause can only be used on doubles"),
        b'e' => (&[Kind::Double, Kind::String], "scientific clause can only be used on doubles"),
        b'b' => (&[Kind::Int, Kind::Uint, Kind::Bool], "only integers and bools can be formatted as binary"),
        b'x' | b'X' => (
            &[Kind::Int, Kind::Uint, Kind::String, Kind::Bytes],
            "only integers, byte buffers, and strings can be formatted as hex",
        ),
        b'o' => (&[Kind::Int, Kind::Uint], "octal clause can only be used on integers"),
        _ => return None,
    })
}

/// The same in the newest version, which Tekton has.
fn newer_kinds(letter: u8) -> Option<(&'static [Kind], &'static str)> {
    const NUMBERS: &[Kind] = &[Kind::Int, Kind::Uint, Kind::Double];
    Some(match letter {
        b'd' => (NUMBERS, "decimal clause can only be used on ints, uints, and doubles"),
        b'f' => (NUMBERS, "fixed-point clause can only be used on ints, uints, and doubles"),
        b'e' => (NUMBERS, "scientific clause can only be used on ints, uints, and doubles"),
        b'b' => {
            (&[Kind::Int, Kind::Uint, Kind::Bool], "only ints, uints, and bools can be formatted as binary")
        }
        b'x' | b'X' => (
            &[Kind::Int, Kind::Uint, Kind::String, Kind::Bytes],
            "only ints, uints, bytes, and strings can be formatted as hex",
        ),
        b'o' => (&[Kind::Int, Kind::Uint], "octal clause can only be used on ints and uints"),
        other => return kinds(other),
    })
}

fn suits(typed: &Typed, clause: &Clause, id: Id) -> Result<(), (Id, String)> {
    let found = &typed.types[id];
    if !is_one_of(found, clause.kinds) {
        return Err((id, format!("{}, was given {}", clause.words, found.name())));
    }
    if clause.kinds.len() == SHOWN.len()
        && let Expr::List { .. } | Expr::Map { .. } = typed.tree.get(id)
    {
        for child in typed.tree.children(id) {
            suits(typed, clause, child)?;
        }
    }
    Ok(())
}
