//! What evaluation asks the world, as values: it stays pure, and begins again when an answer has come.
//!
//! An interceptor that wants to know something asks [`Outside`] for the answer. Where there is none yet, the question
//! is noted and the trigger's chain ends; whoever evaluates gets the answers (see [`crate::calls`]) and evaluates once
//! more, with the same outcome up to that point.

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_api::delivery::SecretKeyRef;
use secrecy::SecretSlice;

/// Looks up what was fetched before evaluation began.
pub trait Outside: Send + Sync {
    /// The value under a key, when the Secret and the key exist.
    fn secret(&self, secret: &SecretKeyRef) -> Option<SecretSlice<u8>>;
    /// What a request gave, once it was made; the error says why it gave nothing.
    fn answer(&self, question: &Question) -> Option<Result<Response, String>>;
}

/// Finds Interceptor objects.
pub trait Interceptors: Send + Sync {
    /// Where the service of a ClusterInterceptor is.
    fn cluster_interceptor(&self, name: &str) -> Option<Result<Endpoint, String>>;
    /// Where the service of a namespace's Interceptor is.
    fn interceptor(&self, namespace: &str, name: &str) -> Option<Result<Endpoint, String>>;
}

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub url: String,
    /// The authorities that it is trusted by, PEM; those of the system where there are none.
    pub ca_bundle: Option<String>,
}

/// A request. The token is named, not held, so that a question may be printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Who is asked, which decides what addresses are allowed.
    pub whom: Whom,
    /// The address.
    pub url: String,
    /// The authorities that the server is trusted by, PEM.
    pub ca_bundle: Option<String>,
    /// Headers besides those that every request has.
    pub headers: BTreeMap<String, String>,
    /// What is posted; a question without it is a GET.
    pub body: Option<Arc<str>>,
    /// The Secret with the bearer token.
    pub token: Option<SecretKeyRef>,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whom {
    /// A service that a tenant named.
    Service,
    /// GitHub, at the address in this gateway's own settings and at no other.
    Github,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers, by canonical name.
    pub headers: BTreeMap<String, String>,
    /// The body; what is no UTF-8 in it is replaced.
    pub body: Arc<str>,
}

impl Response {
    /// Whether a later attempt may be answered otherwise.
    pub fn may_pass(&self) -> bool {
        self.status >= 500 || matches!(self.status, 408 | 425 | 429)
    }
}
