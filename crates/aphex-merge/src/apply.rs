//! Server-side apply: one applied configuration, merged and owned.

#[cfg(test)]
mod tests;

use aphex_schema::Typed;
use serde_json::{Map, Value};

use crate::OtherVersion;
use crate::conflict::Conflicts;
use crate::field_set::FieldSet;
use crate::last_applied;
use crate::managed::{Managed, ManagerId, entries, strip};
use crate::node::Node;
use crate::typed::check;
use crate::updater::{Refused, Updater, report};

/// The manager that gets the fields of an object nobody tracked before its first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// One server-side apply.
#[derive(Clone, Copy, Debug)]
pub struct Apply<'a> {
    /// The object as it is, in the applied apiVersion; none when apply creates it.
    pub live: Option<&'a Value>,
    /// The applied configuration.
    pub applied: &'a Value,
    /// The schema of the kind; `None` deduces it from the values.
    pub schema: Option<Typed<'a>>,
    /// Other apiVersions of the kind; entries of any other one are dropped.
    pub others: &'a [OtherVersion<'a>],
    /// The field manager.
    pub manager: &'a str,
    /// Take conflicting fields over.
    pub force: bool,
    /// The subresource written through, or empty.
    pub subresource: &'a str,
    /// The time of the write, RFC 3339.
    pub now: &'a str,
    /// Fields this endpoint does not write.
    pub reset: &'a FieldSet,
}

/// Why a configuration could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Other managers own fields with other values (409).
    #[error("{0}")]
    Conflicts(Conflicts),
    /// The request itself is wrong (400).
    #[error("{0}")]
    BadRequest(String),
    /// Object or configuration do not fit the schema (500, as Kubernetes answers).
    #[error("{0}")]
    Mismatch(String),
}

/// Merges the configuration into the object, `metadata.managedFields` included.
pub fn apply(request: &Apply<'_>) -> Result<Value, ApplyError> {
    if let Some(Value::Array(_)) = entries(request.applied) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    let api_version = text(request.applied, "apiVersion");
    let updater = Updater {
        node: Node::root(request.schema),
        api_version,
        others: request.others,
        reset: request.reset,
    };
    let mut live = request.live.cloned().unwrap_or_else(|| empty_like(request.applied));
    let mut managed = Managed::decode(entries(&live))
        .map_err(|reason| ApplyError::Mismatch(format!("failed to decode managed fields: {reason}")))?;
    strip(&mut live);
    if managed.owners.is_empty() {
        let before = ManagerId::new(BEFORE_FIRST_APPLY, false, api_version, request.subresource);
        updater.update(&empty_like(request.applied), &live, &mut managed, &before, request.now).map_err(
            |refused| {
                mismatch(refused, |reason| format!("failed to create manager for existing fields: {reason}"))
            },
        )?;
    }
    check_both(request, &live, updater.node)?;
    let writer = ManagerId::new(request.manager, true, api_version, request.subresource);
    let attempt = |force| {
        let mut managed = managed.clone();
        let new = updater.apply(&live, request.applied, &mut managed, &writer, force)?;
        Ok::<_, Refused>((new, managed))
    };
    let outcome = match attempt(request.force) {
        Err(Refused::Conflicts(conflicts)) if request.manager == last_applied::MANAGER => {
            match last_applied::remaining(conflicts, &live, api_version, updater.node) {
                Some(conflicts) => Err(Refused::Conflicts(conflicts)),
                None => attempt(true),
            }
        }
        outcome => outcome,
    };
    let (new, mut managed) = outcome.map_err(|refused| match refused {
        Refused::Conflicts(conflicts) => ApplyError::Conflicts(report(&conflicts)),
        other @ Refused::Mismatch(_) => mismatch(other, |reason| reason),
    })?;
    let mut object = match new {
        Some(new) => {
            managed.touch(writer, request.now);
            new
        }
        None => live,
    };
    if request.manager == last_applied::MANAGER {
        last_applied::refresh(&mut object, request.applied);
    }
    managed.encode_into(&mut object);
    Ok(object)
}

fn mismatch(refused: Refused, wrap: impl FnOnce(String) -> String) -> ApplyError {
    match refused {
        Refused::Conflicts(conflicts) => ApplyError::Conflicts(report(&conflicts)),
        Refused::Mismatch(reason) => ApplyError::Mismatch(wrap(reason)),
    }
}

fn check_both(request: &Apply<'_>, live: &Value, node: Node<'_>) -> Result<(), ApplyError> {
    let failed = |what: &str, object: &Value, reason| {
        ApplyError::Mismatch(format!(
            "failed to create typed {what} object ({}): {reason}",
            described(object)
        ))
    };
    check(request.applied, node, false).map_err(|reason| failed("patch", request.applied, reason))?;
    check(live, node, true).map_err(|reason| failed("live", live, reason))
}

/// `namespace/name; group/version, Kind=Kind`, as the API server's messages have it.
fn described(object: &Value) -> String {
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    let api_version = text(object, "apiVersion");
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!(
        "{}/{}; {slash}{api_version}, Kind={}",
        text(metadata, "namespace"),
        text(metadata, "name"),
        text(object, "kind")
    )
}

/// An object of the same kind with nothing in it.
pub(crate) fn empty_like(object: &Value) -> Value {
    let mut empty = Map::new();
    for name in ["apiVersion", "kind"] {
        if let Some(value) = object.get(name) {
            empty.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(empty)
}

pub(crate) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}
