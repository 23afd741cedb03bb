//! Refresh tokens: rotated each time, revoked when an old one comes back.

use std::sync::Arc;
use std::time::Duration;

use aphex_issuer::audit::Actor;
use aphex_issuer::directory::UserChange;
use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use serde_json::json;

use super::code::verified;
use super::world::*;

#[tokio::test]
async fn a_refresh_gives_new_tokens_that_tell_of_the_person_as_of_now() {
    let world = World::new().await;
    let first = world.tokens().await;
    world.hand.advance(Duration::from_hours(25));
    let groups = UserChange { groups: Some(vec!["platform-admins".to_owned()]), ..UserChange::default() };
    world.directory.change_user(&world.ada.uid, groups, &Actor::system()).await.unwrap();
    let second = world.refresh(first["refresh_token"].as_str().unwrap()).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.value);
    assert_ne!(second.value["refresh_token"], first["refresh_token"]);
    let claims = verified(&world, &second.text("id_token"), "aphex", Algorithm::RS256).await;
    assert_eq!(claims["groups"], json!(["platform-admins"]));
    assert_eq!((&claims["auth_time"], &claims["iat"]), (&json!(START), &json!(START + 25 * 3600)));
    assert_eq!(world.userinfo(&second.text("access_token")).await.status, StatusCode::OK);
    let old = world.userinfo(first["access_token"].as_str().unwrap()).await;
    old.is_error(401, "invalid_token", "The access token is invalid, expired, or revoked.");
}

#[tokio::test]
async fn an_old_token_that_comes_back_ends_all_of_them() {
    let world = World::new().await;
    let first = world.tokens().await["refresh_token"].as_str().unwrap().to_owned();
    let second = world.refresh(&first).await.text("refresh_token");
    let third = world.refresh(&second).await;
    world.hand.advance(Duration::from_mins(1));
    world.refresh(&first).await.is_error(400, "invalid_grant", INVALID_GRANT);
    world.refresh(&third.text("refresh_token")).await.is_error(400, "invalid_grant", INVALID_GRANT);
    assert_eq!(world.userinfo(&third.text("access_token")).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_answer_that_was_lost_can_be_had_again_for_a_moment() {
    let world = World::new().await;
    let first = world.tokens().await["refresh_token"].as_str().unwrap().to_owned();
    let second = world.refresh(&first).await.text("refresh_token");
    world.hand.advance(Duration::from_secs(2));
    assert_eq!(world.refresh(&first).await.text("refresh_token"), second);
    world.hand.advance(Duration::from_secs(1));
    world.refresh(&first).await.is_error(400, "invalid_grant", INVALID_GRANT);
    world.refresh(&second).await.is_error(400, "invalid_grant", INVALID_GRANT);
}

#[tokio::test]
async fn many_that_refresh_at_once_all_get_the_same_token() {
    let world = Arc::new(World::new().await);
    let first = world.tokens().await["refresh_token"].as_str().unwrap().to_owned();
    let all: Vec<_> = (0..8)
        .map(|_| {
            let (world, token) = (Arc::clone(&world), first.clone());
            tokio::spawn(async move { world.refresh(&token).await.text("refresh_token") })
        })
        .collect();
    let mut tokens = Vec::new();
    for one in all {
        tokens.push(one.await.unwrap());
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert_eq!(world.refresh(&tokens[0]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_and_not_for_more() {
    let world = World::new().await;
    let code = Browser::new().log_in(&world, &world.wish(&[("scope", "openid email offline_access")])).await;
    let token = world.buy(&code).await.text("refresh_token");
    let ask = async |token: &str, scope: &str| {
        world.token(&[("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)]).await
    };
    let refused = ask(&token, "openid email groups").await;
    refused.is_error(400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.");
    let less = ask(&token, "openid").await;
    assert_eq!(less.value["scope"], json!("openid"));
    let claims = verified(&world, &less.text("id_token"), "aphex", Algorithm::RS256).await;
    assert!(claims.get("email").is_none(), "{claims}");
    let all = world.refresh(&less.text("refresh_token")).await;
    assert_eq!(all.value["scope"], json!("openid email offline_access"), "the grant is as wide as before");
}

#[tokio::test]
async fn a_refresh_token_ends_with_the_person_with_time_and_is_no_use_to_others() {
    let world = World::new().await;
    let token = world.tokens().await["refresh_token"].as_str().unwrap().to_owned();
    let others = [("client_id", "kubernetes"), ("grant_type", "refresh_token"), ("refresh_token", &token)];
    world.post("/token", &others).await.is_error(400, "invalid_grant", INVALID_GRANT);
    for forged in ["", "x", "a.0.b", &token[..token.len() - 1], &token.replace(".0.", ".1.")] {
        assert_eq!(world.refresh(forged).await.status, StatusCode::BAD_REQUEST, "{forged}");
    }
    let token = world.refresh(&token).await.text("refresh_token");
    let disabled = UserChange { active: Some(false), ..UserChange::default() };
    world.directory.change_user(&world.ada.uid, disabled, &Actor::system()).await.unwrap();
    world.refresh(&token).await.is_error(400, "invalid_grant", INVALID_GRANT);
    let enabled = UserChange { active: Some(true), ..UserChange::default() };
    world.directory.change_user(&world.ada.uid, enabled, &Actor::system()).await.unwrap();
    world.refresh(&token).await.is_error(400, "invalid_grant", INVALID_GRANT);

    let token = world.tokens().await["refresh_token"].as_str().unwrap().to_owned();
    world.hand.advance(Duration::from_hours(90 * 24));
    world.refresh(&token).await.is_error(400, "invalid_grant", INVALID_GRANT);
}

#[tokio::test]
async fn a_refresh_is_one_write() {
    let world = World::new().await;
    let tokens = world.tokens().await;
    let written = async || world.storage.transaction().commit().await.unwrap();
    let before = written().await;
    let mut token = tokens["refresh_token"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        token = world.refresh(&token).await.text("refresh_token");
    }
    let after = written().await;
    assert_eq!(after - before, 3, "each rotation, and nothing else");
}
