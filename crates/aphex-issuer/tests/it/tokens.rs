//! What tokens are worth, and the endpoints that tell.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use serde_json::json;

use super::code::verified;
use super::world::*;

#[tokio::test]
async fn metadata_names_endpoints_that_are_there() {
    let world = World::new().await;
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let metadata = Answer::of(http().get(world.at_path(path)).send().await.unwrap()).await.value;
        assert_eq!(metadata["issuer"], json!(world.url));
        let endpoints = metadata.as_object().unwrap().iter();
        let endpoints = endpoints.filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri");
        let mut seen = 0;
        for (name, url) in endpoints {
            let answer = http().get(url.as_str().unwrap()).send().await.unwrap();
            assert_ne!(answer.status(), StatusCode::NOT_FOUND, "{name}");
            seen += 1;
        }
        assert_eq!(seen, 8);
    }
    let health = http().get(world.at_path("/healthz")).send().await.unwrap();
    assert_eq!((health.status(), health.text().await.unwrap().as_str()), (StatusCode::OK, "OK"));
}

#[tokio::test]
async fn errors_of_the_token_endpoint_are_those_of_the_seed() {
    let world = World::new().await;
    world.token(&[]).await.is_error(400, "invalid_request", "The parameter grant_type is missing.");
    let kind = world.token(&[("grant_type", "password")]).await;
    let text = "Only authorization_code, refresh_token and device_code are supported.";
    kind.is_error(400, "unsupported_grant_type", text);
    let stranger = world.post("/token", &[("client_id", "stranger"), ("grant_type", "refresh_token")]).await;
    stranger.is_error(401, "invalid_client", "Invalid client credentials.");
    let twice = world.token(&[("grant_type", "a"), ("grant_type", "b")]).await;
    twice.is_error(400, "invalid_request", "A parameter is given more than once.");
    let json =
        http().post(world.at_path("/token")).json(&json!({ "grant_type": "refresh_token" })).send().await;
    assert_eq!(json.unwrap().status(), StatusCode::BAD_REQUEST);
    let get = http().get(world.at_path("/token")).send().await.unwrap();
    assert_eq!(
        (get.status(), get.headers()["allow"].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    let large = http().post(world.at_path("/token")).body("x".repeat(70_000)).send().await.unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_access_token_is_no_id_token_and_an_id_token_no_access_token() {
    let world = World::new().await;
    let tokens = world.tokens().await;
    let refused = world.userinfo(tokens["id_token"].as_str().unwrap()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    let access = tokens["access_token"].as_str().unwrap();
    let header = jsonwebtoken::decode_header(access).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    // Its audience is the issuer alone: no API server takes it for a login.
    verified(&world, access, &world.url, Algorithm::RS256).await;
}

#[tokio::test]
async fn userinfo_takes_the_token_from_the_header_or_a_form_and_asks_for_one() {
    let world = World::new().await;
    let access = world.tokens().await["access_token"].as_str().unwrap().to_owned();
    let posted = world.post("/userinfo", &[("access_token", &access)]).await;
    assert_eq!(posted.value["email"], json!("ada@example.com"));
    let none = http().get(world.at_path("/userinfo")).send().await.unwrap();
    assert_eq!(
        (none.status(), none.headers()["www-authenticate"].to_str().unwrap()),
        (StatusCode::UNAUTHORIZED, "Bearer")
    );
    assert_eq!(world.userinfo("nonsense").await.status, StatusCode::UNAUTHORIZED);
    world.hand.advance(Duration::from_hours(24));
    assert_eq!(world.userinfo(&access).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_client_with_a_secret_learns_what_a_token_is_worth() {
    let world = World::new().await;
    let tokens = world.tokens().await;
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let ask = async |token: &str| {
        let form = [("client_id", "argocd"), ("client_secret", SECRET), ("token", token)];
        world.post("/token/introspect", &form).await.value
    };
    let told = ask(access).await;
    assert_eq!(
        (&told["active"], &told["client_id"], &told["email"], &told["exp"]),
        (&json!(true), &json!("aphex"), &json!("ada@example.com"), &json!(START + 86400))
    );
    for worthless in [refresh, "nonsense", tokens["id_token"].as_str().unwrap()] {
        assert_eq!(
            ask(worthless).await,
            json!({ "active": false }),
            "another's refresh token, and no tokens"
        );
    }
    let public = world.post("/token/introspect", &[("client_id", "aphex"), ("token", access)]).await;
    public.is_error(401, "invalid_client", "Invalid client credentials.");
    world.hand.advance(Duration::from_hours(24));
    assert_eq!(ask(access).await, json!({ "active": false }));
}

#[tokio::test]
async fn either_token_takes_the_whole_grant_back_and_only_for_its_own_client() {
    let world = World::new().await;
    for kind in ["refresh_token", "access_token"] {
        let tokens = world.tokens().await;
        let token = tokens[kind].as_str().unwrap();
        let form = [("client_id", "argocd"), ("client_secret", SECRET), ("token", token)];
        assert_eq!(world.post("/token/revoke", &form).await.status, StatusCode::OK);
        let access = tokens["access_token"].as_str().unwrap();
        assert_eq!(world.userinfo(access).await.status, StatusCode::OK, "another client's wish does nothing");
        let form = [("client_id", "aphex"), ("token", token), ("token_type_hint", "refresh_token")];
        assert_eq!(world.post("/token/revoke", &form).await.status, StatusCode::OK);
        assert_eq!(world.userinfo(access).await.status, StatusCode::UNAUTHORIZED);
        let refresh = tokens["refresh_token"].as_str().unwrap();
        world.refresh(refresh).await.is_error(400, "invalid_grant", INVALID_GRANT);
        assert_eq!(world.post("/token/revoke", &form).await.status, StatusCode::OK, "again is no error");
    }
}

#[tokio::test]
async fn tokens_of_the_key_before_are_good_until_they_expire() {
    let world = World::new().await;
    world.hand.advance(Duration::from_hours(7 * 24));
    let before = world.tokens().await;
    world.issuer.tend().await;
    let after = world.tokens().await;
    let kid = |token: &serde_json::Value| {
        jsonwebtoken::decode_header(token["id_token"].as_str().unwrap()).unwrap().kid
    };
    assert_ne!(kid(&before), kid(&after));
    verified(&world, before["id_token"].as_str().unwrap(), "aphex", Algorithm::RS256).await;
    verified(&world, after["id_token"].as_str().unwrap(), "aphex", Algorithm::RS256).await;
    assert_eq!(world.userinfo(before["access_token"].as_str().unwrap()).await.status, StatusCode::OK);
    world.hand.advance(Duration::from_hours(25));
    world.issuer.tend().await;
    let keys = Answer::of(http().get(world.at_path("/keys")).send().await.unwrap()).await.value;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert_eq!(keys["keys"][0]["kid"].as_str().map(str::to_owned), kid(&after));
}

#[tokio::test]
async fn a_client_that_another_trusts_gets_tokens_that_are_for_both() {
    let world = World::new().await;
    let both =
        "openid email offline_access audience:server:client_id:kubernetes audience:server:client_id:aphex";
    let code = Browser::new().log_in(&world, &world.wish(&[("scope", both)])).await;
    let bought = world.buy(&code).await;
    let claims = verified(&world, &bought.text("id_token"), "kubernetes", Algorithm::RS256).await;
    assert_eq!((&claims["aud"], &claims["azp"]), (&json!(["aphex", "kubernetes"]), &json!("aphex")));
    let renewed = world.refresh(&bought.text("refresh_token")).await;
    let claims = verified(&world, &renewed.text("id_token"), "kubernetes", Algorithm::RS256).await;
    assert_eq!(claims["aud"], json!(["aphex", "kubernetes"]), "a renewed one too");
    // Its own tokens stay as they were.
    let own = world.tokens().await;
    let claims = verified(&world, own["id_token"].as_str().unwrap(), "aphex", Algorithm::RS256).await;
    assert_eq!((&claims["aud"], claims.get("azp")), (&json!("aphex"), None));
    // A logout knows who asked for it.
    let hint = renewed.text("id_token");
    let leaving = url::Url::parse_with_params(
        &world.at_path("/logout"),
        [("id_token_hint", hint.as_str()), ("client_id", "aphex")],
    );
    assert_eq!(Browser::new().get(leaving.unwrap().as_str()).await.status, StatusCode::OK);

    for scope in ["openid audience:server:client_id:argocd", "openid audience:server:client_id:nobody"] {
        let answer = Browser::new().get(&world.wish(&[("scope", scope)])).await;
        assert_eq!(answer.location().1["error"], "invalid_scope", "{scope}");
    }
    let device = world
        .post(
            "/device/code",
            &[("client_id", "kubernetes"), ("scope", "openid audience:server:client_id:aphex")],
        )
        .await;
    assert_eq!(device.text("error"), "invalid_scope", "trust has one direction");
}
