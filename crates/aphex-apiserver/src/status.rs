//! The wire `Status`: the one error type of this API, and its one conversion to bytes.
//!
//! Constructors carry the sentences of `k8s.io/apimachinery/pkg/api/errors` (v0.35), because clients and their
//! users read them. A `Status` never holds an inner cause: what the outside may not read goes to the log first.

use aphex_schema::error::{FieldError, distinct};
use serde::Serialize;

/// An error as Kubernetes clients know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason; empty for "unknown".
    pub reason: &'static str,
    /// What the user reads.
    pub message: String,
    /// What the error is about.
    pub details: Option<Box<Details>>,
    /// Token with which an expired paginated list may go on.
    pub continue_token: Option<String>,
}

/// What an error is about; all fields optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Plural resource, or for validation errors the kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Unique id of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Single findings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds after which a retry makes sense.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// One finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Machine-readable reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Sentence for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field at fault.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: ListMeta<'a>,
    status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

#[derive(Serialize)]
struct ListMeta<'a> {
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    continue_token: Option<&'a str>,
}

/// The `Status` that says a deletion succeeded.
pub fn deleted(group: &str, plural: &str, name: &str, uid: &str) -> serde_json::Value {
    let details = Details {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: plural.to_owned(),
        uid: uid.to_owned(),
        ..Details::default()
    };
    to_value(&Wire {
        kind: "Status",
        api_version: "v1",
        metadata: ListMeta { continue_token: None },
        status: "Success",
        message: "",
        reason: "",
        details: Some(&details),
        code: None,
    })
}

fn to_value(wire: &Wire<'_>) -> serde_json::Value {
    // Plain strings and numbers under string keys always serialise.
    serde_json::to_value(wire).unwrap_or_default()
}

impl Status {
    /// An error without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, continue_token: None }
    }

    /// The same error with details.
    #[must_use]
    pub fn with(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    fn about(self, group: &str, kind: &str, name: &str) -> Self {
        self.with(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            ..Details::default()
        })
    }

    /// The same error with one more cause.
    #[must_use]
    pub fn because(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let cause = Cause { reason: reason.to_owned(), message: message.into(), field: field.to_owned() };
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// The same error asking to come back after that many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// Seconds the client should wait, for the `Retry-After` header.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details.as_ref().map(|d| d.retry_after_seconds).filter(|&seconds| seconds > 0)
    }

    /// 404 for an object.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(plural, group));
        Self::new(404, "NotFound", message).about(group, plural, name)
    }

    /// 404 for a path below a served group that names no resource.
    pub fn no_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
            .with(Details::default())
    }

    /// 409 for a name that is taken.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(plural, group));
        Self::new(409, "AlreadyExists", message).about(group, plural, name)
    }

    /// 409 for a name that an object on its way out still has.
    pub fn still_there(group: &str, plural: &str, name: &str) -> Self {
        let mut status = Self::already_exists(group, plural, name);
        status.message = format!("object is being deleted: {}", status.message);
        status
    }

    /// 409 for a name that was to be generated and came out as one that is taken.
    pub fn not_unique(group: &str, plural: &str, name: &str) -> Self {
        let mut status = Self::already_exists(group, plural, name).retry_after(1);
        status.message.push_str(", the server was not able to generate a unique name for the object");
        status
    }

    /// 409 for a lost race or a broken precondition.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(plural, group));
        Self::new(409, "Conflict", message).about(group, plural, name)
    }

    /// 409 for a stale resourceVersion.
    pub fn modified(group: &str, plural: &str, name: &str) -> Self {
        const WHY: &str =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(group, plural, name, WHY)
    }

    /// 403.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let subject = match (plural.is_empty(), name.is_empty()) {
            (true, _) => String::new(),
            (false, true) => qualified(plural, group),
            (false, false) => format!("{} \"{name}\"", qualified(plural, group)),
        };
        let message = if subject.is_empty() {
            format!("forbidden: {why}")
        } else {
            format!("{subject} is forbidden: {why}")
        };
        Self::new(403, "Forbidden", message).about(group, plural, name)
    }

    /// 422 with one cause per field error.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: Vec<FieldError>) -> Self {
        // Each is told once, though it may have been found by several rules.
        let mut texts: Vec<String> = distinct(errors.clone()).iter().map(ToString::to_string).collect();
        let text = if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) };
        let message = format!("{} \"{name}\" is invalid: {text}", qualified(kind, group));
        let mut status = Self::new(422, "Invalid", message).about(group, kind, name);
        for error in errors {
            status = status.because(error.reason(), error.body(), &error.field);
        }
        status
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 405 for a verb that the resource does not have.
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
            .with(Details::default())
    }

    /// 405 with the resource and the action named.
    pub fn method_not_supported(group: &str, plural: &str, action: &str) -> Self {
        let message =
            format!("{action} is not supported on resources of kind \"{}\"", qualified(plural, group));
        Self::new(405, "MethodNotAllowed", message).about(group, plural, "")
    }

    /// The same error in other words.
    #[must_use]
    pub fn with_text(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// 406 for an `Accept` header we cannot satisfy.
    pub fn not_acceptable(offered: &str) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {offered}");
        Self::new(406, "NotAcceptable", message).with(Details::default())
    }

    /// 406 for an encoding that is served, in a shape that is not.
    pub fn no_such_shape(offered: &str) -> Self {
        Self::new(406, "NotAcceptable", format!("only the following media types are accepted: {offered}"))
    }

    /// 415 for a body we cannot read.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let mut message = "415: Unsupported Media Type".to_owned();
        if !accepted.is_empty() {
            message.push_str("\n\nAccepted media types: ");
            message.push_str(accepted);
        }
        Self::new(415, "UnsupportedMediaType", message).with(Details::default())
    }

    /// 413 for a body over the limit.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 422 for a patch whose operations do not apply.
    pub fn unprocessable() -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request")
            .with(Details::default())
    }

    /// 410 for a revision that is gone.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 504 for a request that took too long.
    pub fn timeout(message: &str) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {message}")).with(Details::default())
    }

    /// 504 for a revision that does not exist yet.
    pub fn too_large_resource_version(wanted: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        Self::new(504, "Timeout", message)
            .because("ResourceVersionTooLarge", "Too large resource version", "")
            .retry_after(1)
    }

    /// 429 when too much is in flight.
    pub fn too_many_requests() -> Self {
        Self::new(429, "TooManyRequests", "Too many requests, please try again later.").retry_after(1)
    }

    /// 500; the text must be fit for outsiders.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        let message = format!("Internal error occurred: {what}");
        Self::new(500, "InternalError", message.clone()).because("", what.to_string(), "")
    }

    /// 503.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", why)
    }

    /// The object on the wire.
    pub fn to_json(&self) -> serde_json::Value {
        to_value(&self.wire())
    }

    /// The bytes on the wire, in Kubernetes' field order.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.wire()).unwrap_or_default()
    }

    fn wire(&self) -> Wire<'_> {
        Wire {
            kind: "Status",
            api_version: "v1",
            metadata: ListMeta { continue_token: self.continue_token.as_deref() },
            status: "Failure",
            message: &self.message,
            reason: self.reason,
            details: self.details.as_deref(),
            code: Some(self.code),
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// `deployments.apps`, or `pods` in the core group.
fn qualified(what: &str, group: &str) -> String {
    if group.is_empty() { what.to_owned() } else { format!("{what}.{group}") }
}

#[cfg(test)]
mod tests {
    use aphex_schema::path::Path;

    use super::*;

    #[test]
    fn several_field_errors_are_listed_in_brackets_and_as_causes() {
        let name = Path::root().child("metadata").child("name");
        let errors = vec![FieldError::required(&name, "why"), FieldError::forbidden(&name, "no")];
        let status = Status::invalid("apps", "Deployment", "web", errors);
        assert_eq!(
            status.message,
            "Deployment.apps \"web\" is invalid: [metadata.name: Required value: why, metadata.name: Forbidden: no]"
        );
        assert_eq!(status.details.unwrap().causes[1].reason, "FieldValueForbidden");
    }

    #[test]
    fn the_wire_form_has_kubernetes_field_order() {
        let text = String::from_utf8(Status::not_found("", "configmaps", "a").to_bytes()).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"configmaps \"a\" not found","reason":"NotFound","details":{"name":"a","kind":"configmaps"},"code":404}"#
        );
    }
}
