//! Authentik's REST interface over the directory: the subset that the platform and its command line use.
//!
//! ```text
//! /api/v3/
//!   root/config/                                         anybody
//!   core/users/ core/groups/ core/tokens/                bearer tokens, by scope
//!   providers/oauth2/                                    likewise
//! /application/o/<provider>/                             OpenID Connect: `applications`
//! ```
//!
//! Bodies are those of Authentik 2024 as the platform documents them; what differs is in ADR 30. A request
//! changes something only with a token that has the scope for it, and every change is in the audit log.

pub(crate) mod applications;
mod failure;
mod groups;
mod list;
mod oauth2;
#[cfg(test)]
mod tests;
mod tokens;
mod users;

use http::{Method, StatusCode, header};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::json;

use self::failure::Failure;
use self::list::Query;
use crate::audit::{Action, Actor};
use crate::directory::{Directory, Principal, Scope, User};
use crate::providers::Providers;
use crate::web::{self, Request, Response};

/// What every path of this interface begins with.
const BASE: &str = "/api/v3/";

/// The REST interface; cheap to clone.
#[derive(Clone, Debug)]
pub struct Authentik {
    directory: Directory,
    providers: Providers,
}

/// A request of somebody who is known.
struct Call<'a> {
    request: &'a Request,
    principal: Principal,
    query: Query,
}

impl Authentik {
    /// The interface to these.
    pub fn new(directory: Directory, providers: Providers) -> Self {
        Self { directory, providers }
    }

    /// The answer to a request below `/api/v3/`; none for other paths.
    pub(crate) async fn answer(&self, request: &Request) -> Option<Response> {
        let path = request.path.strip_prefix(BASE)?;
        // Clients leave out the slash at the end; Django would redirect them to it.
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        Some(self.route(request, &segments).await.unwrap_or_else(Failure::into_response))
    }

    async fn route(&self, request: &Request, segments: &[&str]) -> Result<Response, Failure> {
        if let ["root", "config"] = segments {
            return match request.method {
                Method::GET => Ok(web::json(StatusCode::OK, &root_config())),
                _ => Err(Failure::Method(request.method.clone())),
            };
        }
        let principal = self.authenticate(request)?;
        let call = Call { request, principal, query: Query::parse(&request.query) };
        let answered = match segments {
            ["core", "users", rest @ ..] => self.users(&call, rest).await,
            ["core", "groups", rest @ ..] => self.groups(&call, rest).await,
            ["core", "tokens", rest @ ..] => self.tokens(&call, rest).await,
            ["providers", "oauth2", rest @ ..] => self.oauth2(&call, rest).await,
            _ => Err(Failure::NotFound),
        };
        if let Err(Failure::Forbidden(scope)) = &answered {
            let detail = format!("{} {} needs {scope}", request.method, request.path);
            self.directory.audit().record(Action::RequestRefused, &call.actor(), "", &detail);
        }
        answered
    }

    /// Who asks: the user of the bearer token.
    fn authenticate(&self, request: &Request) -> Result<Principal, Failure> {
        let header = request.header(&header::AUTHORIZATION).unwrap_or_default();
        let (scheme, token) = header.split_once(' ').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Err(Failure::Unauthenticated);
        }
        let token = SecretString::from(token.trim());
        self.directory.authenticate(&token)?.ok_or(Failure::Unauthenticated)
    }
}

impl Call<'_> {
    fn method(&self) -> &Method {
        &self.request.method
    }

    fn not_allowed(&self) -> Failure {
        Failure::Method(self.method().clone())
    }

    /// Who asks, for the audit log.
    fn actor(&self) -> Actor {
        Actor::token(&self.principal.token.identifier, Some(self.request.source))
    }

    /// Goes on only with this scope.
    fn need(&self, scope: Scope) -> Result<(), Failure> {
        if self.principal.may(scope) { Ok(()) } else { Err(Failure::Forbidden(scope)) }
    }

    /// What changing this user's account takes beyond writing users: whoever has the account has its groups.
    fn need_of(&self, user: &User) -> Result<(), Failure> {
        if user.groups.is_empty() { Ok(()) } else { self.need(Scope::GroupsWrite) }
    }

    /// The scopes, if whoever asks has each of them: nobody makes a token that may more than their own.
    fn grantable(&self, names: &[String]) -> Result<Vec<Scope>, Failure> {
        let mut scopes = Vec::new();
        for name in names {
            let scope = name.parse()?;
            self.need(scope)?;
            scopes.push(scope);
        }
        Ok(scopes)
    }

    /// The body, read.
    fn body<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let kind = self.request.header(&header::CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Failure::Body("Unsupported media type: send application/json.".to_owned()));
        }
        serde_json::from_slice(&self.request.body).map_err(|error| {
            // A message about a value may repeat it, and the value may be a password.
            let problem = match error.classify() {
                serde_json::error::Category::Data => shown(&error),
                _ => format!("at line {} column {}", error.line(), error.column()),
            };
            Failure::Body(format!("JSON parse error - {problem}"))
        })
    }
}

/// What is wrong with a value, without the value.
fn shown(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field") || text.starts_with("unknown field") {
        return text;
    }
    format!("a value at line {} column {} is of the wrong type", error.line(), error.column())
}

/// What Authentik tells to whoever asks whether it is there.
fn root_config() -> serde_json::Value {
    json!({
        "branding_logo": "/static/dist/assets/icons/icon_left_brand.svg",
        "branding_title": "authentik",
        "ui_footer_links": [],
        "ui_theme": "automatic",
        "cache_timeout": 300,
        "cache_timeout_flows": 300,
        "cache_timeout_policies": 300,
        "cache_timeout_reputation": 300,
    })
}
