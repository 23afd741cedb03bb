//! The code flow from the browser to the tokens.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::world::*;

/// A token's claims, checked as a relying party does it: with the keys that the issuer publishes.
pub(crate) async fn verified(world: &World, token: &str, audience: &str, algorithm: Algorithm) -> Value {
    let keys = http().get(world.at_path("/keys")).send().await.unwrap().text().await.unwrap();
    let keys: JwkSet = serde_json::from_str(&keys).unwrap();
    let header = decode_header(token).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[&world.url]);
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

#[tokio::test]
async fn a_login_gives_the_tokens_and_claims_of_the_seed() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let page = browser.get(&world.wish(&[("nonce", "n-0S6_WzA2Mj")])).await;
    assert_eq!(page.status, StatusCode::OK);
    let fields = [("login", "ada@example.com"), ("password", PASSWORD)];
    let answer = browser.submit(&world, &page, &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let (to, parameters) = answer.location();
    assert_eq!(to, CALLBACK);
    assert_eq!((parameters["state"].as_str(), &parameters["iss"]), ("state of ada", &world.url));

    let bought = world.buy(&parameters["code"]).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.value);
    assert_eq!(bought.headers["cache-control"], "no-store");
    assert_eq!((&bought.value["token_type"], &bought.value["expires_in"]), (&json!("Bearer"), &json!(86400)));
    let claims = verified(&world, &bought.text("id_token"), "aphex", Algorithm::RS256).await;
    let at_hash = claims["at_hash"].clone();
    assert_eq!(
        claims,
        json!({
            "iss": world.url, "sub": world.ada.uid, "aud": "aphex", "exp": START + 86400, "iat": START,
            "auth_time": START, "nonce": "n-0S6_WzA2Mj", "at_hash": at_hash,
            "name": "Ada Lovelace", "preferred_username": "ada", "email": "ada@example.com",
            "email_verified": true, "groups": ["engineering", "platform-engineering"],
        })
    );
    let person = world.userinfo(&bought.text("access_token")).await;
    assert_eq!(person.status, StatusCode::OK);
    assert_eq!(person.value["groups"], json!(["engineering", "platform-engineering"]));
    assert_eq!(person.value["sub"], json!(world.ada.uid));
}

#[tokio::test]
async fn claims_follow_the_scopes_and_no_refresh_token_comes_unasked() {
    let world = World::new().await;
    let wish = world.wish(&[("scope", "openid email")]);
    let code = Browser::new().log_in(&world, &wish).await;
    let bought = world.buy(&code).await;
    assert!(bought.value.get("refresh_token").is_none());
    let claims = verified(&world, &bought.text("id_token"), "aphex", Algorithm::RS256).await;
    assert_eq!(claims["email"], json!("ada@example.com"));
    for absent in ["name", "groups", "nonce"] {
        assert!(claims.get(absent).is_none(), "{claims}");
    }
    let person = world.userinfo(&bought.text("access_token")).await.value;
    assert_eq!(person, json!({ "sub": world.ada.uid, "email": "ada@example.com", "email_verified": true }));
}

#[tokio::test]
async fn a_code_works_once_and_takes_everything_back_when_it_comes_again() {
    let world = World::new().await;
    let code = Browser::new().log_in(&world, &world.wish(&[])).await;
    let first = world.buy(&code).await;
    let access = first.text("access_token");
    assert_eq!(world.userinfo(&access).await.status, StatusCode::OK);
    world.buy(&code).await.is_error(400, "invalid_grant", INVALID_GRANT);
    assert_eq!(world.userinfo(&access).await.status, StatusCode::UNAUTHORIZED);
    world.refresh(&first.text("refresh_token")).await.is_error(400, "invalid_grant", INVALID_GRANT);
}

#[tokio::test]
async fn of_many_that_bring_a_code_at_once_one_at_most_gets_tokens_and_nobody_keeps_them() {
    let world = std::sync::Arc::new(World::new().await);
    let code = Browser::new().log_in(&world, &world.wish(&[])).await;
    let buyers: Vec<_> = (0..8)
        .map(|_| {
            let (world, code) = (std::sync::Arc::clone(&world), code.clone());
            tokio::spawn(async move { world.buy(&code).await })
        })
        .collect();
    let mut bought = Vec::new();
    for buyer in buyers {
        let answer = buyer.await.unwrap();
        if answer.status == StatusCode::OK {
            bought.push(answer.text("refresh_token"));
        }
    }
    assert!(bought.len() <= 1, "{}", bought.len());
    for token in bought {
        world.refresh(&token).await.is_error(400, "invalid_grant", INVALID_GRANT);
    }
}

#[tokio::test]
async fn a_code_is_worth_nothing_to_others_too_late_or_without_its_verifier() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let code = browser.log_in(&world, &world.wish(&[])).await;
    let good = [
        ("client_id", "aphex"),
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    for (name, wrong) in [
        ("client_id", "kubernetes"),
        ("code", "another"),
        ("redirect_uri", "http://127.0.0.1:43118/callback"),
        ("redirect_uri", ""),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK"),
        ("code_verifier", CHALLENGE),
        ("code_verifier", ""),
    ] {
        let form = good.map(|(known, value)| (known, if known == name { wrong } else { value }));
        world.post("/token", &form).await.is_error(400, "invalid_grant", INVALID_GRANT);
    }
    world.hand.advance(std::time::Duration::from_mins(5));
    world.buy(&code).await.is_error(400, "invalid_grant", INVALID_GRANT);
    let code = browser.get(&world.wish(&[])).await.code();
    assert_eq!(world.buy(&code).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_with_a_secret_proves_itself_in_the_header_or_in_the_form() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let mut code = browser.log_in(&world, &world.web_wish(&[])).await;
    let form = |code: &str| {
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", WEB_CALLBACK)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    };
    let wrong_secret =
        http().post(world.at_path("/token")).basic_auth("argocd", Some("wrong")).form(&form(&code));
    let refused = Answer::of(wrong_secret.send().await.unwrap()).await;
    refused.is_error(401, "invalid_client", "Invalid client credentials.");
    assert!(refused.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    let mut without = form(&code);
    without.push(("client_id".to_owned(), "argocd".to_owned()));
    let refused = Answer::of(http().post(world.at_path("/token")).form(&without).send().await.unwrap()).await;
    refused.is_error(401, "invalid_client", "Invalid client credentials.");

    let escaped: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let basic = http().post(world.at_path("/token")).basic_auth("argocd", Some(escaped)).form(&form(&code));
    let bought = Answer::of(basic.send().await.unwrap()).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.value);
    verified(&world, &bought.text("id_token"), "argocd", Algorithm::RS256).await;

    code = browser.get(&world.web_wish(&[])).await.code();
    let mut posted = form(&code);
    posted.push(("client_id".to_owned(), "argocd".to_owned()));
    posted.push(("client_secret".to_owned(), SECRET.to_owned()));
    let bought = Answer::of(http().post(world.at_path("/token")).form(&posted).send().await.unwrap()).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.value);
}

#[tokio::test]
async fn a_verifier_where_no_challenge_was_is_refused() {
    let world = World::new().await;
    let code = Browser::new().log_in(&world, &world.web_wish(&[])).await;
    let form = [
        ("client_id", "argocd"),
        ("client_secret", SECRET),
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", WEB_CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    world.post("/token", &form).await.is_error(400, "invalid_grant", INVALID_GRANT);
}

#[tokio::test]
async fn tokens_are_signed_as_the_settings_say() {
    let storage = aphex_issuer::Storage::memory().unwrap();
    let world = World::with(storage, |settings| settings.algorithm = aphex_issuer::Algorithm::ES256).await;
    let tokens = world.tokens().await;
    verified(&world, tokens["id_token"].as_str().unwrap(), "aphex", Algorithm::ES256).await;
    let metadata = http().get(world.at_path("/.well-known/openid-configuration")).send().await.unwrap();
    let metadata = Answer::of(metadata).await.value;
    assert_eq!(metadata["id_token_signing_alg_values_supported"], json!(["ES256"]));
}
