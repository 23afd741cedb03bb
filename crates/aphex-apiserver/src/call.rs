//! One request as the verbs see it: who, what, with which options, and how the answer is to be written.

use std::sync::{Arc, Mutex, PoisonError};

use aphex_auth::User;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::request::{Output, Query, ResourcePath, Verb, negotiate};
use crate::resource::Resource;
use crate::server::ApiServer;
use crate::status::Status;

/// One request to a resource.
#[derive(Debug)]
pub struct Call {
    /// The server.
    pub server: Arc<ApiServer>,
    /// The caller, after impersonation.
    pub user: User,
    /// What the path names.
    pub path: ResourcePath,
    /// What is to be done.
    pub verb: Verb,
    /// The resource of the path.
    pub resource: Arc<Resource>,
    /// Options.
    pub query: Query,
    /// Shape and encoding of the answer.
    pub output: Output,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Warnings for the caller.
    pub warnings: Warnings,
    /// The server makes the call itself; policies of the cluster's administrators do not apply.
    pub internal: bool,
}

/// Warnings collected while a request is worked on; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds a warning once.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&text) {
            all.push(text);
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Call {
    /// The namespace of the path, or "".
    pub fn namespace(&self) -> &str {
        self.path.namespace.as_deref().unwrap_or_default()
    }

    /// The object's name in the path, or "".
    pub fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or_default()
    }

    /// The subresource, or "" as managed fields write it.
    pub fn subresource(&self) -> &str {
        self.path.subresource.as_deref().unwrap_or_default()
    }

    /// The store key of the object that the path names.
    pub fn key(&self) -> String {
        self.resource.key(self.namespace(), self.name())
    }

    /// The `User-Agent`.
    pub fn user_agent(&self) -> &str {
        negotiate::user_agent(&self.headers)
    }

    /// The media type of the body.
    pub fn content_type(&self) -> &str {
        negotiate::content_type(&self.headers)
    }

    /// 404 for the object that the path names.
    pub fn not_found(&self) -> Status {
        Status::not_found(&self.resource.group, &self.resource.plural, self.name())
    }

    /// 422 for an object of this kind.
    pub fn invalid(&self, object: &Value, errors: Vec<aphex_schema::error::FieldError>) -> Status {
        // Of a kind with two groups, errors name the one in which it is kept.
        let (group, _) = crate::resource::split_api_version(&self.resource.storage.api_version);
        Status::invalid(group, &self.resource.kind, crate::object::name(object), errors)
    }
}
