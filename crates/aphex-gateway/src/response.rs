//! What the gateway answers to webhook requests; the only place where an outcome becomes bytes.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

use crate::rehearsal::Rehearsal;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The event is stored, now or by an earlier delivery of it.
    Accepted {
        /// Name of the EventListener.
        listener: String,
        /// Namespace of the EventListener.
        namespace: String,
        /// The event's id.
        event_id: String,
    },
    /// The event was a dry run.
    Rehearsed {
        /// Name of the EventListener.
        listener: String,
        /// Namespace of the EventListener.
        namespace: String,
        /// The event's id.
        event_id: String,
        /// What would become of it.
        rehearsal: Box<Rehearsal>,
    },
    /// No listener has this host and path.
    UnknownListener,
    /// Only POST is served.
    Method,
    /// Neither JSON nor a form.
    MediaType,
    /// Compressed.
    Encoding,
    /// Larger than GitHub's own limit.
    TooLarge,
    /// The body did not arrive in time.
    Timeout,
    /// No secret of the listener signed the body.
    Signature,
    /// The body is not a JSON object, or the form has none.
    Payload,
    /// Too many events of the organization wait.
    Busy,
    /// Too many signatures of this source failed of late, and this one failed too.
    TooManyFailures,
    /// Too much is being received for the body to have room.
    NoMemory,
    /// The event could not be stored; the log says why.
    Unavailable,
}

impl Answer {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Accepted { .. } | Self::Rehearsed { .. } => StatusCode::OK,
            Self::UnknownListener => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Signature => StatusCode::UNAUTHORIZED,
            Self::Payload => StatusCode::BAD_REQUEST,
            Self::Busy | Self::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
            Self::NoMemory | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The HTTP response.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let error = |text: &str| json!({ "error": text });
        let body = match &self {
            Self::Accepted { listener, namespace, event_id } => {
                json!({ "eventListener": listener, "namespace": namespace, "eventID": event_id })
            }
            Self::Rehearsed { listener, namespace, event_id, rehearsal } => {
                json!({
                    "eventListener": listener, "namespace": namespace, "eventID": event_id, "dryRun": true,
                    "gateway": concat!("aphex-gateway ", env!("CARGO_PKG_VERSION")), "decision": rehearsal,
                })
            }
            Self::UnknownListener => error("Unknown event listener"),
            Self::Method => error("Only POST is supported"),
            Self::MediaType => {
                error("Content type must be application/json or application/x-www-form-urlencoded")
            }
            Self::Encoding => error("Webhook payloads must not be compressed (Content-Encoding)"),
            Self::TooLarge => {
                error("Webhook payload is larger than 25 MiB, or has more values than that allows")
            }
            Self::Timeout => error("Webhook payload did not arrive in time"),
            Self::Signature => error("Invalid webhook signature"),
            Self::Payload => error("Invalid webhook payload"),
            Self::Busy => error("Too many events wait; deliver it again later"),
            Self::TooManyFailures => error("Too many invalid webhook signatures from this address"),
            Self::NoMemory => error("Too much is being received; deliver it again later"),
            Self::Unavailable => error("The event could not be stored; deliver it again"),
        };
        let mut response = Response::new(Full::from(format!("{body}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            Self::NoMemory => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Unavailable | Self::Busy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::TooManyFailures => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            // RFC 9110, section 12.5.3: which encodings would do.
            Self::Encoding => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            // What was not read of a body cannot be skipped cheaply.
            Self::TooLarge | Self::Timeout => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
