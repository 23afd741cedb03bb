//! Tokens of OpenID Connect issuers, as a caller brings them; and the same ones at a real kube-apiserver.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aphex_apiserver::{ApiServer, Config, User};
use aphex_auth::oidc::Configuration;
use aphex_auth::tokens::Signer;
use aphex_store::{Options, Store};
use aphex_testkit::issuer::{Issuer, Key, Kind};
use aphex_testkit::real::{Disk, Programs, Real};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const OWN: &str = "https://kubernetes.default.svc.cluster.local";

/// A server with a clock that tests can set forward.
struct Engine {
    server: Arc<ApiServer>,
    ahead: Arc<AtomicI64>,
    _keys: tempfile::TempDir,
}

impl Engine {
    async fn trusting(configuration: Value) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let configuration = Configuration::from_value(configuration).unwrap();
        let anonymous = configuration.anonymous();
        let issuers = configuration.issuers(&[OWN]).unwrap();
        let ahead = Arc::new(AtomicI64::new(0));
        let offset = Arc::clone(&ahead);
        let now = move || {
            let now = jiff::Timestamp::now().as_second() + offset.load(Ordering::Relaxed);
            jiff::Timestamp::from_second(now).unwrap()
        };
        let config = Config {
            issuers: issuers.into_iter().map(Arc::new).collect(),
            anonymous,
            signer: Some(Arc::new(Signer::load_or_create(keys.path(), OWN).unwrap())),
            now: Arc::new(now),
            ..Config::new(Store::memory(Options::default()))
        };
        Self { server: ApiServer::start(config).await.unwrap(), ahead, _keys: keys }
    }

    fn wait(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let response = self.server.handle(request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Who a token is to the server.
    async fn who(&self, token: &str) -> (u16, Value) {
        let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
        let (code, answer) = self.send("POST", REVIEW, token, review).await;
        (code, answer["status"]["userInfo"].clone())
    }

    /// An administrator's request.
    async fn admin(&self, path: &str, body: Value) -> Value {
        let mut request = Request::post(path)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        request.extensions_mut().insert(User::new("root", ["system:masters"]));
        let response = self.server.handle(request).await;
        assert_eq!(response.status(), 201, "{path}");
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }
}

/// The claims with some of them changed; null takes one away.
fn with(mut claims: Value, changes: Value) -> Value {
    let changes: serde_json::Map<String, Value> = serde_json::from_value(changes).unwrap();
    for (claim, value) in changes {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(&claim);
        } else {
            claims[claim] = value;
        }
    }
    claims
}

/// Tokens that must not be accepted, each with what is wrong with it.
fn bad_tokens(issuer: &Issuer) -> Vec<(&'static str, String)> {
    let now = jiff::Timestamp::now().as_second();
    let signed =
        |changes: Value| issuer.sign(Kind::Rsa, &with(issuer.claims("kubernetes"), changes)).unwrap();
    let good = issuer.token("kubernetes").unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let encode = |value: &Value| base64(value.to_string().as_bytes());
    let kid = jsonwebtoken::decode_header(&good).unwrap().kid.unwrap();
    let tampered = with(issuer.claims("kubernetes"), json!({ "groups": ["system:masters"] }));
    let stranger = Key::generate(Kind::Rsa).unwrap();
    let mut keyed = Header::new(Algorithm::HS256);
    keyed.kid = Some(kid.clone());
    let secret = EncodingKey::from_secret(issuer.public_pem(Kind::Rsa).unwrap().as_bytes());
    let none = json!({ "alg": "none", "kid": kid });
    let renamed = json!({ "alg": "ES256", "kid": kid });
    vec![
        ("expired", signed(json!({ "exp": now - 5 }))),
        ("without an end", signed(json!({ "exp": null }))),
        ("for another audience", signed(json!({ "aud": "argocd" }))),
        ("for nobody", signed(json!({ "aud": null }))),
        ("of another issuer", signed(json!({ "iss": "https://elsewhere.example" }))),
        ("not valid yet", signed(json!({ "nbf": now + 3600 }))),
        ("further ahead than clocks may be", signed(json!({ "nbf": now + 200 }))),
        ("not signed", format!("{}.{}.", encode(&none), parts[1])),
        ("not signed, with the old signature", format!("{}.{}.{}", encode(&none), parts[1], parts[2])),
        (
            "an HMAC with the public key",
            jsonwebtoken::encode(&keyed, &issuer.claims("kubernetes"), &secret).unwrap(),
        ),
        ("of an unknown key", stranger.sign(&issuer.claims("kubernetes")).unwrap()),
        ("tampered with", format!("{}.{}.{}", parts[0], encode(&tampered), parts[2])),
        ("of another algorithm than it says", format!("{}.{}.{}", encode(&renamed), parts[1], parts[2])),
        ("cut off", good[..good.len() - 20].to_owned()),
        ("not three parts", format!("{good}.more")),
        ("of an address that is not verified", signed(json!({ "email_verified": false }))),
        ("of an address verified in words", signed(json!({ "email_verified": "true" }))),
        ("without a name", signed(json!({ "email": null }))),
        ("with groups that are none", signed(json!({ "groups": { "a": 1 } }))),
    ]
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Tokens that must be accepted, each with what is particular about it.
fn good_tokens(issuer: &Issuer) -> Vec<(&'static str, String)> {
    let now = jiff::Timestamp::now().as_second();
    let claims = |changes: Value| with(issuer.claims("kubernetes"), changes);
    let rsa = |changes: Value| issuer.sign(Kind::Rsa, &claims(changes)).unwrap();
    vec![
        ("RS256", rsa(json!({}))),
        ("ES256", issuer.sign(Kind::P256, &claims(json!({}))).unwrap()),
        ("ES384", issuer.sign(Kind::P384, &claims(json!({}))).unwrap()),
        ("a clock that is ahead", rsa(json!({ "nbf": now + 30 }))),
        ("several audiences", rsa(json!({ "aud": ["argocd", "aphex"] }))),
        ("one group as a text", rsa(json!({ "groups": "engineering" }))),
        ("no groups", rsa(json!({ "groups": null }))),
        ("nothing said of the address", rsa(json!({ "email_verified": null }))),
        ("an identifier", rsa(json!({ "jti": "token-1" }))),
        ("a time with a fraction", rsa(json!({ "exp": 4_000_000_000.5 }))),
    ]
}

#[tokio::test]
async fn a_token_of_a_trusted_issuer_is_its_user_whatever_it_is_signed_with() {
    let issuer = Issuer::start().await.unwrap();
    issuer.publish(json!({ "kty": "of a kind to come", "kid": "odd" }));
    let engine = Engine::trusting(issuer.configuration(&["aphex", "kubernetes"])).await;
    for (what, token) in good_tokens(&issuer) {
        let (code, user) = engine.who(&token).await;
        assert_eq!(code, 201, "{what}");
        assert_eq!(user["username"], "jane@example.com", "{what}");
        let groups = match what {
            "no groups" => json!(["system:authenticated"]),
            "one group as a text" => json!(["engineering", "system:authenticated"]),
            _ => json!(["platform-engineering", "system:authenticated"]),
        };
        assert_eq!(user["groups"], groups, "{what}");
    }
    assert_eq!(issuer.key_fetches(), 1, "keys are fetched once and kept");
}

#[tokio::test]
async fn a_token_with_anything_wrong_is_answered_401() {
    let issuer = Issuer::start().await.unwrap();
    let engine = Engine::trusting(issuer.configuration(&["aphex", "kubernetes"])).await;
    for (what, token) in bad_tokens(&issuer) {
        let (code, _) = engine.who(&token).await;
        assert_eq!(code, 401, "{what}");
    }
    let system = with(issuer.claims("kubernetes"), json!({ "email": "system:admin" }));
    let (code, _) = engine.who(&issuer.sign(Kind::Rsa, &system).unwrap()).await;
    assert_eq!(code, 401, "a person that calls itself a part of the system");
}

#[tokio::test]
async fn the_group_in_the_token_decides_what_is_allowed() {
    let issuer = Issuer::start().await.unwrap();
    let engine = Engine::trusting(issuer.configuration(&["kubernetes"])).await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    engine
        .admin(rbac, json!({
            "metadata": { "name": "operators" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "platform-operators" }],
        }))
        .await;
    let maps = "/api/v1/namespaces/default/configmaps";
    issuer.sign_in("omar@example.com", &["platform-operators"]);
    let operator = issuer.token("kubernetes").unwrap();
    issuer.sign_in("jane@example.com", &["engineering"]);
    let engineer = issuer.token("kubernetes").unwrap();
    assert_eq!(engine.send("GET", maps, &operator, json!({})).await.0, 200);
    assert_eq!(engine.send("POST", maps, &operator, json!({ "metadata": { "name": "a" } })).await.0, 403);
    let (code, refusal) = engine.send("GET", maps, &engineer, json!({})).await;
    assert_eq!(code, 403);
    assert!(refusal["message"].as_str().unwrap().contains("\"jane@example.com\" cannot list"), "{refusal}");
}

#[tokio::test]
async fn new_keys_are_fetched_when_they_are_met_but_not_at_every_strangers_will() {
    let issuer = Issuer::start().await.unwrap();
    let engine = Engine::trusting(issuer.configuration(&["kubernetes"])).await;
    let old = issuer.token("kubernetes").unwrap();
    assert_eq!(engine.who(&old).await.0, 201);
    for _ in 0..20 {
        let made_up = Key::generate(Kind::P256).unwrap().sign(&issuer.claims("kubernetes")).unwrap();
        assert_eq!(engine.who(&made_up).await.0, 401);
    }
    assert_eq!(issuer.key_fetches(), 1, "unknown key ids are cheap to make up");
    issuer.rotate().unwrap();
    engine.wait(11);
    let new = issuer.token("kubernetes").unwrap();
    assert_eq!(engine.who(&new).await.0, 201, "the new key");
    assert_eq!(engine.who(&old).await.0, 401, "the key that is gone");
    assert_eq!(issuer.key_fetches(), 2);
}

#[tokio::test]
async fn a_key_that_the_issuer_withdrew_ends_without_a_new_one_being_met() {
    let issuer = Issuer::start().await.unwrap();
    let engine = Engine::trusting(issuer.configuration(&["kubernetes"])).await;
    let old = issuer.token("kubernetes").unwrap();
    assert_eq!(engine.who(&old).await.0, 201);
    issuer.rotate().unwrap();
    assert_eq!(engine.who(&old).await.0, 201, "keys are kept for a while");
    engine.wait(16 * 60);
    assert_eq!(engine.who(&old).await.0, 401);
}

#[tokio::test]
async fn many_requests_at_once_fetch_the_keys_once() {
    let issuer = Issuer::start().await.unwrap();
    let engine = Engine::trusting(issuer.configuration(&["kubernetes"])).await;
    let token = issuer.token("kubernetes").unwrap();
    let asked = (0..20).map(|_| engine.who(&token));
    for (code, _) in futures::future::join_all(asked).await {
        assert_eq!(code, 201);
    }
    assert_eq!(issuer.key_fetches(), 1);
}

#[tokio::test]
async fn several_issuers_each_have_their_own_audiences_prefixes_and_certificates() {
    let (plain, secure, stranger) = (
        Issuer::start().await.unwrap(),
        Issuer::start_tls().await.unwrap(),
        Issuer::start_tls().await.unwrap(),
    );
    let mut configuration = plain.configuration(&["kubernetes"]);
    let mut other = secure.configuration(&["team"])["jwt"][0].clone();
    other["claimMappings"] = json!({
        "username": { "expression": "'partner:' + claims.sub" },
        "groups": { "claim": "groups", "prefix": "partner:" },
        "uid": { "claim": "sub" },
        "extra": [{ "key": "example.com/name", "valueExpression": "claims.name" }],
    });
    other["claimValidationRules"] =
        json!([{ "expression": "claims.exp - claims.iat <= 86400", "message": "too long" }]);
    other["userValidationRules"] = json!([{ "expression": "!user.username.endsWith('evil@example.com')" }]);
    let mut unverifiable = stranger.configuration(&["kubernetes"])["jwt"][0].clone();
    unverifiable["issuer"]["certificateAuthority"] = json!(secure.ca());
    configuration["jwt"].as_array_mut().unwrap().extend([other, unverifiable]);
    let engine = Engine::trusting(configuration).await;

    let (code, user) = engine.who(&secure.token("team").unwrap()).await;
    assert_eq!(code, 201);
    assert_eq!(user["username"], "partner:sub-of-jane@example.com");
    assert_eq!(user["groups"], json!(["partner:platform-engineering", "system:authenticated"]));
    assert_eq!(user["uid"], "sub-of-jane@example.com");
    assert_eq!(user["extra"], json!({ "example.com/name": ["Jane Doe"] }));
    assert_eq!(engine.who(&secure.token("kubernetes").unwrap()).await.0, 401, "the other's audience");
    assert_eq!(engine.who(&plain.token("kubernetes").unwrap()).await.0, 201);
    assert_eq!(
        engine.who(&stranger.token("kubernetes").unwrap()).await.0,
        401,
        "its certificate is of nobody known"
    );
    let long = with(secure.claims("team"), json!({ "exp": 4_000_000_000_u64 }));
    assert_eq!(engine.who(&secure.sign(Kind::Rsa, &long).unwrap()).await.0, 401, "a rule on claims");
    secure.sign_in("evil@example.com", &[]);
    assert_eq!(engine.who(&secure.token("team").unwrap()).await.0, 401, "a rule on users");
}

#[tokio::test]
async fn an_issuer_that_is_not_who_it_should_be_or_is_gone_refuses_only_its_own() {
    let (lying, gone, good) =
        (Issuer::start().await.unwrap(), Issuer::start().await.unwrap(), Issuer::start().await.unwrap());
    let mut configuration = good.configuration(&["kubernetes"]);
    let others = [&lying, &gone].map(|issuer| issuer.configuration(&["kubernetes"])["jwt"][0].clone());
    configuration["jwt"].as_array_mut().unwrap().extend(others);
    let engine = Engine::trusting(configuration).await;
    lying.change_discovery("issuer", json!("http://127.0.0.1:1"));
    let orphan = gone.token("kubernetes").unwrap();
    drop(gone);
    assert_eq!(engine.who(&lying.token("kubernetes").unwrap()).await.0, 401);
    assert_eq!(engine.who(&orphan).await.0, 401);
    assert_eq!(engine.who(&good.token("kubernetes").unwrap()).await.0, 201);
    lying.change_discovery("issuer", json!(lying.url()));
    lying.change_discovery("jwks_uri", json!("http://keys.example/keys"));
    engine.wait(11);
    assert_eq!(engine.who(&lying.token("kubernetes").unwrap()).await.0, 401, "keys over plain HTTP");
    lying.change_discovery("jwks_uri", json!(format!("{}/keys", lying.url())));
    engine.wait(11);
    assert_eq!(engine.who(&lying.token("kubernetes").unwrap()).await.0, 201, "it recovers by itself");
}

#[tokio::test]
async fn token_reviews_know_people_too() {
    let issuer = Issuer::start().await.unwrap();
    let engine = Engine::trusting(issuer.configuration(&["kubernetes"])).await;
    let review = |audiences: Value| json!({ "spec": { "token": issuer.token("kubernetes").unwrap(), "audiences": audiences } });
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let answer = engine.admin(path, review(json!(null))).await;
    assert_eq!(answer["status"]["authenticated"], true, "{answer}");
    assert_eq!(answer["status"]["user"]["username"], "jane@example.com");
    assert_eq!(answer["status"]["audiences"], json!([OWN]));
    let answer = engine.admin(path, review(json!(["vault"]))).await;
    assert_eq!(answer["status"]["authenticated"], Value::Null, "it is for the API server: {answer}");
}

#[tokio::test]
async fn a_real_api_server_gives_the_same_tokens_the_same_answers() {
    let programs = match Programs::find().unwrap() {
        Ok(programs) => programs,
        Err(missing) => {
            aphex_testkit::left_out("the same tokens at kube-apiserver", &format!("{missing} is not there"));
            return;
        }
    };
    let issuer = Issuer::start_tls().await.unwrap();
    let configuration = issuer.configuration(&["aphex", "kubernetes"]);
    let real = Real::trusting(&programs, Disk::Quick, &configuration).await.unwrap();
    let engine = Engine::trusting(configuration).await;
    let tokens: Vec<(&str, String)> = good_tokens(&issuer).into_iter().chain(bad_tokens(&issuer)).collect();
    let good = tokens[0].1.clone();
    // It asks the issuer for keys in the background, once it is ready.
    let trusted = || async { Ok((ask(&real, &good).await?.0 == 201).then_some(())) };
    let patience = std::time::Duration::from_mins(1);
    let known =
        aphex_testkit::eventually_for(patience, "kube-apiserver knows the issuer's keys", trusted).await;
    known.unwrap_or_else(|error| panic!("{error:#}\n{}", real.said()));
    let mut differences = Vec::new();
    for (what, token) in tokens {
        let (ours, theirs) = (engine.who(&token).await, ask(&real, &token).await.unwrap());
        if ours != theirs {
            differences.push(format!("{what}: {ours:?} here, {theirs:?} there"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Who a token is to the real API server.
async fn ask(real: &Real, token: &str) -> anyhow::Result<(u16, Value)> {
    let mut kubeconfig = kube::config::Kubeconfig::read_from(real.kubeconfig())?;
    for user in &mut kubeconfig.auth_infos {
        user.auth_info =
            Some(kube::config::AuthInfo { token: Some(token.to_owned().into()), ..Default::default() });
    }
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await?;
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let request = Request::post(REVIEW)
        .header("content-type", "application/json")
        .body(kube::client::Body::from(review.to_string().into_bytes()))?;
    let answer = kube::Client::try_from(config)?.send(request).await?;
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&bytes)?;
    Ok((code, answer["status"]["userInfo"].clone()))
}

/// What a caller without credentials is answered, by path.
const ASKED: [&str; 6] = ["/livez", "/livez/etcd", "/version", "/readyz", "/apis", "/api/v1/namespaces"];

async fn answers_without_credentials(configuration: &Value) -> Vec<(&'static str, u16)> {
    let engine = Engine::trusting(configuration.clone()).await;
    let mut answers = Vec::new();
    for path in ASKED {
        let request = Request::get(path).body(Full::new(Bytes::new())).unwrap();
        answers.push((path, engine.server.handle(request).await.status().as_u16()));
    }
    answers
}

#[tokio::test]
async fn who_gets_in_without_credentials_is_as_configured_here_and_at_a_real_api_server() {
    let issuer = Issuer::start_tls().await.unwrap();
    let configuration = |anonymous: Value| {
        let mut configuration = issuer.configuration(&["kubernetes"]);
        configuration["anonymous"] = anonymous;
        configuration
    };
    let codes = |answers: &[(&str, u16)]| answers.iter().map(|(_, code)| *code).collect::<Vec<_>>();
    let nobody = answers_without_credentials(&configuration(json!({ "enabled": false }))).await;
    assert_eq!(codes(&nobody), [401; 6]);
    let everybody = answers_without_credentials(&configuration(json!({ "enabled": true }))).await;
    // In, and then forbidden: that is for the authorizer to say.
    assert_eq!(codes(&everybody), [200, 403, 200, 200, 403, 403]);
    let paths = json!([{ "path": "/livez" }, { "path": "/readyz" }, { "path": "/apis" }]);
    let some = configuration(json!({ "enabled": true, "conditions": paths }));
    let ours = answers_without_credentials(&some).await;
    assert_eq!(codes(&ours), [200, 401, 401, 200, 403, 401]);

    let programs = match Programs::find().unwrap() {
        Ok(programs) => programs,
        Err(missing) => {
            aphex_testkit::left_out(
                "anonymous callers at kube-apiserver",
                &format!("{missing} is not there"),
            );
            return;
        }
    };
    let real = Real::trusting(&programs, Disk::Quick, &some).await.unwrap();
    let mut kubeconfig = kube::config::Kubeconfig::read_from(real.kubeconfig()).unwrap();
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = None;
    }
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let mut theirs = Vec::new();
    for path in ASKED {
        let request = Request::get(path).body(kube::client::Body::empty()).unwrap();
        theirs.push((path, client.send(request).await.unwrap().status().as_u16()));
    }
    assert_eq!(ours, theirs);
}
