//! Uniqueness in lists of type `set` and `map`
//! (`k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype`).

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::error::FieldError;
use crate::golang;
use crate::model::{Additional, Typed};
use crate::path::{Path, Trail};

/// The second occurrence of each element (set) or key (map) that occurs more than once.
pub fn list_types(object: &Value, schema: Typed<'_>, field: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    visit(object, schema, Trail::At(field), &mut errors);
    errors
}

fn visit(value: &Value, typed: Typed<'_>, field: Trail<'_>, errors: &mut Vec<FieldError>) {
    let schema = typed.schema();
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(property) = schema.properties.get(name) {
                    visit(value, typed.at(property), Trail::Field(&field, name), errors);
                } else if let Additional::Each(each) = &schema.additional {
                    visit(value, typed.at(each), Trail::Key(&field, name), errors);
                }
            }
        }
        Value::Array(list) => {
            match schema.list_type.as_deref() {
                Some("set") => {
                    let twice = repeated(list.iter().map(golang::json)).into_iter();
                    let place = |index| Trail::Index(&field, index).path();
                    errors.extend(twice.map(|i| FieldError::duplicate(&place(i), list[i].clone())));
                }
                Some("map") => keys(list, &schema.list_map_keys, &field, errors),
                _ => {}
            }
            if let Some(items) = typed.items() {
                for (index, element) in list.iter().enumerate() {
                    visit(element, items, Trail::Index(&field, index), errors);
                }
            }
        }
        _ => {}
    }
}

fn keys(list: &[Value], names: &[String], field: &Trail<'_>, errors: &mut Vec<FieldError>) {
    let place = |index| Trail::Index(field, index).path();
    if let Some(index) = list.iter().position(|element| !element.is_object() && !element.is_null()) {
        let detail = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(&place(index), list[index].clone(), detail));
        return;
    }
    let key = |element: &Value| -> Value {
        let given = |name: &String| element.get(name).map(|value| (name.clone(), value.clone()));
        json!(names.iter().filter_map(given).collect::<Map<String, Value>>())
    };
    let keys: Vec<Value> = list.iter().map(key).collect();
    let twice = repeated(keys.iter().map(golang::json));
    errors.extend(twice.into_iter().map(|index| FieldError::duplicate(&place(index), keys[index].clone())));
}

/// Indexes of the second occurrences.
fn repeated(texts: impl Iterator<Item = String>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut second = Vec::new();
    for (index, text) in texts.enumerate() {
        let times = seen.entry(text).or_default();
        *times += 1;
        if *times == 2 {
            second.push(index);
        }
    }
    second
}
