//! The protocol's vocabulary: parameters, scopes, and the one error with its one way to become bytes.
//!
//! Codes are those of RFC 6749 (5.2, 4.1.2.1), RFC 6750 (3.1), RFC 7009 (2.2.1), RFC 8628 (3.5) and
//! OpenID Connect Core 1.0 (3.1.2.6).

mod scopes;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use aphex_runtime::errors;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

pub(crate) use self::scopes::{Scope, Scopes};
use crate::web::{self, Response};

/// A code of an OAuth error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    UnsupportedGrantType,
    UnsupportedResponseType,
    AccessDenied,
    ServerError,
    LoginRequired,
    RequestNotSupported,
    RequestUriNotSupported,
    RegistrationNotSupported,
    AuthorizationPending,
    SlowDown,
    ExpiredToken,
    InvalidToken,
    TooManyRequests,
}

impl Code {
    /// The code on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::AccessDenied => "access_denied",
            Self::ServerError => "server_error",
            Self::LoginRequired => "login_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidToken => "invalid_token",
            Self::TooManyRequests => "temporarily_unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Why a request gets no answer of the kind it asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The caller did something wrong, and may read what.
    #[error("{}: {description}", .code.as_str())]
    Refused {
        /// The code.
        code: Code,
        /// One sentence for the client's developer.
        description: Cow<'static, str>,
    },
    /// There were too many attempts; so many seconds have to pass first.
    #[error("too many attempts; {seconds} s to wait")]
    Wait {
        /// How many.
        seconds: u64,
    },
    /// Something of ours failed; the caller reads only that.
    #[error("cannot {operation}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// A refusal with its reason.
    pub(crate) fn refused(code: Code, description: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused { code, description: description.into() }
    }

    /// Client id and secret do not belong together; says no more than that.
    pub(crate) fn invalid_client() -> Self {
        Self::refused(Code::InvalidClient, "Invalid client credentials.")
    }

    /// The code, refresh token or device code is worth nothing (any more); says no more than that.
    pub(crate) fn invalid_grant() -> Self {
        Self::refused(Code::InvalidGrant, "The provided authorization grant is invalid, expired, or revoked.")
    }

    /// The scope is one that nobody can be given.
    pub(crate) fn invalid_scope() -> Self {
        Self::refused(Code::InvalidScope, "The requested scope is invalid, unknown, or malformed.")
    }

    /// Too many attempts, for `map_err`.
    pub(crate) fn wait(wait: Duration) -> Self {
        Self::Wait { seconds: wait.as_secs() + u64::from(wait.subsec_nanos() > 0) }
    }

    /// A failure of ours, for `map_err`.
    pub(crate) fn failed<E>(operation: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Failed { operation, source: Box::new(source) }
    }

    /// Code and description as a caller may read them; logs what the caller may not.
    pub(crate) fn tell(&self) -> (Code, &str) {
        match self {
            Self::Refused { code, description } => (*code, description),
            Self::Wait { .. } => {
                (Code::TooManyRequests, "There were too many attempts; Retry-After says how long to wait.")
            }
            Self::Failed { .. } => {
                tracing::error!(error = %errors::chain(self), "a request of the issuer failed");
                (Code::ServerError, "The issuer could not do this; its log says why.")
            }
        }
    }

    /// The JSON answer (RFC 6749 section 5.2).
    pub(crate) fn into_response(self) -> Response {
        let (code, description) = self.tell();
        let value = json!({ "error": code.as_str(), "error_description": description });
        let mut response = web::private_json(code.status(), &value);
        if code == Code::InvalidClient {
            let challenge = HeaderValue::from_static("Basic realm=\"token\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Self::Wait { seconds } = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Most parameters that a request has; more are noise.
const MOST_PARAMETERS: usize = 64;

/// Parameters of a query or a form; their values are never printed.
#[derive(Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Parameters {
    /// Reads them; a parameter given twice is refused (RFC 6749 section 3.1).
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Error> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if pairs.len() >= MOST_PARAMETERS {
                return Err(Error::refused(Code::InvalidRequest, "There are too many parameters."));
            }
            if pairs.iter().any(|(known, _)| *known == name) {
                // The name is the caller's own text: it is not repeated.
                return Err(Error::refused(Code::InvalidRequest, "A parameter is given more than once."));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// A parameter; one without a value counts as left out (RFC 6749 section 3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, Error> {
        self.get(name)
            .ok_or_else(|| Error::refused(Code::InvalidRequest, format!("The parameter {name} is missing.")))
    }

    /// All of them as a query.
    pub(crate) fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(error: &Error) -> Code {
        error.tell().0
    }

    #[test]
    fn a_parameter_given_twice_is_refused_and_an_empty_one_is_left_out() {
        let error = Parameters::parse(b"a=1&b=2&a=3").unwrap_err();
        assert_eq!(refusal(&error), Code::InvalidRequest);
        let parameters = Parameters::parse(b"a=&b=x%20y+z").unwrap();
        assert_eq!((parameters.get("a"), parameters.get("b")), (None, Some("x y z")));
        assert_eq!(refusal(&parameters.required("a").unwrap_err()), Code::InvalidRequest);
        assert!(!format!("{parameters:?}").contains("x y z"));
    }

    #[tokio::test]
    async fn what_failed_inside_is_not_told_outside() {
        use http_body_util::BodyExt as _;
        let error = Error::failed("read a key")(std::io::Error::other("/secret/path is damaged"));
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("secret"), "{body:?}");
    }
}
