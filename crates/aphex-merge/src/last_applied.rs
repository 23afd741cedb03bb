//! Client-side apply's annotation: letting `kubectl apply --server-side` take over from it.
//!
//! Only the manager `kubectl` gets this, as in apimachinery's `lastAppliedManager` and `lastAppliedUpdater`:
//! fields that still are what client-side apply last set may be taken over without force, and the annotation
//! follows what is applied so that client-side apply stays usable.

use serde_json::Value;

use crate::apply::text;
use crate::field_set::FieldSet;
use crate::managed::ManagerId;
use crate::node::Node;
use crate::path::write_json;
use crate::typed::{check, compare, field_set};

/// The manager name of `kubectl apply --server-side`.
pub(crate) const MANAGER: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Limit of all annotations together (apimachinery `TotalAnnotationSizeLimitB`).
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

fn annotation(object: &Value) -> Option<&str> {
    object.pointer("/metadata/annotations")?.get(ANNOTATION)?.as_str().filter(|value| !value.is_empty())
}

/// The conflicts that client-side apply does not explain; none when it explains them all.
pub(crate) fn remaining(
    conflicts: Vec<(ManagerId, FieldSet)>,
    live: &Value,
    api_version: &str,
    node: Node<'_>,
) -> Option<Vec<(ManagerId, FieldSet)>> {
    let Some(allowed) = untouched(live, api_version, node) else { return Some(conflicts) };
    let rest: Vec<_> = conflicts
        .into_iter()
        .map(|(manager, set)| (manager, set.difference(&allowed)))
        .filter(|(_, set)| !set.is_empty())
        .collect();
    (!rest.is_empty()).then_some(rest)
}

/// The fields of the annotation that the object still has as they were applied.
fn untouched(live: &Value, api_version: &str, node: Node<'_>) -> Option<FieldSet> {
    let applied: Value = serde_json::from_str(annotation(live)?).ok()?;
    if text(&applied, "apiVersion") != api_version {
        return None;
    }
    check(live, node, false).ok()?;
    check(&applied, node, false).ok()?;
    let changed = compare(&applied, live, node).ok()?;
    let set = field_set(&applied, node);
    Some(set.difference(&changed.modified).difference(&changed.added).difference(&changed.removed))
}

/// Rewrites the annotation of an object that has one to what is applied now.
pub(crate) fn refresh(object: &mut Value, applied: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    if let Some(annotations) = applied.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    let mut text = String::new();
    write_json(&mut text, &applied);
    text.push('\n');
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    annotations.insert(ANNOTATION.to_owned(), Value::String(text));
    let size: usize =
        annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if size > ANNOTATIONS_LIMIT {
        annotations.remove(ANNOTATION);
    }
}
