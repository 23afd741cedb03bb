//! What the gateway promises to the platform's triggers, beyond what Tekton gives every trigger.
//!
//! Before the first interceptor runs, the gateway puts one object into the event's extensions, under [`EXTENSION`].
//! A binding reads it as `$(extensions.delivery.receivedTime)`. Tekton's own sink gives no such object; a template
//! therefore has a default for what it takes from there.

/// Key in the event's extensions of what the gateway knows about the delivery.
pub const EXTENSION: &str = "delivery";
/// Field: when the request had been read, RFC 3339 in UTC, to the second.
pub const RECEIVED_TIME: &str = "receivedTime";
/// Field: the sender's id for the delivery; the same as `$(context.eventID)`.
pub const ID: &str = "id";

/// The expression by which a binding reads a field of the extension.
#[must_use]
pub fn expression(field: &str) -> String {
    format!("$(extensions.{EXTENSION}.{field})")
}
