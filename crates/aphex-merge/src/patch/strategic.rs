//! Strategic merge patch: a merge patch whose lists merge as the schema says.
//!
//! Follows apimachinery's `strategicpatch.StrategicMergeMapPatch`, directives included: `$patch`, `$retainKeys`,
//! `$setElementOrder/<field>` and `$deleteFromPrimitiveList/<field>`. Custom kinds have no strategies; the API
//! server refuses this format for them before it gets here.

use aphex_schema::Typed;
use serde_json::{Map, Value};

use super::strategic_list::{merge_list, order_by};

pub(super) const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";

/// Why a strategic merge patch was not applied.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatchError {
    /// The patch is malformed (400).
    #[error("{0}")]
    Malformed(&'static str),
    /// The patch cannot work on any object of the kind (422).
    ///
    /// The reason is for logs: Kubernetes answers "the server rejected our request due to an error in our request".
    #[error("{0}")]
    Unprocessable(&'static str),
    /// The patch does not go with this object (500, as Kubernetes answers).
    #[error("{0}")]
    Mismatch(String),
}

impl PatchError {
    pub(super) const PRIMITIVE_LIST: Self = Self::Malformed("invalid patch format of primitive list");
    pub(super) const RETAIN_KEYS: Self = Self::Malformed("invalid patch format of retainKeys");
    pub(super) const ELEMENT_ORDER: Self = Self::Malformed("invalid patch format of setElementOrder list");
    pub(super) const LIST_OF_LISTS: Self = Self::Unprocessable("lists of lists are not supported");

    pub(super) fn wrong_type(expected: &str, actual: &Value) -> Self {
        Self::Mismatch(format!("expected a {expected}, but received a {}", go_type(actual)))
    }

    pub(super) fn no_merge_key(item: &Value, key: &str) -> Self {
        Self::Mismatch(format!(
            "map: {} does not contain declared merge key: {key}",
            crate::typed::go_value(item)
        ))
    }

    pub(super) fn unknown_directive(directive: &Value, patch: &Value) -> Self {
        let (directive, patch) = (crate::typed::go_value(directive), crate::typed::go_value(patch));
        Self::Mismatch(format!("unknown patch type: {directive} in map: {patch}"))
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// How a list field merges.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListRule<'a> {
    pub(super) merges: bool,
    /// Empty for lists of scalars.
    pub(super) key: &'a str,
    pub(super) items: Option<Typed<'a>>,
}

/// Applies a strategic merge patch to an object.
pub fn strategic_merge(live: &Value, patch: &Value, schema: Typed<'_>) -> Result<Value, PatchError> {
    let (Value::Object(live), Value::Object(patch)) = (live, patch) else {
        return Err(PatchError::Malformed(match patch {
            Value::Array(_) => "json: cannot unmarshal array into Go value of type map[string]interface {}",
            _ => "invalid JSON document",
        }));
    };
    Ok(Value::Object(merge_map(live.clone(), patch.clone(), Some(schema))?))
}

type Object = Map<String, Value>;

pub(super) fn merge_map(
    mut original: Object,
    mut patch: Object,
    schema: Option<Typed<'_>>,
) -> Result<Object, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => Err(PatchError::unknown_directive(directive, &Value::Object(patch.clone()))),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    ordered_lists(&mut original, &mut patch, schema)?;
    for (name, value) in patch {
        let (name, deletes) = match directive_field(&name, DELETE_FROM_PRIMITIVE_LIST) {
            None => (name.clone(), false),
            Some("") => return Err(PatchError::PRIMITIVE_LIST),
            Some(field) => (field.to_owned(), true),
        };
        merge_field(&mut original, name, value, deletes, schema)?;
    }
    Ok(original)
}

/// The field a directive key is about, empty if it names none; nothing for other keys.
fn directive_field<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    key.strip_prefix(prefix).map(|rest| rest.strip_prefix('/').unwrap_or_default())
}

fn merge_field(
    original: &mut Object,
    name: String,
    value: Value,
    deletes: bool,
    schema: Option<Typed<'_>>,
) -> Result<(), PatchError> {
    if value.is_null() {
        original.remove(&name);
        return Ok(());
    }
    let before = original.get_mut(&name).map(Value::take);
    let merged = match (before, value) {
        (Some(Value::Object(before)), Value::Object(patch)) => {
            let field = schema.and_then(|schema| schema.property(&name));
            let replaces = schema.is_some_and(|schema| strategies(schema, &name).any(|it| it == "replace"));
            Value::Object(if replaces { patch } else { merge_map(before, patch, field)? })
        }
        (Some(Value::Array(before)), Value::Array(patch)) => {
            let rule = list_rule(schema, &name);
            if rule.merges || deletes {
                Value::Array(merge_list(before, patch, &rule, deletes)?)
            } else {
                Value::Array(patch)
            }
        }
        // Nothing to delete from: what is there stays.
        (before, _) if deletes => match before {
            Some(before) => before,
            None => return Ok(()),
        },
        (before, mut patch) => {
            let scalar = before
                .is_some_and(|before| std::mem::discriminant(&before) == std::mem::discriminant(&patch));
            if !scalar {
                discard_nulls(&mut patch);
            }
            let Some(kept) = without_directives(patch) else {
                original.remove(&name);
                return Ok(());
            };
            kept
        }
    };
    original.insert(name, merged);
    Ok(())
}

/// The patch strategies of a field: written at the field, or at the definition it refers to.
fn strategies<'a>(schema: Typed<'a>, name: &str) -> impl Iterator<Item = &'a str> {
    let raw = schema.schema().properties.get(name).filter(|raw| !raw.patch_strategy.is_empty());
    let found = raw.or_else(|| schema.property(name).map(Typed::schema));
    found.into_iter().flat_map(|field| field.patch_strategy.iter().map(String::as_str))
}

fn list_rule<'a>(schema: Option<Typed<'a>>, name: &str) -> ListRule<'a> {
    let Some(schema) = schema else { return ListRule { merges: false, key: "", items: None } };
    let field = schema.property(name);
    let raw = schema.schema().properties.get(name).and_then(|raw| raw.patch_merge_key.as_deref());
    let key = raw.or_else(|| field.and_then(|field| field.schema().patch_merge_key.as_deref()));
    ListRule {
        merges: strategies(schema, name).any(|strategy| strategy == "merge"),
        key: key.unwrap_or_default(),
        items: field.and_then(Typed::items),
    }
}

/// `$retainKeys`: only these fields stay, and the patch may set no others.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(retained) = retained else { return Err(PatchError::RETAIN_KEYS) };
    let is_retained = |name: &str| retained.iter().any(|retained| retained.as_str() == Some(name));
    let allowed = |name: &str, value: &Value| {
        value.is_null()
            || name.starts_with(DELETE_FROM_PRIMITIVE_LIST)
            || name.starts_with(SET_ELEMENT_ORDER)
            || is_retained(name)
    };
    if !patch.iter().all(|(name, value)| allowed(name, value)) {
        return Err(PatchError::RETAIN_KEYS);
    }
    original.retain(|name, _| is_retained(name));
    Ok(())
}

/// Merges the lists that come with `$setElementOrder` and puts them in that order.
fn ordered_lists(
    original: &mut Object,
    patch: &mut Object,
    schema: Option<Typed<'_>>,
) -> Result<(), PatchError> {
    let keys: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for key in keys {
        let Some(order) = patch.remove(&key) else { continue };
        let Value::Array(order) = order else { return Err(PatchError::wrong_type("[]interface {}", &order)) };
        let field = directive_field(&key, SET_ELEMENT_ORDER)
            .filter(|field| !field.is_empty())
            .ok_or(PatchError::ELEMENT_ORDER)?;
        let live = list_of(original.get(field))?;
        let change = list_of(patch.get(field))?;
        let rule = list_rule(schema, field);
        super::strategic_list::check_order(change.as_deref().unwrap_or_default(), &order, rule.key)?;
        let merged = match (live.clone(), change.clone()) {
            (Some(live), None) => live,
            (None, Some(change)) => change.into_iter().filter_map(without_directives).collect(),
            (Some(live), Some(change)) if rule.merges => merge_list(live, change, &rule, false)?,
            (Some(_), Some(change)) => change,
            (None, None) => continue,
        };
        let ordered = order_by(merged, &order, live.as_deref().unwrap_or_default(), rule.key)?;
        patch.remove(field);
        original.insert(field.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

fn list_of(value: Option<&Value>) -> Result<Option<Vec<Value>>, PatchError> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(other) => Err(PatchError::wrong_type("[]interface {}", other)),
    }
}

/// The value without anything that carries `$patch`; none if it does itself.
pub(super) fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => Some(Value::Object(
            fields
                .into_iter()
                .filter_map(|(name, value)| without_directives(value).map(|value| (name, value)))
                .collect(),
        )),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}
