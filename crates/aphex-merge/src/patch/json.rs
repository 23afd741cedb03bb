//! JSON patch (RFC 6902) and JSON merge patch (RFC 7396).
//!
//! JSON patch is written out here because the API server's library (evanphx/json-patch v4) bends the RFC and
//! clients see its messages: `replace` creates a missing key, negative indices count from the end, and testing
//! a missing key for null succeeds.

use serde::Deserialize;
use serde_json::Value;

use crate::path::equal;

/// The most operations one JSON patch may have.
const MAX_OPERATIONS: usize = 10_000;
/// The most bytes that all copies of one patch may add (apiserver `MaxRequestBodyBytes`).
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Why a JSON patch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum JsonPatchError {
    /// It is not a JSON patch document (400).
    #[error("{0}")]
    Malformed(String),
    /// It has too many operations (413).
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooLarge(usize),
    /// An operation failed, a test for example (422).
    ///
    /// The reason is for logs: Kubernetes answers "the server rejected our request due to an error in our request".
    #[error("{0}")]
    Failed(String),
}

/// Why a merge patch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum MergePatchError {
    /// The patch is not an object (400); the field is what it is.
    #[error(
        "error decoding patch: json: cannot unmarshal {0} into Go value of type map[string]interface {{}}"
    )]
    NotAnObject(&'static str),
}

#[derive(Deserialize)]
struct Operation {
    #[serde(default)]
    op: String,
    path: Option<String>,
    from: Option<String>,
    #[serde(default)]
    value: Value,
}

/// Applies a JSON patch; all operations or none.
pub fn json_patch(live: &Value, patch: &Value) -> Result<Value, JsonPatchError> {
    let malformed = |value: &Value, target: &str| {
        let found = json_type(value);
        let reason =
            format!("error decoding patch: json: cannot unmarshal {found} into Go value of type {target}");
        JsonPatchError::Malformed(reason)
    };
    let Value::Array(operations) = patch else { return Err(malformed(patch, "[]handlers.jsonPatchOp")) };
    if operations.len() > MAX_OPERATIONS {
        return Err(JsonPatchError::TooLarge(operations.len()));
    }
    if let Some(other) = operations.iter().find(|operation| !operation.is_object()) {
        return Err(malformed(other, "handlers.jsonPatchOp"));
    }
    let operations: Vec<Operation> = serde_json::from_value(patch.clone())
        .map_err(|error| JsonPatchError::Malformed(format!("error decoding patch: {error}")))?;
    let mut out = live.clone();
    let mut copied = 0;
    for operation in operations {
        run(&mut out, operation, &mut copied).map_err(JsonPatchError::Failed)?;
    }
    Ok(out)
}

/// The type of a JSON value as Go's decoder names it.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn run(doc: &mut Value, operation: Operation, copied: &mut usize) -> Result<(), String> {
    let Operation { op, path, from, value } = operation;
    let path = path.ok_or_else(|| format!("{op} operation failed to decode path: missing value"));
    let from = from.ok_or_else(|| format!("{op} operation failed to decode from: missing value"));
    match op.as_str() {
        "add" => add(doc, &path?, value, "add", "path"),
        "remove" => {
            let path = path?;
            let (container, key) = container(doc, &path).ok_or_else(|| {
                format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}")
            })?;
            take(container, &key)
                .map(drop)
                .map_err(|reason| format!("error in remove for path: '{path}': {reason}"))
        }
        "replace" => replace(doc, &path?, value),
        "test" => test(doc, &path?, &value),
        "move" => {
            let from = from?;
            let (container, key) = container(doc, &from).ok_or_else(|| {
                format!("move operation does not apply: doc is missing from path: {from}: {MISSING}")
            })?;
            let value = take(container, &key)
                .map_err(|reason| format!("error in move for path: '{key}': {reason}"))?;
            add(doc, &path?, value, "move", "destination path")
        }
        "copy" => {
            let from = from?;
            let (container, key) = container(doc, &from).ok_or_else(|| {
                format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}")
            })?;
            let value = get(container, &key)
                .map_err(|reason| format!("error in copy for from: '{from}': {reason}"))?;
            let value = value.cloned().unwrap_or_default();
            *copied += value.to_string().len();
            if *copied > MAX_COPIED {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED}"
                ));
            }
            add(doc, &path?, value, "copy", "destination path")
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

const MISSING: &str = "missing value";

/// The container a pointer leads into, and the last key; none if there is none on the way.
fn container<'v>(doc: &'v mut Value, pointer: &str) -> Option<(&'v mut Value, String)> {
    let (parents, key) = pointer.rsplit_once('/')?;
    let mut at = doc;
    for step in parents.split('/').skip(1).map(unescape) {
        at = match at {
            Value::Object(fields) => fields.get_mut(&step)?,
            Value::Array(items) => {
                let index = index_of(&step, items.len()).ok()?;
                items.get_mut(index)?
            }
            _ => return None,
        };
    }
    (at.is_object() || at.is_array()).then(|| (at, unescape(key)))
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// An index below `limit`; negative ones count from the end.
fn index_of(key: &str, limit: usize) -> Result<usize, String> {
    let index: i64 = key.parse().map_err(|_| format!("strconv.Atoi: parsing {key:?}: invalid syntax"))?;
    let signed = i64::try_from(limit).unwrap_or(i64::MAX);
    let resolved = if index < 0 { index + signed } else { index };
    usize::try_from(resolved)
        .ok()
        .filter(|resolved| *resolved < limit)
        .ok_or_else(|| format!("Unable to access invalid index: {index}: invalid index referenced"))
}

fn get<'v>(container: &'v Value, key: &str) -> Result<Option<&'v Value>, String> {
    match container {
        Value::Array(items) => index_of(key, items.len()).map(|index| items.get(index)),
        other => Ok(other.get(key)),
    }
}

fn take(container: &mut Value, key: &str) -> Result<Value, String> {
    match container {
        Value::Object(fields) => {
            fields.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}"))
        }
        Value::Array(items) => index_of(key, items.len()).map(|index| items.remove(index)),
        _ => Err(MISSING.to_owned()),
    }
}

fn add(doc: &mut Value, path: &str, value: Value, verb: &str, what: &str) -> Result<(), String> {
    let quoted = if verb == "add" { format!("\"{path}\"") } else { path.to_owned() };
    let (container, key) = container(doc, path).ok_or_else(|| {
        format!("{verb} operation does not apply: doc is missing {what}: {quoted}: {MISSING}")
    })?;
    match container {
        Value::Object(fields) => {
            fields.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let index = index_of(&key, items.len() + 1)
                .map_err(|reason| format!("error in {verb} for path: '{path}': {reason}"))?;
            items.insert(index, value);
        }
        _ => {}
    }
    Ok(())
}

fn replace(doc: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err("replace operation value must be object or array: %!w(<nil>)".to_owned());
        }
        *doc = value;
        return Ok(());
    }
    let (container, key) = container(doc, path)
        .ok_or_else(|| format!("replace operation does not apply: doc is missing path: {path}: {MISSING}"))?;
    match container {
        Value::Object(fields) => {
            fields.insert(key, value);
        }
        Value::Array(items) => {
            let index = index_of(&key, items.len()).map_err(|_| {
                format!("replace operation does not apply: doc is missing key: {path}: {MISSING}")
            })?;
            items[index] = value;
        }
        _ => {}
    }
    Ok(())
}

fn test(doc: &mut Value, path: &str, value: &Value) -> Result<(), String> {
    let failed = || format!("testing value {path} failed: test failed");
    if path.is_empty() {
        return if equal(doc, value) { Ok(()) } else { Err(failed()) };
    }
    let (container, key) = container(doc, path)
        .ok_or_else(|| format!("test operation does not apply: is missing path: {path}: {MISSING}"))?;
    let found =
        get(container, &key).map_err(|reason| format!("error in test for path: '{path}': {reason}"))?;
    if equal(found.unwrap_or(&Value::Null), value) { Ok(()) } else { Err(failed()) }
}

/// Applies a merge patch: null removes, objects merge, everything else replaces.
pub fn merge_patch(live: &Value, patch: &Value) -> Result<Value, MergePatchError> {
    if !patch.is_object() {
        return Err(MergePatchError::NotAnObject(json_type(patch)));
    }
    let mut out = live.clone();
    json_patch::merge(&mut out, patch);
    Ok(out)
}
