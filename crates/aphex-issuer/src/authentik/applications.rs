//! `/application/o/…`: OpenID Connect as Authentik has it, one issuer for each provider.
//!
//! The endpoints are those of Dex's face under other names: what tells the faces apart is the client, which
//! belongs to one of them and whose tokens name its issuer.

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use crate::issuer::Issuer;
use crate::oauth::{Error, Scope};
use crate::providers::{Provider, ProviderError};
use crate::web::{self, Request, Response};
use crate::{authorize, introspection, logout, revocation, token, userinfo};

/// What every path of these endpoints begins with.
const BASE: &str = "/application/o/";

/// The path that is a provider's issuer below the issuer's own URL.
pub(crate) fn issuer_path(slug: &str) -> String {
    format!("{BASE}{slug}/")
}

/// The answer to a request below `/application/o/`; none for other paths.
pub(crate) async fn answer(issuer: &Issuer, request: &Request) -> Option<Response> {
    let path = request.path.strip_prefix(BASE)?;
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let (get, post) = (request.method == Method::GET, request.method == Method::POST);
    Some(match segments.as_slice() {
        ["authorize"] if get || post => authorize::authorize(issuer, request).await,
        ["token"] if post => token::token(issuer, request).await,
        ["userinfo"] if get || post => userinfo::userinfo(issuer, request),
        ["introspect"] if post => introspection::introspect(issuer, request),
        ["revoke"] if post => revocation::revoke(issuer, request).await,
        ["authorize" | "token" | "userinfo" | "introspect" | "revoke"] => not_allowed(&request.method),
        [slug, rest @ ..] => match issuer.providers.by_slug(slug) {
            Ok(Some(provider)) => of_provider(issuer, request, &provider, rest).await,
            Ok(None) => not_found(),
            Err(error) => failed(error),
        },
        [] => not_found(),
    })
}

async fn of_provider(issuer: &Issuer, request: &Request, provider: &Provider, rest: &[&str]) -> Response {
    let get = request.method == Method::GET;
    match rest {
        [".well-known", "openid-configuration"] if get => cached(&document(issuer, provider)),
        ["jwks"] if get => cached(&issuer.keys.jwks()),
        ["end-session"] if get => logout::answer(issuer, request).await,
        [".well-known", "openid-configuration"] | ["jwks" | "end-session"] => not_allowed(&request.method),
        _ => not_found(),
    }
}

/// The metadata of a provider.
pub(crate) fn document(issuer: &Issuer, provider: &Provider) -> Value {
    let below = |path: &str| issuer.settings.url.join(&format!("{BASE}{path}"));
    let methods = ["client_secret_basic", "client_secret_post", "none"];
    json!({
        "issuer": below(&format!("{}/", provider.slug)),
        "authorization_endpoint": below("authorize/"),
        "token_endpoint": below("token/"),
        "userinfo_endpoint": below("userinfo/"),
        "end_session_endpoint": below(&format!("{}/end-session/", provider.slug)),
        "introspection_endpoint": below("introspect/"),
        "revocation_endpoint": below("revoke/"),
        "jwks_uri": below(&format!("{}/jwks/", provider.slug)),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [issuer.keys.algorithm().as_str()],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": Scope::ALL.map(Scope::as_str),
        "token_endpoint_auth_methods_supported": methods,
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "name", "preferred_username",
            "email", "email_verified", "groups"
        ],
        "request_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    })
}

fn cached(value: &Value) -> Response {
    let mut response = web::json(StatusCode::OK, value);
    // Shorter than for Dex's face: providers are changed while the issuer runs.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    response
}

fn not_found() -> Response {
    web::json(StatusCode::NOT_FOUND, &json!({ "detail": "Not found." }))
}

fn not_allowed(method: &Method) -> Response {
    let detail = format!("Method \"{method}\" not allowed.");
    web::json(StatusCode::METHOD_NOT_ALLOWED, &json!({ "detail": detail }))
}

fn failed(error: ProviderError) -> Response {
    Error::failed("read the providers")(error).into_response()
}
