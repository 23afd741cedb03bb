//! The functions of Tekton Triggers' CEL interceptor (v0.34, `pkg/interceptors/cel/triggers.go`).
//!
//! `compareSecret` needs a secret: it is declared here and given by the caller when evaluating.

use std::fmt::Write as _;

use ::regex::Captures;

use super::{Cost, Function, Style, compile_pattern, member};
use crate::error::Fault;
use crate::eval::Scope;
use crate::number::json_number;
use crate::pattern;
use crate::unicode::mended_json;
use crate::value::{Key, Map, Url, Value};

type Outcome = Result<Value, Fault>;

pub(super) const FUNCTIONS: &[Function] = &[
    member("match", 3, Cost::Text, match_header),
    member("canonical", 2, Cost::Text, canonical),
    member("truncate", 2, Cost::Text, truncate),
    Function {
        name: "compareSecret",
        style: Style::Member,
        arguments: 3..=4,
        cost: Cost::One,
        run: compare_secret,
    },
    member("parseJSON", 1, Cost::Text, parse_json),
    member("parseYAML", 1, Cost::Text, parse_yaml),
    member("parseURL", 1, Cost::Text, parse_url),
    member("marshalJSON", 1, Cost::Result, marshal_json),
    member("first", 1, Cost::One, |_, arguments| end(arguments, <[Value]>::first)),
    member("last", 1, Cost::One, |_, arguments| end(arguments, <[Value]>::last)),
    member("translate", 3, Cost::Pattern, translate),
];

/// A header's name as Go writes it: `X-Github-Event`.
fn canonical_name(name: &str) -> String {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(token) {
        return name.to_owned();
    }
    let part = |part: &str| {
        let mut lower = part.to_ascii_lowercase();
        if let Some(first) = lower.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        lower
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

/// The first value of a header, or an empty text.
fn header(headers: &Map, name: &str) -> Result<String, Fault> {
    let Some(values) = headers.get(&Key::from(canonical_name(name).as_str())) else {
        return Ok(String::new());
    };
    match values {
        Value::List(values) => Ok(values.first().and_then(Value::as_str).unwrap_or_default().to_owned()),
        other => Err(Fault::new(format!(
            "failed to convert to http.Header: unsupported type conversion from '{}' to []string",
            other.type_name()
        ))),
    }
}

fn match_header(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::Map(headers), Value::String(name), Value::String(wanted)] = arguments else {
        return Err(Fault::NoOverload);
    };
    Ok(Value::Bool(header(headers, name)? == **wanted))
}

fn canonical(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::Map(headers), Value::String(name)] = arguments else { return Err(Fault::NoOverload) };
    Ok(Value::from(header(headers, name)?))
}

/// The first bytes of a text. Go also cuts within a character; a text that is none is an error in most places there, and
/// here at once.
fn truncate(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::Int(length)] = arguments else { return Err(Fault::NoOverload) };
    let Ok(length) = usize::try_from(*length) else {
        return Err(Fault::new(format!("slice bounds out of range [:{length}]")));
    };
    let cut = text.get(..length.min(text.len()));
    cut.map(Value::from).ok_or_else(|| Fault::new(format!("truncate({length}) cuts within a character")))
}

fn compare_secret(_: &mut Scope, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::String(_), Value::String(_), Value::String(_)]
        | [Value::String(_), Value::String(_), Value::String(_), Value::String(_)] => {
            Err(Fault::new("failed to find secret in compareSecret: no secrets are available here"))
        }
        _ => Err(Fault::NoOverload),
    }
}

/// Go decodes into `map[string]any`: every number a double, and nothing but an object will do.
fn object(document: &serde_json::Value) -> Result<Value, String> {
    let kind = match document {
        serde_json::Value::Object(_) => return Ok(Value::from_json_doubles(document)),
        serde_json::Value::Null => return Ok(Value::from(Map::new())),
        serde_json::Value::Bool(_) => "bool",
        serde_json::Value::Number(_) => "number",
        serde_json::Value::String(_) => "string",
        serde_json::Value::Array(_) => "array",
    };
    Err(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
}

fn parse_json(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    let read = serde_json::from_str(text);
    let mended = || mended_json(text.as_bytes()).and_then(|text| serde_json::from_slice(&text).ok());
    let parsed = read.or_else(|error| mended().ok_or(error)).map_err(|error| error.to_string());
    parsed
        .and_then(|document| object(&document))
        .map_err(|reason| Fault::new(format!("failed to decode '{text}' in parseJSON: {reason}")))
}

fn parse_yaml(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    let parsed = first_document(text).map_err(|error| error.to_string());
    parsed
        .and_then(|document| object(&document))
        .map_err(|reason| Fault::new(format!("failed to decode '{text}' in parseYAML: {reason}")))
}

/// The first document of a YAML text as Go reads it: of a key's values the last counts, and `0777` is octal.
fn first_document(text: &str) -> Result<serde_json::Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
    };
    let read = |text: &str| {
        let mut bytes = text.as_bytes();
        let mut documents = serde_saphyr::read_with_options(&mut bytes, options.clone());
        documents.next().unwrap_or(Ok(serde_json::Value::Null))
    };
    let mut document = read(text)?;
    if !text.ends_with('\n') && text.contains(['|', '>']) {
        // A block that the text ends with ends in a newline only if the text does. Marked, it is found.
        if let Ok(marked) = read(&format!("{text}{MARK}")) {
            unbroken(&mut document, &marked);
        }
    }
    Ok(document)
}

/// Stands in no text that anyone writes.
const MARK: char = '\u{F8FE}';

/// Takes the newline from the end of the text that the mark ended, if the mark has one after it.
fn unbroken(document: &mut serde_json::Value, marked: &serde_json::Value) {
    use serde_json::Value as Json;
    match (document, marked) {
        (Json::String(text), Json::String(marked)) => {
            let before = marked.strip_suffix('\n').and_then(|marked| marked.strip_suffix(MARK));
            if before.is_some_and(|before| text.strip_suffix('\n') == Some(before)) {
                text.pop();
            }
        }
        (Json::Array(items), Json::Array(marked)) => {
            if let (Some(last), Some(marked)) = (items.last_mut(), marked.last()) {
                unbroken(last, marked);
            }
        }
        (Json::Object(fields), Json::Object(marked)) => {
            for (name, field) in fields {
                if let Some(marked) = marked.get(name) {
                    unbroken(field, marked);
                }
            }
        }
        _ => {}
    }
}

fn parse_url(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    let url = Url::parse(text)
        .map_err(|reason| Fault::new(format!("failed to decode '{text}' in parseURL: {reason}")))?;
    let query = url.query();
    let lists = query.iter().map(|(key, values)| {
        let values: Vec<Value> = values.iter().map(|value| Value::from(value.as_str())).collect();
        (Key::from(key.as_str()), Value::from(values))
    });
    let joined = query.iter().map(|(key, values)| (Key::from(key.as_str()), Value::from(values.join(","))));
    let mut map = Map::from([
        (Key::from("scheme"), Value::from(url.scheme.as_str())),
        (Key::from("host"), Value::from(url.host.as_str())),
        (Key::from("path"), Value::from(url.path.as_str())),
        (Key::from("rawQuery"), Value::from(url.raw_query.as_str())),
        (Key::from("fragment"), Value::from(url.fragment.as_str())),
        (Key::from("queryStrings"), Value::from(lists.collect::<Map>())),
        (Key::from("query"), Value::from(joined.collect::<Map>())),
    ]);
    if let Some((name, password)) = &url.user {
        let auth = Map::from([
            (Key::from("username"), Value::from(name.as_str())),
            (Key::from("password"), Value::from(password.as_str())),
        ]);
        map.insert(Key::from("auth"), Value::from(auth));
    }
    Ok(Value::from(map))
}

fn marshal_json(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [value @ (Value::Map(_) | Value::List(_))] = arguments else { return Err(Fault::NoOverload) };
    let document =
        value.to_json().map_err(|reason| Fault::new(format!("failed to convert to native: {reason}")))?;
    let mut text = String::new();
    go_json(&document, &mut text);
    Ok(Value::from(text))
}

/// JSON as Go's encoder writes it: sorted keys, what HTML would read escaped, whole numbers without a point.
fn go_json(document: &serde_json::Value, out: &mut String) {
    use serde_json::Value as Json;
    match document {
        Json::Number(number) => {
            // Whole numbers that are no doubles are written as they are, as protobuf's JSON does.
            match number.as_f64().filter(|_| number.is_f64()) {
                Some(double) => out.push_str(&json_number(double)),
                None => out.push_str(&number.to_string()),
            }
        }
        Json::String(text) => {
            for c in Json::from(text.as_str()).to_string().chars() {
                match c {
                    '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                        // Writing to a String cannot fail.
                        let _ = write!(out, "\\u{:04x}", u32::from(c));
                    }
                    c => out.push(c),
                }
            }
        }
        Json::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                go_json(item, out);
            }
            out.push(']');
        }
        Json::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, field)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                go_json(&Json::from(name.as_str()), out);
                out.push(':');
                go_json(field, out);
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn end(arguments: &[Value], end: fn(&[Value]) -> Option<&Value>) -> Outcome {
    match arguments {
        [Value::List(items)] => Ok(end(items).cloned().unwrap_or(Value::Null)),
        _ => Err(Fault::NoOverload),
    }
}

fn translate(scope: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text), Value::String(written), Value::String(replacement)] = arguments else {
        return Err(Fault::NoOverload);
    };
    let compiled = compile_pattern(written).map_err(|reason| {
        Fault::new(format!("failed to parse regular expression for translation: {reason}"))
    })?;
    let found = compiled.find_iter(text).count();
    scope.charge_size(found.saturating_mul(replacement.len() + text.len()))?;
    let names = if replacement.contains('$') { pattern::names(written) } else { Vec::new() };
    let expand = |captures: &Captures<'_>| expanded(replacement, captures, &names);
    Ok(Value::from(compiled.replace_all(text, expand).into_owned()))
}

/// The replacement of one match, `$1`, `${1}` and `$name` in it replaced by groups (Go's `Regexp.Expand`).
fn expanded(replacement: &str, captures: &Captures<'_>, names: &[Option<String>]) -> String {
    let mut out = String::new();
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = group_name(rest) {
            rest = after;
            let number = name.parse().ok().filter(|_| name == "0" || !name.starts_with('0'));
            let found = if let Some(number) = number {
                captures.get(number)
            } else {
                // Of several groups of a name, the first that matched.
                let mut named = (1..).zip(names).filter(|(_, known)| known.as_deref() == Some(name));
                named.find_map(|(at, _)| captures.get(at))
            };
            out.push_str(found.map_or("", |found| found.as_str()));
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// The name after a `$`, with or without braces, and what comes after it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let text = braced.unwrap_or(text);
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let end = text.find(|c| !letter(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    Some((name, if braced.is_some() { rest.strip_prefix('}')? } else { rest }))
}
