//! JSON patch (RFC 6902) and JSON merge patch (RFC 7396).

use json_patch::Patch;
use serde_json::Value;

/// The most operations one JSON patch may have.
const MAX_OPERATIONS: usize = 10_000;

/// Why a JSON patch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum JsonPatchError {
    /// It is not a JSON patch document (400).
    #[error("error decoding patch: {0}")]
    Malformed(serde_json::Error),
    /// It has too many operations (413).
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooLarge(usize),
    /// An operation failed, a test for example (422).
    ///
    /// The text is that of evanphx/json-patch where it matters to clients: a failed test, a missing path.
    #[error("{0}")]
    Failed(String),
}

/// Why a merge patch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum MergePatchError {
    /// The patch is not an object (400).
    #[error("Invalid JSON Patch")]
    NotAnObject,
}

/// Applies a JSON patch; all operations or none.
pub fn json_patch(live: &Value, patch: &Value) -> Result<Value, JsonPatchError> {
    if let Some(operations) = patch.as_array()
        && operations.len() > MAX_OPERATIONS
    {
        return Err(JsonPatchError::TooLarge(operations.len()));
    }
    let patch: Patch = serde_json::from_value(patch.clone()).map_err(JsonPatchError::Malformed)?;
    let mut out = live.clone();
    json_patch::patch(&mut out, &patch).map_err(|error| JsonPatchError::Failed(failure(&patch, &error)))?;
    Ok(out)
}

fn failure(patch: &Patch, error: &json_patch::PatchError) -> String {
    use json_patch::PatchErrorKind as Kind;
    let path = error.path.to_string();
    let verb = match patch.0.get(error.operation) {
        Some(json_patch::PatchOperation::Add(_)) => "add",
        Some(json_patch::PatchOperation::Remove(_)) => "remove",
        Some(json_patch::PatchOperation::Replace(_)) => "replace",
        Some(json_patch::PatchOperation::Move(_)) => "move",
        Some(json_patch::PatchOperation::Copy(_)) => "copy",
        Some(json_patch::PatchOperation::Test(_)) | None => "test",
    };
    match (&error.kind, verb) {
        (Kind::TestFailed, _) | (_, "test") => format!("testing value {path} failed: test failed"),
        (Kind::InvalidFromPointer | Kind::CannotMoveInsideItself, _) => {
            format!("{verb} operation does not apply: doc is missing from path: {path}: missing value")
        }
        (_, "replace") => {
            format!("replace operation does not apply: doc is missing key: {path}: missing value")
        }
        (_, "remove") => {
            let key = path.rsplit('/').next().unwrap_or_default();
            format!(
                "remove operation does not apply: doc is missing key: {path}: unable to remove nonexistent key: {key}: missing value"
            )
        }
        _ => format!("{verb} operation does not apply: doc is missing path: \"{path}\": missing value"),
    }
}

/// Applies a merge patch: null removes, objects merge, everything else replaces.
pub fn merge_patch(live: &Value, patch: &Value) -> Result<Value, MergePatchError> {
    if !patch.is_object() {
        return Err(MergePatchError::NotAnObject);
    }
    let mut out = live.clone();
    json_patch::merge(&mut out, patch);
    Ok(out)
}
