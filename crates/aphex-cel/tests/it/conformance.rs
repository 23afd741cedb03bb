//! The conformance cases of cel-spec: what a text is checked to be, and what it comes to.
//!
//! The cases are the data of cel-spec (`tests/simple/testdata`) as `@bufbuild/cel-spec` 0.6.1 publishes them, under the
//! Apache License 2.0, (c) Google LLC and Buf Technologies, Inc.; `extract.mjs` says how the file is made. Groups about
//! protobuf messages are not among them. `known.txt` lists the cases that do not pass and why; any other must.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use aphex_cel::{Declarations, Environment, Key, Limits, Map, Type, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::Value as Json;

const CASES: &[u8] = include_bytes!("../conformance/cases.json.gz");
const KNOWN: &str = include_str!("../conformance/known.txt");
/// Groups about functions that only Tekton has.
const OF_TEKTON: &[&str] = &["math_ext/", "encoders_ext/"];

#[test]
fn cases_of_the_specification_pass_or_are_listed_with_a_reason() {
    let cases: Vec<Json> = serde_json::from_reader(GzDecoder::new(CASES)).unwrap();
    let known: BTreeMap<&str, &str> = KNOWN
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .collect();
    let mut used: BTreeMap<&str, usize> = known.keys().map(|path| (*path, 0)).collect();
    let mut failures = String::new();
    for case in &cases {
        let path = text(case, "path");
        let Err(cause) = run(case) else {
            assert!(!known.contains_key(path), "{path} passes: take it off the list");
            continue;
        };
        let group =
            known.keys().find(|known| known.strip_suffix('*').is_some_and(|head| path.starts_with(head)));
        match known.get_key_value(path).map(|(path, _)| path).or(group) {
            Some(listed) => *used.get_mut(listed).unwrap() += 1,
            None => writeln!(failures, "{path}: {cause} <- {}", case["expr"]).unwrap(),
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{failures}", failures.lines().count(), cases.len());
    let unused: Vec<&str> = used.iter().filter(|(_, count)| **count == 0).map(|(path, _)| *path).collect();
    assert!(unused.is_empty(), "listed, but nothing there fails: {unused:?}");
}

fn text<'c>(case: &'c Json, key: &str) -> &'c str {
    case[key].as_str().unwrap_or_default()
}

fn run(case: &Json) -> Result<(), String> {
    let (source, path) = (text(case, "expr"), text(case, "path"));
    let of_tekton = OF_TEKTON.iter().any(|group| path.starts_with(group));
    let environment = if of_tekton { Environment::triggers() } else { Environment::kubernetes() };
    let unchecked = of_tekton || case["disableCheck"] == true;
    // The publisher's own checker knows fewer functions than we: what it refuses may well have a value.
    let refused = case["refused"] == true && case["value"].is_null() && !unchecked;
    match checked(case, environment, source).filter(|_| !unchecked) {
        Some(Err(_)) if refused => return Ok(()),
        Some(Err(cause)) if !is_of_kubernetes(&cause) => return Err(cause),
        _ if case["checkOnly"] == true => return Ok(()),
        _ => {}
    }
    evaluated(case, environment, source)
}

/// Whether a fault is one that the language leaves to the run and Kubernetes does not: mixed literals, constants that
/// can only fail.
fn is_of_kubernetes(cause: &str) -> bool {
    cause.contains("' but found '")
        || cause.ends_with(": invalid timestamp argument")
        || cause.ends_with(": invalid duration argument")
}

/// Whether a case is checked to be what it should; nothing if it does not say.
fn checked(case: &Json, environment: &Environment, source: &str) -> Option<Result<(), String>> {
    let mut declarations = Declarations::new();
    for declared in case["typeEnv"].as_array().into_iter().flatten() {
        let Some(kind) = kind(&declared["ident"]["type"]) else {
            return Some(Err(format!("declaration {declared} cannot be expressed")));
        };
        declarations = declarations.with(declared["name"].as_str()?, kind);
    }
    Some(match environment.check(source, &declarations) {
        Err(error) => Err(error.to_string().lines().next().unwrap_or_default().to_owned()),
        Ok(checked) if case["type"].is_null() || checked.output().to_string() == case["type"] => Ok(()),
        Ok(checked) => Err(format!("is checked to be {}, not {}", checked.output(), case["type"])),
    })
}

fn evaluated(case: &Json, environment: &Environment, source: &str) -> Result<(), String> {
    let mut bindings = Vec::new();
    for (name, bound) in case["bindings"].as_object().into_iter().flatten() {
        let bound = value(&bound["value"]).ok_or_else(|| format!("binding {bound} cannot be expressed"))?;
        bindings.push((name.as_str(), bound));
    }
    let names: Vec<&str> = bindings.iter().map(|(name, _)| *name).collect();
    let result = environment
        .compile_checked(source, &names)
        .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
        .and_then(|program| {
            program.evaluate(&bindings, &Limits::default()).map_err(|error| error.to_string())
        });
    if !case["evalError"].is_null() {
        return result.map_or(Ok(()), |found| Err(format!("comes to {found:?} and should fail")));
    }
    let result_of = [&case["value"], &case["typedResult"]["result"]];
    let wanted =
        result_of.into_iter().find(|result| !result.is_null()).map_or(Some(Value::Bool(true)), value);
    let wanted = wanted.ok_or_else(|| format!("result {} cannot be expressed", case["value"]))?;
    let found = result?;
    let same = match (&found, &wanted) {
        (Value::Double(found), Value::Double(wanted)) if found.is_nan() => wanted.is_nan(),
        // The file has no negative zero.
        (Value::Double(found), Value::Double(wanted)) => found.partial_cmp(wanted) == Some(Ordering::Equal),
        _ => format!("{found:?}") == format!("{wanted:?}"),
    };
    if same { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
}

/// A type of a declaration, if it is one we have.
fn kind(declared: &Json) -> Option<Type> {
    if let Some(primitive) = declared["primitive"].as_str() {
        return Some(match primitive {
            "BOOL" => Type::Bool,
            "INT64" => Type::Int,
            "UINT64" => Type::Uint,
            "DOUBLE" => Type::Double,
            "STRING" => Type::String,
            "BYTES" => Type::Bytes,
            _ => return None,
        });
    }
    match declared["wellKnown"].as_str() {
        Some("TIMESTAMP") => return Some(Type::Timestamp),
        Some("DURATION") => return Some(Type::Duration),
        _ => {}
    }
    match declared["messageType"].as_str() {
        Some("google.protobuf.Timestamp") => return Some(Type::Timestamp),
        Some("google.protobuf.Duration") => return Some(Type::Duration),
        _ => {}
    }
    if declared.get("dyn").is_some() {
        return Some(Type::Dyn);
    }
    if declared.get("null").is_some() {
        return Some(Type::Null);
    }
    if let Some(list) = declared.get("listType") {
        return kind(&list["elemType"]).map(Type::list);
    }
    if let Some(map) = declared.get("mapType") {
        return Some(Type::map(kind(&map["keyType"])?, kind(&map["valueType"])?));
    }
    let optional = declared.get("abstractType").filter(|kind| kind["name"] == "optional_type")?;
    kind(&optional["parameterTypes"][0]).map(Type::optional)
}

/// A value of a case, if it is one we have.
fn value(written: &Json) -> Option<Value> {
    let (name, content) = written.as_object()?.iter().next()?;
    let text = || content.as_str();
    Some(match name.as_str() {
        "nullValue" => Value::Null,
        "boolValue" => Value::Bool(content.as_bool()?),
        "int64Value" => Value::Int(text()?.parse().ok()?),
        "uint64Value" => Value::Uint(text()?.parse().ok()?),
        "doubleValue" => Value::Double(text()?.parse().ok()?),
        "stringValue" => Value::from(content.as_str()?),
        "bytesValue" => Value::Bytes(Arc::from(STANDARD.decode(content.as_str()?).ok()?)),
        "typeValue" => Value::Type(content.as_str()?.into()),
        "listValue" => {
            let values = content["values"].as_array().into_iter().flatten();
            Value::from(values.map(value).collect::<Option<Vec<Value>>>()?)
        }
        "mapValue" => {
            let mut map = Map::new();
            for entry in content["entries"].as_array().into_iter().flatten() {
                map.insert(key(value(&entry["key"])?)?, value(&entry["value"])?);
            }
            Value::from(map)
        }
        "objectValue" => message(content)?,
        _ => return None,
    })
}

fn key(value: Value) -> Option<Key> {
    Some(match value {
        Value::Bool(key) => Key::Bool(key),
        Value::Int(key) => Key::Int(key),
        Value::Uint(key) => Key::Uint(key),
        Value::String(key) => Key::String(key),
        _ => return None,
    })
}

/// The two messages that are values of their own.
fn message(content: &Json) -> Option<Value> {
    let written = content["value"].as_str()?;
    match content["@type"].as_str()?.rsplit('/').next()? {
        "google.protobuf.Timestamp" => {
            Some(Value::Timestamp(written.parse::<jiff::Timestamp>().ok()?.into()))
        }
        "google.protobuf.Duration" => {
            let source = format!("duration('{written}')");
            let program = Environment::kubernetes().compile(&source, &[]).ok()?;
            program.evaluate(&[], &Limits::default()).ok()
        }
        _ => None,
    }
}
