//! Quantities in the one form that Kubernetes stores them in.

use serde_json::{Value, json};

use super::fill::each;
use crate::quantity::Quantity;

/// Rewrites every quantity of a resource list; nothing finer than thousandths is kept.
pub(super) fn rounded(object: &mut Value, path: &str) {
    each(object, &format!("{path}{{}}"), &mut |value| {
        if let Some(quantity) = Quantity::of(value) {
            *value = json!(quantity.rounded_to_milli().to_string());
        }
    });
}

/// Rewrites one quantity.
pub(super) fn canonical(value: &mut Value) {
    if let Some(quantity) = Quantity::of(value) {
        *value = json!(quantity.to_string());
    }
}
