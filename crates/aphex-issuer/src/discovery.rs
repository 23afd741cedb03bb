//! What relying parties read first (OpenID Connect Discovery 1.0 section 3, RFC 8414).

use serde_json::{Value, json};

use crate::issuer::Issuer;
use crate::logout;
use crate::oauth::Scope;
use crate::token::GRANT_TYPES;

/// The provider's metadata.
pub(crate) fn document(issuer: &Issuer) -> Value {
    let url = &issuer.settings.url;
    let methods = ["client_secret_basic", "client_secret_post", "none"];
    json!({
        "issuer": url.as_str(),
        "authorization_endpoint": url.join("/auth"),
        "token_endpoint": url.join("/token"),
        "jwks_uri": url.join("/keys"),
        "userinfo_endpoint": url.join("/userinfo"),
        "device_authorization_endpoint": url.join("/device/code"),
        "introspection_endpoint": url.join("/token/introspect"),
        "revocation_endpoint": url.join("/token/revoke"),
        "end_session_endpoint": url.join(logout::PATH),
        "grant_types_supported": GRANT_TYPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [issuer.keys.algorithm().as_str()],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": Scope::ALL.map(Scope::as_str),
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": methods,
        "claims_supported": [
            "iss", "sub", "aud", "azp", "iat", "exp", "auth_time", "nonce", "at_hash", "name", "preferred_username",
            "email", "email_verified", "groups"
        ],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    })
}
