//! Validation of custom resources against their schema, with Kubernetes' messages.
//!
//! The rules and their order follow `k8s.io/kube-openapi/pkg/validation/validate`, the texts what
//! `apiextensions-apiserver` makes of its results. Properties are visited in alphabetic order where Kubernetes'
//! order is random. The schema is only read here: structural rules are `structural`'s business, CEL that of `rules`.

mod embedded;
mod formats;
mod limits;
mod lists;
pub mod names;

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::correlate::Old;
use crate::error::FieldError;
use crate::golang;
use crate::model::{Additional, Schema, Type, Typed};
use crate::path::{Path, Trail};

pub use embedded::embedded_resources;
pub use formats::is_supported as is_supported_format;
pub use lists::list_types;

/// Every value of `object` that breaks a rule of `schema`; `field` is where the object sits (usually the root).
pub fn validate(object: &Value, schema: Typed<'_>, field: &Path) -> Vec<FieldError> {
    finish(Walk { field }.value(object, schema, Trail::Root, None))
}

/// As [`validate`], but parts that did not change since `old` may stay invalid (ratcheting).
pub fn validate_update(object: &Value, old: &Value, schema: Typed<'_>, field: &Path) -> Vec<FieldError> {
    finish(Walk { field }.ratcheted(object, schema, Trail::Root, Some(Old::new(old, schema))))
}

fn finish(outcome: Outcome) -> Vec<FieldError> {
    let mut seen = HashSet::new();
    let failures = outcome.failures.into_iter().filter(|failure| seen.insert(failure.message.clone()));
    failures.map(|failure| failure.error).collect()
}

/// A broken rule: the message of the validator, by which duplicates are known, and what the user sees.
#[derive(Debug)]
struct Failure {
    message: String,
    error: FieldError,
}

/// What checking a node gave. The number of matches decides which alternative of `anyOf` is reported.
#[derive(Debug, Default)]
struct Outcome {
    failures: Vec<Failure>,
    matches: usize,
}

impl Outcome {
    fn of(failure: Failure) -> Self {
        Self { failures: vec![failure], matches: 0 }
    }

    fn merge(&mut self, other: Self) {
        self.failures.extend(other.failures);
        self.matches += other.matches;
    }

    fn is_valid(&self) -> bool {
        self.failures.is_empty()
    }
}

/// JSON kinds as validation names them; whole numbers are integers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Null,
    Boolean,
    Integer,
    Float,
    /// A number with a fraction of zero: passes for an integer.
    WholeFloat,
    String,
    Array,
    Object,
}

impl Found {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_i64() => Self::Integer,
            Value::Number(number) if number.as_f64().is_some_and(limits::is_whole) => Self::WholeFloat,
            Value::Number(_) => Self::Float,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float | Self::WholeFloat => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    fn format(self) -> &'static str {
        match self {
            Self::Integer => "int64",
            Self::Float | Self::WholeFloat => "float64",
            _ => "",
        }
    }
}

/// The name of a type in a schema.
pub(crate) fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Object => "object",
        Type::Array => "array",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
    }
}

struct Walk<'w> {
    field: &'w Path,
}

impl Walk<'_> {
    /// The field a validator's path stands for.
    fn field(&self, path: Trail<'_>) -> Path {
        if path.is_root() { self.field.clone() } else { self.field.child(&path.to_string()) }
    }

    fn invalid(&self, path: Trail<'_>, value: impl Into<Value>, message: String) -> Failure {
        let error = FieldError::invalid(&self.field(path), value, message.clone());
        Failure { message, error }
    }

    /// A failure of alternatives: blamed on the object as a whole.
    fn composite(&self, message: String) -> Failure {
        let error = FieldError::invalid(self.field, "", message.clone());
        Failure { message, error }
    }

    fn wrong_type(&self, path: Trail<'_>, wanted: &str, value: &str) -> Failure {
        let message = format!("{path} in body must be of type {wanted}: {}", golang::quote(value));
        let error = FieldError::type_invalid(&self.field(path), value, message.clone());
        Failure { message, error }
    }

    /// Checks a node; if it fails but did not change, the failures are forgiven.
    fn ratcheted(&self, value: &Value, schema: Typed<'_>, path: Trail<'_>, old: Option<Old<'_>>) -> Outcome {
        let mut outcome = self.value(value, schema, path, old);
        if !outcome.is_valid() && old.is_some_and(|old| old.equals(value)) {
            outcome.failures.clear();
        }
        outcome
    }

    fn value(&self, value: &Value, typed: Typed<'_>, path: Trail<'_>, old: Option<Old<'_>>) -> Outcome {
        let schema = typed.schema();
        let found = Found::of(value);
        let mut outcome = Outcome::default();
        if found == Found::Null {
            outcome.merge(self.type_of(found, schema, path));
            outcome.merge(self.enumeration(value, schema, path));
            return outcome;
        }
        if schema.kind.is_some() || schema.int_or_string || format_of(schema).is_some() {
            outcome.merge(self.type_of(found, schema, path));
            outcome.matches += 1;
        }
        outcome.merge(self.alternatives(value, typed, path, old));
        outcome.matches += 1;
        match value {
            Value::String(text) => {
                outcome.failures.extend(self.string(text, schema, path));
                outcome.matches += 1;
                if let Some(format) = format_of(schema) {
                    outcome.failures.extend(self.format(text, format, path));
                    outcome.matches += 1;
                }
            }
            Value::Number(number) => {
                outcome.failures.extend(self.number(number, schema, path));
                outcome.matches += 2;
            }
            Value::Array(list) => {
                outcome.merge(self.array(list, typed, path, old));
                outcome.matches += 1;
            }
            _ => {}
        }
        outcome.merge(self.enumeration(value, schema, path));
        outcome.matches += 1;
        if let Value::Object(map) = value {
            outcome.merge(self.object(map, typed, path, old));
            outcome.matches += 1;
        }
        outcome.matches += 1;
        outcome
    }

    fn type_of(&self, found: Found, schema: &Schema, path: Trail<'_>) -> Outcome {
        let one = schema.kind.map(type_name);
        let types: &[&str] = if schema.int_or_string { &["integer", "string"] } else { one.as_slice() };
        let passed = Outcome { failures: Vec::new(), matches: 1 };
        if found == Found::Null {
            let allowed = types.is_empty() || schema.nullable;
            return if allowed {
                passed
            } else {
                Outcome::of(self.wrong_type(path, &types.join(","), "null"))
            };
        }
        let has = |name: &str| types.contains(&name);
        let fits = has(found.type_name())
            || (found == Found::Integer && has("number"))
            || (found == Found::WholeFloat && has("integer"));
        let textual = matches!(found, Found::String | Found::Array);
        if let Some(format) = format_of(schema) {
            if !textual && !fits {
                return Outcome::of(self.wrong_type(path, format, found.format()));
            }
            if textual && !has("number") && !has("integer") {
                return passed;
            }
        }
        if fits { passed } else { Outcome::of(self.wrong_type(path, &types.join(","), found.type_name())) }
    }

    fn enumeration(&self, value: &Value, schema: &Schema, path: Trail<'_>) -> Outcome {
        let Some(allowed) = &schema.enumeration else { return Outcome::default() };
        if !value.is_null() && allowed.iter().any(|allowed| limits::equal(value, allowed)) {
            return Outcome::default();
        }
        let texts: Vec<String> = allowed
            .iter()
            .map(|allowed| allowed.as_str().map_or_else(|| golang::json(allowed), str::to_owned))
            .collect();
        let message = format!("{path} in body should be one of [{}]", texts.join(" "));
        Outcome::of(Failure {
            message,
            error: FieldError::not_supported(&self.field(path), value.clone(), &texts),
        })
    }

    fn array(&self, list: &[Value], typed: Typed<'_>, path: Trail<'_>, old: Option<Old<'_>>) -> Outcome {
        let schema = typed.schema();
        let mut outcome = Outcome { failures: Vec::new(), matches: 1 };
        if let Some(items) = typed.items() {
            for (index, element) in list.iter().enumerate() {
                let old = old.and_then(|old| old.element(element));
                outcome.merge(self.ratcheted(element, items, Trail::Index(&path, index), old));
            }
        }
        if let Some(limit) = schema.min_items.filter(|limit| (list.len() as u64) < *limit) {
            let message = format!("{path} in body should have at least {limit} items");
            outcome.failures.push(self.invalid(path, list.len(), message));
        }
        if let Some(limit) = schema.max_items.filter(|limit| list.len() as u64 > *limit) {
            let message = format!("{path} in body should have at most {limit} items");
            outcome
                .failures
                .push(Failure { message, error: FieldError::too_many(&self.field(path), list.len(), limit) });
        }
        let repeats = |(index, element): (usize, &Value)| list[..index].contains(element);
        if schema.unique_items && list.iter().enumerate().any(repeats) {
            outcome.failures.push(self.invalid(
                path,
                "",
                format!("{path} in body shouldn't contain duplicates"),
            ));
        }
        outcome
    }

    fn object(
        &self,
        map: &Map<String, Value>,
        typed: Typed<'_>,
        path: Trail<'_>,
        old: Option<Old<'_>>,
    ) -> Outcome {
        let schema = typed.schema();
        let mut outcome = Outcome::default();
        if let Some(limit) = schema.min_properties.filter(|limit| (map.len() as u64) < *limit) {
            let message = format!("{path} in body should have at least {limit} properties");
            outcome.failures.push(self.invalid(path, map.len(), message));
        }
        if let Some(limit) = schema.max_properties.filter(|limit| map.len() as u64 > *limit) {
            let message = format!("{path} in body should have at most {limit} properties");
            outcome
                .failures
                .push(Failure { message, error: FieldError::too_many(&self.field(path), map.len(), limit) });
        }
        for (name, value) in map {
            if schema.properties.contains_key(name) {
                continue;
            }
            match &schema.additional {
                Additional::Forbidden => {
                    let message = format!("{path}.{name} in body is a forbidden property");
                    outcome.failures.push(self.invalid(path, name.as_str(), message));
                }
                Additional::Each(each) => {
                    let old = old.and_then(|old| old.property(name));
                    outcome.merge(self.ratcheted(value, typed.at(each), Trail::Field(&path, name), old));
                }
                Additional::Unspecified | Additional::Anything => {}
            }
        }
        for (name, property) in &schema.properties {
            let Some(value) = map.get(name) else { continue };
            let child = Trail::Field(&path, name);
            // What a stored object says of its kind is not what the client sent: never ratcheted.
            let of_kind = path.is_root() && matches!(name.as_str(), "kind" | "apiVersion");
            let old = old.filter(|_| !of_kind).and_then(|old| old.property(name));
            outcome.merge(self.ratcheted(value, typed.at(property), child, old));
        }
        for name in schema.required.iter().filter(|name| !map.contains_key(*name)) {
            let error = FieldError::required(&self.field(Trail::Field(&path, name)), "");
            outcome.failures.push(Failure { message: format!("{path}.{name} in body is required"), error });
        }
        outcome
    }

    fn alternatives(
        &self,
        value: &Value,
        typed: Typed<'_>,
        path: Trail<'_>,
        old: Option<Old<'_>>,
    ) -> Outcome {
        let schema = typed.schema();
        if is_plain(schema) {
            return Outcome { failures: Vec::new(), matches: 1 };
        }
        let quoted = golang::quote(&path.to_string());
        let check = |alternative| self.value(value, typed.at(alternative), path, old);
        let mut outcome = Outcome { failures: Vec::new(), matches: 1 };
        if !schema.any_of.is_empty() {
            let (valid, best) = best_of(schema.any_of.iter().map(check), true);
            if valid == 0 {
                outcome
                    .failures
                    .push(self.composite(format!("{quoted} must validate at least one schema (anyOf)")));
            }
            outcome.merge(best);
        }
        if !schema.one_of.is_empty() {
            let (valid, best) = best_of(schema.one_of.iter().map(check), false);
            if valid != 1 {
                let found = if valid == 0 {
                    "Found none valid".to_owned()
                } else {
                    format!("Found {valid} valid alternatives")
                };
                let message = format!("{quoted} must validate one and only one schema (oneOf). {found}");
                outcome.failures.push(self.composite(message));
            }
            if valid < 2 {
                outcome.merge(best);
            }
        }
        let mut valid = 0;
        for alternative in &schema.all_of {
            let result = check(alternative);
            valid += usize::from(result.is_valid());
            outcome.merge(result);
        }
        if valid != schema.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            outcome
                .failures
                .push(self.composite(format!("{quoted} must validate all the schemas (allOf){none}")));
        }
        if schema.not.as_deref().is_some_and(|not| check(not).is_valid()) {
            outcome.failures.push(self.composite(format!("{quoted} must not validate the schema (not)")));
        }
        outcome
    }
}

/// Whether there is nothing to choose from: few schemas have alternatives, and every value of an object is asked.
fn is_plain(schema: &Schema) -> bool {
    schema.any_of.is_empty() && schema.one_of.is_empty() && schema.all_of.is_empty() && schema.not.is_none()
}

/// How many alternatives are valid, and the first valid one or else that with the most matches.
fn best_of(outcomes: impl Iterator<Item = Outcome>, first_is_enough: bool) -> (usize, Outcome) {
    let mut valid = 0;
    let mut best: Option<Outcome> = None;
    for outcome in outcomes {
        if outcome.is_valid() {
            valid += 1;
            if valid == 1 {
                best = Some(outcome);
            }
            if first_is_enough {
                break;
            }
        } else if valid == 0 && best.as_ref().is_none_or(|best| outcome.matches > best.matches) {
            best = Some(outcome);
        }
    }
    (valid, best.unwrap_or_default())
}

/// The format of a schema, if it is one that Kubernetes checks; others are as good as none.
fn format_of(schema: &Schema) -> Option<&str> {
    schema.format.as_deref().filter(|format| formats::is_supported(format))
}
