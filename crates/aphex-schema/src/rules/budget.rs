//! What rules may cost by estimate: each alone, and all of a schema together.

use crate::error::FieldError;
use crate::path::Path;

/// The most one expression may be estimated to cost (`StaticEstimatedCostLimit`).
const RULE: u64 = 10_000_000;
/// The most all expressions of a schema may (`StaticEstimatedCRDCostLimit`).
const SCHEMA: u64 = 100_000_000;
/// How many of the dearest are named when the total is too high.
const NAMED: usize = 4;

/// The sum over a schema, and which expressions make most of it.
#[derive(Debug, Default)]
pub(super) struct Total {
    sum: u64,
    dearest: Vec<(u64, Path)>,
}

impl Total {
    /// Counts an expression in.
    pub(super) fn add(&mut self, field: &Path, cost: u64) {
        self.sum = self.sum.saturating_add(cost);
        if cost < SCHEMA / 100 {
            return;
        }
        self.dearest.push((cost, field.clone()));
        self.dearest.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        self.dearest.truncate(NAMED);
    }

    /// The errors if all together cost too much.
    pub(super) fn errors(&self, schema: &Path) -> Vec<FieldError> {
        if self.sum <= SCHEMA {
            return Vec::new();
        }
        let part =
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let mut errors: Vec<FieldError> =
            self.dearest.iter().map(|(_, field)| FieldError::forbidden(field, part)).collect();
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(schema, exceeded(what, self.sum, SCHEMA)));
        errors
    }
}

/// The error if an expression costs too much.
pub(super) fn error(what: &str, field: &Path, cost: u64) -> Option<FieldError> {
    (cost > RULE).then(|| FieldError::forbidden(field, exceeded(what, cost, RULE)))
}

#[expect(clippy::cast_precision_loss, reason = "a factor is shown with few digits")]
fn exceeded(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, \
         and maxLength where arrays, maps, and strings are declared)"
    )
}
