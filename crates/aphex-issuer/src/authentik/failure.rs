//! Why a request to Authentik's face gets no answer, in the bodies of Django REST framework that Authentik has.

use std::collections::BTreeMap;

use aphex_runtime::errors;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::directory::{self, Scope};
use crate::storage::StorageError;
use crate::web::{self, Response};

/// The one error of this face.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no bearer token, or none that is known.
    #[error("not authenticated")]
    Unauthenticated,
    /// The token's scopes do not allow this.
    #[error("scope {0} is missing")]
    Forbidden(Scope),
    /// There is no such object, or no such path.
    #[error("not found")]
    NotFound,
    /// The list has no such page.
    #[error("no such page")]
    Page,
    /// The path knows other methods.
    #[error("method {0} not allowed")]
    Method(Method),
    /// The body is not what was expected.
    #[error("{0}")]
    Body(String),
    /// Values break rules.
    #[error("{0:?}")]
    Fields(BTreeMap<&'static str, Vec<String>>),
    /// The directory could not do it.
    #[error("cannot answer the request")]
    Directory(#[source] directory::Error),
    /// Records could not be read or written.
    #[error("cannot answer the request")]
    Storage(#[source] StorageError),
}

impl Failure {
    /// One value that breaks a rule.
    pub(crate) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Fields(BTreeMap::from([(field, vec![problem.into()])]))
    }

    /// Logs what the caller may not read.
    pub(crate) fn into_response(self) -> Response {
        let detail = |status, detail: &str| web::private_json(status, &json!({ "detail": detail }));
        match self {
            Self::Unauthenticated => {
                let text = "Authentication credentials were not provided.";
                let mut response = detail(StatusCode::UNAUTHORIZED, text);
                let challenge = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                response
            }
            Self::Forbidden(_) => {
                detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action.")
            }
            Self::NotFound => detail(StatusCode::NOT_FOUND, "Not found."),
            Self::Page => detail(StatusCode::NOT_FOUND, "Invalid page."),
            Self::Method(method) => {
                detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{method}\" not allowed."))
            }
            Self::Body(problem) => detail(StatusCode::BAD_REQUEST, &problem),
            Self::Fields(fields) => web::private_json(StatusCode::BAD_REQUEST, &json!(fields)),
            Self::Directory(error) => match error {
                directory::Error::NotFound { .. } => Self::NotFound.into_response(),
                directory::Error::Invalid { field, problem } => Self::field(field, problem).into_response(),
                directory::Error::Busy => detail(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
                error => Self::internal(&error),
            },
            Self::Storage(error) => Self::internal(&error),
        }
    }

    fn internal(error: &(dyn std::error::Error + 'static)) -> Response {
        tracing::error!(error = errors::chain(error), "a request to the directory failed");
        let text = "The directory could not do this; the issuer's log says why.";
        web::private_json(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "detail": text }))
    }
}

impl From<directory::Error> for Failure {
    fn from(error: directory::Error) -> Self {
        Self::Directory(error)
    }
}
