//! Who a caller is and whether they may do what they ask: the seam where authentication and RBAC meet requests.
//!
//! ```text
//! certificate or token ─► user ─► impersonated user ─► authorize ─► verb ─► grants (writes of roles, bindings)
//! ```
//!
//! A caller without credentials reaches health, version and discovery only, and there what RBAC gives to
//! `system:unauthenticated`; anything else is answered 401. The rules themselves are in `aphex_auth`.

mod aggregation;
mod bootstrap;
pub(crate) mod grants;
mod oidc;
pub(crate) mod rbac_objects;
mod reviews;
mod roles;
mod token_request;
mod tokens;

use std::sync::Arc;

use aphex_auth::impersonation::Impersonation;
use aphex_auth::oidc::Issuer;
use aphex_auth::tokens::Signer;
use aphex_auth::{Attributes, User};
use aphex_store::Store;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderMap, Method, Response};
use jiff::Timestamp;

pub use bootstrap::bootstrap;

use crate::admission::{self, Operation, Write};
use crate::body::Body;
use crate::call::Call;
use crate::names;
use crate::object;
use crate::request::{Query, ResourcePath, Target, Verb, WriteOptions, parse_path};
use crate::respond::{self, Served};
use crate::selectors;
use crate::server::ApiServer;
use crate::status::Status;
use crate::write;
use tokens::Rejected;

/// First segments of the paths that callers without credentials may ask for.
const PUBLIC: &[&str] = &["healthz", "livez", "readyz", "version", "api", "apis"];

/// What access control keeps between requests.
#[derive(Debug)]
pub struct Access {
    pub(crate) roles: roles::Roles,
    pub(crate) tokens: tokens::Tokens,
    issuers: oidc::Issuers,
}

/// A bearer token accepted.
pub(crate) struct Accepted {
    /// Whose it is, with everybody's group.
    pub(crate) user: User,
    /// Of the audiences asked for, those it is for.
    pub(crate) audiences: Vec<String>,
}

impl Access {
    /// Access control over a store; without a signer there are no service-account tokens, without issuers no others.
    pub fn new(store: Store, signer: Option<Arc<Signer>>, issuers: &[Arc<Issuer>]) -> Self {
        Self {
            roles: roles::Roles::new(store.clone()),
            tokens: tokens::Tokens::new(store, signer),
            issuers: oidc::Issuers::new(issuers),
        }
    }

    /// Accepts a bearer token for one of the audiences (none: the server's own): a service account's, or an issuer's.
    pub(crate) async fn accept(
        &self,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Accepted, Rejected> {
        match self.tokens.accept(token, audiences, now) {
            Err(Rejected::Unknown) => {}
            other => {
                let verified = other?;
                return Ok(Accepted { user: verified.user.authenticated(), audiences: verified.audiences });
            }
        }
        // A person's token is for the API server, whatever the audience in it is called
        // (audience_agnostic.go of apiserver's authentication).
        let own = self.tokens.signer().map(Signer::audiences).unwrap_or_default();
        let meant: Vec<String> =
            own.iter().filter(|own| audiences.is_empty() || audiences.contains(own)).cloned().collect();
        if meant.is_empty() && !audiences.is_empty() {
            return Err(Rejected::Unknown);
        }
        let user = self.issuers.accept(token, now).await?;
        Ok(Accepted { user: user.authenticated(), audiences: meant })
    }
}

/// The caller: from the transport or a bearer token, then as whom they act, or anonymous.
pub async fn authenticate(server: &Arc<ApiServer>, parts: &Parts) -> Result<User, Status> {
    let user = match parts.extensions.get::<User>() {
        Some(user) => user.clone().authenticated(),
        None => match bearer_token(&parts.headers) {
            Some(token) => user_of_token(server, token).await?,
            None if admits_anonymous(server, parts.uri.path()) => User::anonymous(),
            None => return Err(Status::unauthorized()),
        },
    };
    impersonated(server, user, &parts.headers)
}

async fn user_of_token(server: &Arc<ApiServer>, token: &str) -> Result<User, Status> {
    let accepted = server.access.accept(token, &[], server.timestamp()).await;
    accepted.map(|accepted| accepted.user).map_err(|rejected| {
        tracing::debug!(reason = %rejected, "a bearer token was refused");
        Status::unauthorized()
    })
}

/// The token of an `Authorization` header; an empty one is none.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn admits_anonymous(server: &ApiServer, path: &str) -> bool {
    server.config.anonymous.admits(path, || is_public(path))
}

fn is_public(path: &str) -> bool {
    match parse_path(path) {
        Target::Other(segments) => segments.first().is_some_and(|first| PUBLIC.contains(&first.as_str())),
        Target::Resource(_) => false,
    }
}

/// As whom the caller wants to act, after a check of everything they want to be.
fn impersonated(server: &Arc<ApiServer>, user: User, headers: &HeaderMap) -> Result<User, Status> {
    let mut asked = Vec::new();
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("impersonate-")) {
        let value = std::str::from_utf8(value.as_bytes())
            .map_err(|_| Status::bad_request(format!("the header {name} is no UTF-8 text")))?;
        asked.push((name.as_str(), value));
    }
    let asked = Impersonation::from_headers(asked).map_err(|error| Status::bad_request(error.to_string()))?;
    let Some(asked) = asked else { return Ok(user) };
    for check in asked.checks(&user) {
        decide(server, &check)?;
    }
    Ok(asked.user())
}

/// Whether the caller may use a verb on a resource.
pub fn authorize(
    server: &Arc<ApiServer>,
    user: &User,
    verb: Verb,
    path: &ResourcePath,
    query: &Query,
) -> Result<(), Status> {
    // A namespace counts as one of its own objects (requestinfo.go), so that its admin may read it.
    let own =
        (path.group.is_empty() && path.plural == "namespaces").then_some(path.name.as_deref()).flatten();
    let selected = match verb {
        Verb::List | Verb::Watch => query
            .get("fieldSelector")
            .and_then(selectors::exact_name)
            .filter(|name| names::path_segment(name).is_empty()),
        _ => None,
    };
    let attributes = Attributes {
        version: &path.version,
        subresource: path.subresource.as_deref().unwrap_or_default(),
        namespace: path.namespace.as_deref().or(own).unwrap_or_default(),
        name: path.name.as_deref().or(selected.as_deref()).unwrap_or_default(),
        ..Attributes::resource(user, verb.name(), &path.group, &path.plural)
    };
    decide(server, &attributes)
}

/// Whether the caller may ask for a path that is no resource.
pub fn authorize_path(
    server: &Arc<ApiServer>,
    user: &User,
    method: &Method,
    path: &str,
) -> Result<(), Status> {
    let verb = method.as_str().to_ascii_lowercase();
    decide(server, &Attributes::path(user, &verb, path))
}

fn decide(server: &Arc<ApiServer>, attributes: &Attributes<'_>) -> Result<(), Status> {
    // The index is not even looked at for those who may do everything.
    if attributes.user.is_master() {
        return Ok(());
    }
    let decision = aphex_auth::authorize(&*server.access.roles.current(), attributes);
    if decision.allowed {
        return Ok(());
    }
    let why = attributes.refusal(&decision.reason);
    Err(Status::forbidden(attributes.group, attributes.resource, attributes.name, &why))
}

/// Answers what is created but never stored: reviews and token requests.
pub async fn create(call: &Call) -> Result<Response<Body>, Status> {
    let group = call.resource.group.as_str();
    let token =
        (group, call.resource.plural.as_str(), call.subresource()) == ("", "serviceaccounts", "token");
    let review = matches!(group, "authorization.k8s.io" | "authentication.k8s.io") && call.name().is_empty();
    if call.verb != Verb::Create || !(token || review) {
        return Err(Status::method_not_supported(group, &call.resource.plural, call.verb.name()));
    }
    let options = WriteOptions::parse(&call.query, "CreateOptions", call.user_agent())?;
    let object = write::read_object(call, options.field_validation)?;
    let namespace = object::namespace(&object);
    if call.path.namespace.is_some() && !namespace.is_empty() && namespace != call.namespace() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    // Like other objects they tell who wrote what, though nobody sees them twice.
    let owned = write::owned_fields(call, &options, &object);
    if token {
        let write =
            Write { call, operation: Operation::Create, old: None, dry_run: options.dry_run, prefix: None };
        admission::validate(&write, &object)?;
    }
    let answer = if token {
        token_request::create(&call.server, call.namespace(), call.name(), object)
    } else {
        reviews::answer(&call.server, &call.user, call.namespace(), &call.resource.plural, object).await
    };
    let mut answer = answer?;
    object::set_meta(&mut answer, "managedFields", owned);
    respond::object(call, 201, Served::Value(answer))
}

/// Answers the documents with which others check this server's tokens.
pub fn openid(server: &Arc<ApiServer>, words: &[&str], headers: &HeaderMap) -> Option<Response<Body>> {
    let signer = server.access.tokens.signer()?;
    let (document, content_type) = match words {
        [".well-known", "openid-configuration"] => {
            let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
            let keys = format!("https://{host}/openid/v1/jwks");
            (signer.openid_configuration(&keys), "application/json")
        }
        ["openid", "v1", "jwks"] => (signer.jwks(), "application/jwk-set+json"),
        _ => return None,
    };
    Some(respond::plain(200, content_type, Body::full(document.to_string())))
}

#[cfg(test)]
mod tests;
