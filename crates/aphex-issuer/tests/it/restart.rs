//! What outlives the process.

use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use tokio::net::TcpListener;

use super::code::verified;
use super::world::*;

#[tokio::test]
async fn sessions_refresh_tokens_codes_and_keys_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = World::kept(folder.path(), listener, START).await;
    let mut browser = Browser::new();
    let code = browser.log_in(&world, &world.wish(&[])).await;
    let tokens = world.buy(&code).await;
    let waiting = browser.get(&world.wish(&[])).await.code();
    let storage = world.storage.clone();
    world.kill().await;
    storage.close().await;

    let listener = TcpListener::bind(address).await.unwrap();
    let world = World::kept(folder.path(), listener, START + 60).await;
    verified(&world, &tokens.text("id_token"), "aphex", Algorithm::RS256).await;
    assert_eq!(world.userinfo(&tokens.text("access_token")).await.status, StatusCode::OK);
    let silent = browser.get(&world.wish(&[("prompt", "none")])).await;
    assert!(!silent.code().is_empty());
    assert_eq!(world.buy(&waiting).await.status, StatusCode::OK);
    let refreshed = world.refresh(&tokens.text("refresh_token")).await;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.value);
    world.buy(&code).await.is_error(400, "invalid_grant", INVALID_GRANT);
    world.refresh(&refreshed.text("refresh_token")).await.is_error(400, "invalid_grant", INVALID_GRANT);
}
