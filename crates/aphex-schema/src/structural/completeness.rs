//! Whatever a value validation speaks of must exist in the structural part of the schema.

use serde_json::Value;

use super::{items, list, properties};
use crate::error::FieldError;
use crate::path::Path;

/// Checks the value validations of the root against the structure; as in Kubernetes only those of the root.
pub(super) fn check(root: &Value, field: &Path, errors: &mut Vec<FieldError>) {
    clauses(root, Some(root), field, field, errors);
}

fn clauses(node: &Value, structure: Option<&Value>, at: &Path, field: &Path, errors: &mut Vec<FieldError>) {
    if let Some(not) = node.get("not").filter(|not| not.is_object()) {
        clause(not, structure, at, &field.child("not"), errors);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        for (index, node) in list(node, key).enumerate() {
            clause(node, structure, at, &field.child(key).index(index), errors);
        }
    }
}

fn clause(node: &Value, structure: Option<&Value>, at: &Path, field: &Path, errors: &mut Vec<FieldError>) {
    let Some(structure) = structure else {
        errors.push(FieldError::required(at, format!("because it is defined in {field}")));
        return;
    };
    clauses(node, Some(structure), at, field, errors);
    if let Some(node) = items(node) {
        clause(node, items(structure), &at.child("items"), &field.child("items"), errors);
    }
    for (name, node) in properties(node) {
        let below = |path: &Path| path.child("properties").key(name);
        let declared = structure.get("properties").and_then(|properties| properties.get(name));
        clause(node, declared, &below(at), &below(field), errors);
    }
}
