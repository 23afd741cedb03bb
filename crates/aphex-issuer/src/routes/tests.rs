//! What strangers can send: whatever it is, it is answered, breaks nothing, and leads nowhere.

use aphex_runtime::Clock;
use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::clients::{Client, Clients};
use crate::{Audit, Config, Directory, IssuerUrl, Settings, Storage};

const URL: &str = "http://127.0.0.1:5556";
const CALLBACK: &str = "http://127.0.0.1:8000/callback";
/// Parameters that the parsers look for, with values that are almost right.
const NAMES: [&str; 28] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "prompt",
    "max_age",
    "code_challenge",
    "code_challenge_method",
    "login_hint",
    "grant_type",
    "code",
    "code_verifier",
    "refresh_token",
    "device_code",
    "token",
    "user_code",
    "next",
    "form",
    "login",
    "answer",
    "id_token_hint",
    "post_logout_redirect_uri",
    "end",
    "current",
];
const VALUES: [&str; 16] = [
    "aphex",
    CALLBACK,
    "http://127.0.0.1:1/callback",
    "https://evil.example/callback",
    "code",
    "openid email offline_access",
    "S256",
    "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "none",
    "/auth?client_id=aphex",
    "<b id=injected>\"'&",
    "a.0.b",
    "BCDF-GHJK",
];
const PATHS: [&str; 16] = [
    "/",
    "/auth",
    "/token",
    "/token/introspect",
    "/token/revoke",
    "/userinfo",
    "/device",
    "/device/code",
    "/login",
    "/logout",
    "/password",
    "/sessions",
    "/setup",
    "/keys",
    "/healthz",
    "/.well-known/openid-configuration",
];

async fn issuer() -> std::sync::Arc<Issuer> {
    let (storage, clock) = (Storage::memory().unwrap(), Clock::system());
    let audit = Audit::traced(clock.clone());
    let client = Client {
        id: "aphex".to_owned(),
        name: "Aphex".to_owned(),
        redirect_uris: vec![CALLBACK.to_owned()],
        post_logout_redirect_uris: vec![CALLBACK.to_owned()],
        trusted_peers: Vec::new(),
        secret: None,
        issuer: URL.to_owned(),
    };
    let settings =
        Settings { algorithm: crate::Algorithm::ES256, ..Settings::new(IssuerUrl::parse(URL).unwrap()) };
    let config = Config {
        settings,
        clients: Clients::new([client]),
        directory: Directory::open(storage.clone(), clock.clone(), audit).await.unwrap(),
        storage,
        clock,
    };
    Issuer::start(config).await.unwrap()
}

/// Pairs of which most are nearly right, some are noise.
fn pairs() -> impl Strategy<Value = String> {
    let name =
        prop_oneof![4 => proptest::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => any::<String>()];
    let value =
        prop_oneof![4 => proptest::sample::select(&VALUES[..]).prop_map(str::to_owned), 1 => any::<String>()];
    let good = proptest::collection::vec((name, value), 0..10)
        .prop_map(|pairs| form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish());
    prop_oneof![6 => good, 1 => "[ -~]{0,200}"]
}

prop_compose! {
    fn requests()(
        post in any::<bool>(),
        path in prop_oneof![5 => proptest::sample::select(&PATHS[..]).prop_map(str::to_owned), 1 => "/[ -~]{0,30}"],
        query in pairs(),
        body in prop_oneof![4 => pairs().prop_map(String::into_bytes), 1 => proptest::collection::vec(any::<u8>(), 0..200)],
        authorization in proptest::option::of("(Basic|Bearer|basic|Other) ?[!-~]{0,60}"),
        cookie in proptest::option::of("aphex-(form|session)-5556=[!-~]{0,50}(; ?[a-z]{0,5}=?[!-~]{0,20})?"),
    ) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        for (name, value) in [(header::AUTHORIZATION, authorization), (header::COOKIE, cookie)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(&value).unwrap());
            }
        }
        let method = if post { Method::POST } else { Method::GET };
        let source = [127, 0, 0, 1].into();
        Request { method, path, query, headers, body: Bytes::from(body), source }
    }
}

#[test]
fn whatever_strangers_send_is_answered_and_leads_to_no_place_of_theirs() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let issuer = runtime.block_on(issuer());
    let mut runner = TestRunner::new(ProptestConfig { cases: 3000, ..ProptestConfig::default() });
    let checked = runner.run(&requests(), |request| {
        let response = runtime.block_on(issuer.answer(request));
        prop_assert!(response.status() != StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(to) = response.headers().get(header::LOCATION) {
            let to = to.to_str().unwrap();
            let ours = to.starts_with("http://127.0.0.1:8000/callback?")
                || to.starts_with("http://127.0.0.1:1/callback?");
            // The client's own place after a logout, and the same wish by GET.
            let left = to == CALLBACK || to.starts_with("/logout?");
            let page = to == "/" || to.starts_with("/device") || to.starts_with("/auth");
            prop_assert!(ours || left || page, "{}", to);
        }
        let body =
            runtime.block_on(http_body_util::BodyExt::collect(response.into_body())).unwrap().to_bytes();
        prop_assert!(!String::from_utf8_lossy(&body).contains("<b id"));
        Ok(())
    });
    checked.unwrap();
}
