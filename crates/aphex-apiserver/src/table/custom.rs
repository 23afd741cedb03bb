//! Columns of custom kinds, as their definitions declare them (apiextensions-apiserver, `tableconvertor`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::jsonpath::JsonPath;
use crate::object;
use crate::resource::{Custom, PrinterColumn};

const NAME: &str = "Name must be unique within a namespace.";
const CREATED: &str =
    "CreationTimestamp is a timestamp representing the server time when this object was created.";

/// The definitions of the columns, the name first.
pub(super) fn definitions(custom: &Custom) -> Vec<Value> {
    let described = |column: &PrinterColumn| {
        if column.description.is_empty() {
            format!("Custom resource definition column (in JSONPath format): {}", column.json_path)
        } else {
            column.description.clone()
        }
    };
    let name =
        json!({"name": "Name", "type": "string", "format": "name", "description": NAME, "priority": 0});
    let declared = columns(custom);
    let declared = declared.iter().map(|column| {
        json!({
            "name": column.name,
            "type": column.kind,
            "format": column.format,
            "description": described(column),
            "priority": column.priority,
        })
    });
    std::iter::once(name).chain(declared).collect()
}

/// The cells after the name.
pub(super) fn cells(custom: &Custom, object: &Value, now: Timestamp) -> Vec<Value> {
    columns(custom).iter().map(|column| cell(column, object, now)).collect()
}

/// What is declared, or the age where nothing is.
fn columns(custom: &Custom) -> std::borrow::Cow<'_, [PrinterColumn]> {
    if !custom.columns.is_empty() {
        return std::borrow::Cow::Borrowed(&custom.columns);
    }
    std::borrow::Cow::Owned(vec![PrinterColumn {
        name: "Age".to_owned(),
        kind: "date".to_owned(),
        format: String::new(),
        description: CREATED.to_owned(),
        priority: 0,
        json_path: ".metadata.creationTimestamp".to_owned(),
    }])
}

fn cell(column: &PrinterColumn, object: &Value, now: Timestamp) -> Value {
    let Some(path) = JsonPath::parse(&column.json_path) else { return Value::Null };
    let Some(found) = path.find(object).into_iter().next() else { return Value::Null };
    match (column.kind.as_str(), found) {
        ("string", Value::Null) => Value::Null,
        ("string", Value::String(text)) => json!(text),
        ("string", other) => json!(other.to_string()),
        ("integer", Value::Number(number)) => number.as_i64().map_or_else(
            || number.as_f64().map_or(Value::Null, |float| json!(truncated(float))),
            |whole| json!(whole),
        ),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
        ("date", Value::String(text)) => json!(aphex_kinds::age(text, now)),
        _ => Value::Null,
    }
}

/// Go's conversion of a float to an integer, within the range where both agree.
fn truncated(float: f64) -> i64 {
    format!("{:.0}", float.trunc()).parse().unwrap_or_default()
}

/// The name of an object, the first cell of every table.
pub(super) fn name(object: &Value) -> Value {
    json!(object::name(object))
}
