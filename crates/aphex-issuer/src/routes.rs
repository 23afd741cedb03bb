//! Which path does what.

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::authentik::applications;
use crate::connector;
use crate::issuer::Issuer;
use crate::web::{self, Request, Response};
use crate::{
    account, authorize, device, discovery, introspection, login, logout, pages, revocation, setup, token,
    userinfo,
};

/// How long relying parties may keep metadata and keys.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

impl Issuer {
    /// Answers one request.
    pub(crate) async fn answer(&self, mut request: Request) -> Response {
        let below = request.path.strip_prefix(self.settings.url.base_path());
        let Some(path) = below.filter(|path| path.starts_with('/')).map(str::to_owned) else {
            return unknown(self, &request);
        };
        request.path = path;
        // What may be asked may be asked without the body; hyper leaves it out of the answer.
        if request.method == Method::HEAD {
            request.method = Method::GET;
        }
        let mut response = self.route(&request).await;
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.settings.url.is_secure() {
            let a_year = HeaderValue::from_static("max-age=31536000");
            headers.insert(header::STRICT_TRANSPORT_SECURITY, a_year);
        }
        response
    }

    async fn route(&self, request: &Request) -> Response {
        if let Some(response) = self.authentik.answer(request).await {
            return response;
        }
        if let Some(connector) = self.connector.as_ref().filter(|_| connector::is_callback(request)) {
            return connector.callback(self, request).await;
        }
        if let Some(response) = applications::answer(self, request).await {
            return response;
        }
        let (get, post) = (request.method == Method::GET, request.method == Method::POST);
        match request.path.as_str() {
            "/healthz" if get => web::body(StatusCode::OK, "text/plain; charset=utf-8", "OK"),
            "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" if get => {
                cached(web::json(StatusCode::OK, &discovery::document(self)))
            }
            "/keys" if get => cached(web::json(StatusCode::OK, &self.keys.jwks())),
            authorize::PATH if get || post => authorize::authorize(self, request).await,
            "/token" if post => token::token(self, request).await,
            "/token/introspect" if post => introspection::introspect(self, request),
            "/token/revoke" if post => revocation::revoke(self, request).await,
            "/userinfo" if get || post => userinfo::userinfo(self, request),
            "/device/code" if post => device::begin(self, request).await,
            device::PATH if get => device::show(self, request).await,
            device::PATH if post => device::decide(self, request).await,
            "/" | login::PATH if get => login::home(self, request),
            login::PATH if post => login::submit(self, request).await,
            logout::PATH if get || post => logout::answer(self, request).await,
            account::PASSWORD if get => account::show_password(self, request).await,
            account::PASSWORD if post => account::change_password(self, request).await,
            account::SESSIONS if get => account::show_sessions(self, request).await,
            account::SESSIONS if post => account::end_session(self, request).await,
            setup::PATH if get => setup::show(self, request),
            setup::PATH if post => setup::submit(self, request).await,
            pages::STYLE_PATH if get => pages::style(),
            "/token" | "/token/introspect" | "/token/revoke" | "/device/code" => wrong_method("POST"),
            authorize::PATH
            | device::PATH
            | login::PATH
            | logout::PATH
            | setup::PATH
            | "/userinfo"
            | account::PASSWORD
            | account::SESSIONS => wrong_method("GET, POST"),
            "/healthz" | "/keys" | "/" | pages::STYLE_PATH => wrong_method("GET"),
            _ => unknown(self, request),
        }
    }
}

fn cached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, CACHED);
    response
}

fn wrong_method(allowed: &'static str) -> Response {
    let value = json!({ "error": "invalid_request", "error_description": format!("Only {allowed} is supported here.") });
    let mut response = web::json(StatusCode::METHOD_NOT_ALLOWED, &value);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A page for people, JSON for programs.
fn unknown(issuer: &Issuer, request: &Request) -> Response {
    let browser = request.header(&header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    if browser {
        return pages::problem(issuer, StatusCode::NOT_FOUND, "There is no such page here.");
    }
    web::json(StatusCode::NOT_FOUND, &json!({ "detail": "Not found." }))
}

#[cfg(test)]
mod tests;
