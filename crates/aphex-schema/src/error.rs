//! Field errors with the texts of `k8s.io/apimachinery/pkg/util/validation/field` (v0.35).
//!
//! One value per failed rule: what kind, which field, the offending value and a detail. How many of them become
//! one `Status` is the API server's business, not ours.

use std::fmt;

use serde_json::Value;

use crate::golang;
use crate::path::Path;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// The value names something that does not exist.
    NotFound,
    /// A value must be given.
    Required,
    /// The value occurs twice where it must be unique.
    Duplicate,
    /// The value breaks a rule.
    Invalid,
    /// The value is not one of those allowed.
    NotSupported,
    /// The value may not be given here.
    Forbidden,
    /// The value has too many bytes.
    TooLong,
    /// The list or map has too many entries.
    TooMany,
    /// Our own failure.
    Internal,
    /// The value has another JSON type than the schema says.
    TypeInvalid,
}

impl FieldErrorKind {
    /// The machine-readable reason on the wire (`FieldValueRequired`, ...).
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    /// The words that open the message.
    pub fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// One failed rule, blamed on one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// Path of the field; `<nil>` is the object itself, as Kubernetes writes it.
    pub field: String,
    /// The offending value; none leaves it out of the message.
    pub value: Option<Value>,
    /// Explanation, possibly empty.
    pub detail: String,
}

impl FieldError {
    /// Any error with an offending value.
    pub fn new(
        kind: FieldErrorKind,
        field: &Path,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, field: field.to_string(), value: Some(value.into()), detail: detail.into() }
    }

    /// A value must be given.
    pub fn required(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, field, "", detail)
    }

    /// The value breaks a rule.
    pub fn invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, field, value, detail)
    }

    /// The value has another JSON type than the schema says.
    pub fn type_invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::TypeInvalid, field, value, detail)
    }

    /// The value names something that does not exist.
    pub fn not_found(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::NotFound, field, value, "")
    }

    /// The value occurs twice where it must be unique.
    pub fn duplicate(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::Duplicate, field, value, "")
    }

    /// The value may not be given here.
    pub fn forbidden(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, field, "", detail)
    }

    /// The value is not one of `supported`, which the message lists.
    pub fn not_supported(field: &Path, value: impl Into<Value>, supported: &[impl AsRef<str>]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|value| golang::quote(value.as_ref())).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(FieldErrorKind::NotSupported, field, value, detail)
    }

    /// The value has more than `limit` bytes.
    pub fn too_long(field: &Path, limit: u64) -> Self {
        let unit = if limit == 1 { "byte" } else { "bytes" };
        Self::new(
            FieldErrorKind::TooLong,
            field,
            "<value omitted>",
            format!("may not be more than {limit} {unit}"),
        )
    }

    /// The list or map has `actual` entries where `limit` are allowed.
    pub fn too_many(field: &Path, actual: usize, limit: u64) -> Self {
        let unit = if limit == 1 { "item" } else { "items" };
        Self::new(FieldErrorKind::TooMany, field, actual, format!("must have at most {limit} {unit}"))
    }

    /// Our own failure while checking the field.
    pub fn internal(field: &Path, detail: impl Into<String>) -> Self {
        Self { kind: FieldErrorKind::Internal, field: field.to_string(), value: None, detail: detail.into() }
    }

    /// The machine-readable reason on the wire (`FieldValueRequired`, ...).
    pub fn reason(&self) -> &'static str {
        self.kind.reason()
    }

    /// The message without the field, as `status.details.causes[].message` has it.
    pub fn body(&self) -> String {
        let mut text = self.kind.title().to_owned();
        if let Some(value) = self.value.as_ref().filter(|_| self.kind.shows_value()) {
            text.push_str(": ");
            text.push_str(&golang::value(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

impl std::error::Error for FieldError {}

/// Drops errors whose message was already given, as aggregation on the wire does.
pub fn distinct(errors: Vec<FieldError>) -> Vec<FieldError> {
    let mut seen = std::collections::HashSet::new();
    errors.into_iter().filter(|error| seen.insert(error.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_those_of_kubernetes() {
        let spec = Path::root().child("spec");
        let cases = [
            (FieldError::required(&spec.child("x"), ""), "spec.x: Required value"),
            (FieldError::required(&spec, "must be specified"), "spec: Required value: must be specified"),
            (FieldError::invalid(&spec, "a\"b", "bad"), r#"spec: Invalid value: "a\"b": bad"#),
            (FieldError::invalid(&spec, 4, "bad"), "spec: Invalid value: 4: bad"),
            (FieldError::invalid(&Path::root(), "", "bad"), r#"<nil>: Invalid value: "": bad"#),
            (
                FieldError::not_supported(&spec, "c", &["a", "b"]),
                r#"spec: Unsupported value: "c": supported values: "a", "b""#,
            ),
            (FieldError::too_long(&spec, 1), "spec: Too long: may not be more than 1 byte"),
            (FieldError::too_many(&spec.index(2), 3, 2), "spec[2]: Too many: 3: must have at most 2 items"),
            (
                FieldError::duplicate(&spec.key("k"), json!({"b": "<", "a": 1.0})),
                r#"spec[k]: Duplicate value: {"a":1,"b":"\u003c"}"#,
            ),
            (FieldError::forbidden(&spec, "no"), "spec: Forbidden: no"),
            (FieldError::internal(&spec, "oops"), "spec: Internal error: oops"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn equal_messages_are_given_once() {
        let field = Path::root().child("spec");
        let errors = vec![
            FieldError::required(&field, ""),
            FieldError::forbidden(&field, "x"),
            FieldError::required(&field, ""),
        ];
        assert_eq!(distinct(errors).len(), 2);
    }
}
