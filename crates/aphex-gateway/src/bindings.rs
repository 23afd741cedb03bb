//! From an event to parameters: `$(body.…)`, `$(header.…)`, `$(extensions.…)`, `$(context.eventID)` in binding values.
//!
//! Follows `pkg/template/{event,jsonpath}.go` of Tekton Triggers v0.34. Values that are spliced into a template are
//! JSON text without the outer quotes, so a template may put them into a string as they are.

use std::collections::{BTreeMap, BTreeSet};

use aphex_api::foreign::triggers::{Binding, Param, TemplateParam};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::jsonpath::{self, JsonPathError};

/// Why a trigger's parameters cannot be had.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BindingError {
    /// A binding is neither a value nor a reference.
    #[error("a binding has neither name and value nor ref")]
    Neither,
    /// A binding object does not exist.
    #[error("{kind} {name} does not exist")]
    Missing {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Two bindings give the same parameter.
    #[error("two bindings give the parameter {0}")]
    Duplicate(String),
    /// An expression has no value and the template no default.
    #[error("parameter {name} cannot be read from {value}")]
    Expression {
        /// Name of the parameter.
        name: String,
        /// The binding's value as written.
        value: String,
        /// Why.
        #[source]
        source: JsonPathError,
    },
}

/// What binding expressions see of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Document(Value);

impl Document {
    /// Joins the parts that expressions name.
    pub fn new(
        body: &Value,
        headers: &BTreeMap<String, String>,
        extensions: &Map<String, Value>,
        id: &str,
    ) -> Self {
        let mut parts = json!({ "header": headers, "extensions": extensions, "context": { "eventID": id } });
        // The payload is by far the largest: copied as it is, it need not be written as JSON first.
        parts["body"] = body.clone();
        Self(parts)
    }
}

/// Finds binding objects by name.
pub trait Bindings {
    /// The parameters of a TriggerBinding of the trigger's namespace.
    fn binding(&self, name: &str) -> Option<Vec<Param>>;
    /// The parameters of a ClusterTriggerBinding.
    fn cluster_binding(&self, name: &str) -> Option<Vec<Param>>;
}

/// All parameters that a trigger's bindings name, with expressions unresolved.
pub fn collect(bindings: &[Binding], known: &dyn Bindings) -> Result<Vec<Param>, BindingError> {
    let mut params = Vec::new();
    for binding in bindings {
        match binding {
            Binding { name, value: Some(value), .. } if !name.is_empty() => {
                params.push(Param { name: name.clone(), value: value.clone() });
            }
            Binding { reference, .. } if reference.is_empty() => return Err(BindingError::Neither),
            Binding { reference, kind, .. } => {
                let (kind, found) = if kind == "ClusterTriggerBinding" {
                    ("ClusterTriggerBinding", known.cluster_binding(reference))
                } else {
                    ("TriggerBinding", known.binding(reference))
                };
                let missing = || BindingError::Missing { kind, name: reference.clone() };
                params.extend(found.ok_or_else(missing)?);
            }
        }
    }
    let mut seen = BTreeSet::new();
    match params.iter().find(|param| !seen.insert(param.name.as_str())) {
        Some(twice) => Err(BindingError::Duplicate(twice.name.clone())),
        None => Ok(params),
    }
}

/// Replaces the expressions in parameters; the template's defaults fill what is missing.
pub fn resolve(
    params: &[Param],
    document: &Document,
    declared: &[TemplateParam],
) -> Result<BTreeMap<String, String>, BindingError> {
    let mut resolved: BTreeMap<String, String> =
        declared.iter().filter_map(|param| Some((param.name.clone(), param.default.clone()?))).collect();
    for param in params {
        let mut value = param.value.clone();
        for (expression, original) in expressions(&param.value) {
            let text = match jsonpath::find(&document.0, &expression) {
                // Upstream finds nothing where nothing is asked for, and calls it a value.
                _ if expression.is_empty() => String::new(),
                Ok(found) => text(&found),
                Err(source) => {
                    let Some(default) = resolved.get(&param.name) else {
                        let (name, value) = (param.name.clone(), param.value.clone());
                        return Err(BindingError::Expression { name, value, source });
                    };
                    default.clone()
                }
            };
            value = value.replace(&original, &text);
        }
        resolved.insert(param.name.clone(), value);
    }
    Ok(resolved)
}

/// The expressions in a text, without `$()` and with header names made canonical; and each as it is written.
pub(crate) fn expressions(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for candidate in text.split("$(").skip(1) {
        let mut open = 0_usize;
        let end = candidate.char_indices().find_map(|(at, c)| match c {
            '(' => {
                open += 1;
                None
            }
            ')' if open == 0 => Some(at),
            ')' => {
                open -= 1;
                None
            }
            _ => None,
        });
        let Some(raw) = end.map(|end| &candidate[..end]) else { continue };
        let expression = match raw.strip_prefix("header.") {
            Some(name) => format!("header.{}", canonical_header(name)),
            None => raw.to_owned(),
        };
        found.push((expression, format!("$({raw})")));
    }
    found
}

/// Values as text to splice into a template (`getResults` in Tekton's jsonpath.go).
fn text(found: &[&Value]) -> String {
    match found {
        [Value::String(text)] => {
            let quoted = go_json(&Value::String(text.clone()));
            quoted[1..quoted.len() - 1].to_owned()
        }
        [one] => go_json(one),
        many => format!("[{}]", many.iter().map(|value| go_json(value)).collect::<Vec<_>>().join(",")),
    }
}

/// JSON as Go's encoder writes it: sorted keys, `<`, `>`, `&`, U+2028 and U+2029 escaped, whole floats without a point.
pub fn go_json(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) => value.to_string(),
        // Whole numbers that fit keep all their digits; every other one is a double, as all are to Go.
        Value::Number(number) if !number.is_f64() => number.to_string(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), aphex_cel::json_number),
        Value::String(_) => value
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
            .replace('\u{2028}', "\\u2028")
            .replace('\u{2029}', "\\u2029"),
        Value::Array(items) => format!("[{}]", items.iter().map(go_json).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let pair = |(key, value): (&String, &Value)| {
                format!("{}:{}", go_json(&key.as_str().into()), go_json(value))
            };
            format!("{{{}}}", sorted.into_iter().map(pair).collect::<Vec<_>>().join(","))
        }
    }
}

/// A header name in Go's canonical form: `x-github-event` becomes `X-Github-Event`.
///
/// A name with a character that no header may have stays as it is (`textproto.CanonicalMIMEHeaderKey`).
pub fn canonical_header(name: &str) -> String {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !name.chars().all(token) {
        return name.to_owned();
    }
    let mut upper = true;
    name.chars()
        .map(|c| {
            let made = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            upper = c == '-';
            made
        })
        .collect()
}

#[cfg(test)]
mod tests;
