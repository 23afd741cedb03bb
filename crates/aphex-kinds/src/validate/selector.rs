//! Label selectors: `ValidateLabelSelector` of apimachinery.

use aphex_schema::validate::names;
use aphex_schema::{FieldError, Path};
use serde_json::Value;

use super::pod;
use crate::fields::{at, items, text, texts};

/// Everything wrong with a LabelSelector.
pub fn check(selector: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    pod::labels(at(selector, "matchLabels"), &path.child("matchLabels"), errors);
    for (index, expression) in items(selector, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = texts(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&path.child("values"), why));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&path.child("values"), why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            operator => {
                errors.push(FieldError::invalid(
                    &path.child("operator"),
                    operator,
                    "not a valid selector operator",
                ));
            }
        }
        let key = text(expression, "key");
        let faults = names::qualified_name_faults(key).into_iter();
        errors.extend(faults.map(|why| FieldError::invalid(&path.child("key"), key, why)));
    }
}
