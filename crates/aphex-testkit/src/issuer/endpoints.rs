//! The endpoints of the issuer for tests (OpenID Connect Core, RFC 6749, 7009, 7636 and 8628).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aphex_auth::pkce;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};

use super::keys::Kind;
use super::lock;
use super::state::{Code, State, secret};

type Answer = Response<Full<Bytes>>;
type Fields = HashMap<String, String>;

pub(super) async fn handle(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let form: Fields = form_urlencoded::parse(&body).into_owned().collect();
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let query: Fields = form_urlencoded::parse(query).into_owned().collect();
    let mut state = lock(&state);
    let answer = match head.uri.path() {
        "/.well-known/openid-configuration" => Ok(json_of(200, &state.discovery_document())),
        "/keys" => keys(&mut state),
        "/auth" => Ok(authorize(&mut state, &query)),
        "/token" => token(&mut state, &form),
        "/device/code" => Ok(device(&mut state)),
        "/token/revoke" => {
            state.refresh_tokens.remove(field(&form, "token"));
            Ok(json_of(200, &json!({})))
        }
        _ => Ok(json_of(404, &json!({ "error": "not_found" }))),
    };
    Ok(answer.unwrap_or_else(|error| json_of(500, &json!({ "error": error.to_string() }))))
}

fn keys(state: &mut State) -> anyhow::Result<Answer> {
    state.key_fetches += 1;
    let mut keys = state.foreign_keys.clone();
    for key in &state.keys {
        keys.push(key.jwk()?);
    }
    Ok(json_of(200, &json!({ "keys": keys })))
}

/// The person agrees at once.
fn authorize(state: &mut State, query: &Fields) -> Answer {
    let challenge = field(query, "code_challenge");
    if field(query, "response_type") != "code" || field(query, "code_challenge_method") != "S256" {
        return json_of(400, &json!({ "error": "invalid_request" }));
    }
    let redirect = field(query, "redirect_uri");
    let code = secret();
    state.codes.insert(
        code.clone(),
        Code {
            client: field(query, "client_id").to_owned(),
            redirect: redirect.to_owned(),
            challenge: challenge.to_owned(),
            nonce: query.get("nonce").cloned(),
        },
    );
    let answer = form_urlencoded::Serializer::new(String::new())
        .append_pair("code", &code)
        .append_pair("state", field(query, "state"))
        .finish();
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::FOUND;
    if let Ok(location) = format!("{redirect}?{answer}").parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn token(state: &mut State, form: &Fields) -> anyhow::Result<Answer> {
    let client = field(form, "client_id");
    match field(form, "grant_type") {
        "authorization_code" => {
            let Some(code) = state.codes.remove(field(form, "code")) else {
                return Ok(refused("invalid_grant"));
            };
            let fits = code.client == client
                && code.redirect == field(form, "redirect_uri")
                && code.challenge == pkce::challenge(field(form, "code_verifier"));
            if fits { issue(state, client, code.nonce) } else { Ok(refused("invalid_grant")) }
        }
        "refresh_token" => {
            // Rotated: each is good once.
            let known = state.refresh_tokens.remove(field(form, "refresh_token"));
            if known.is_none_or(|owner| owner != client) {
                return Ok(refused("invalid_grant"));
            }
            state.refreshes += 1;
            issue(state, client, None)
        }
        "urn:ietf:params:oauth:grant-type:device_code" => {
            let device = field(form, "device_code");
            if !state.devices.values().any(|known| known == device) {
                return Ok(refused("expired_token"));
            }
            if !state.approved.remove(device) {
                return Ok(refused("authorization_pending"));
            }
            state.devices.retain(|_, known| known != device);
            issue(state, client, None)
        }
        _ => Ok(refused("unsupported_grant_type")),
    }
}

fn issue(state: &mut State, client: &str, nonce: Option<String>) -> anyhow::Result<Answer> {
    let mut claims = state.claims(client);
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    let key = state.keys.iter().find(|key| key.kind == Kind::Rsa);
    let token = key.map(|key| key.sign(&claims)).transpose()?;
    let refresh = secret();
    state.refresh_tokens.insert(refresh.clone(), client.to_owned());
    let answer = json!({
        "access_token": secret(), "token_type": "bearer", "expires_in": 3600,
        "id_token": token, "refresh_token": refresh,
    });
    Ok(json_of(200, &answer))
}

fn device(state: &mut State) -> Answer {
    let (device, user) =
        (secret(), format!("{:04}-{:04}", rand::random_range(0..10_000), rand::random_range(0..10_000)));
    state.devices.insert(user.clone(), device.clone());
    let at = format!("{}/device", state.url);
    let answer = json!({
        "device_code": device, "user_code": user, "verification_uri": at,
        "verification_uri_complete": format!("{at}?user_code={user}"), "expires_in": 300, "interval": 1,
    });
    json_of(200, &answer)
}

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map(String::as_str).unwrap_or_default()
}

fn refused(error: &str) -> Answer {
    json_of(400, &json!({ "error": error, "error_description": "the issuer for tests says no" }))
}

fn json_of(status: u16, body: &Value) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
