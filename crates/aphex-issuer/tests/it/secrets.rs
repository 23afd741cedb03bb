//! Secrets of clients: guessing at them is slowed down, and tells nothing of which clients there are.

use std::time::Duration;

use reqwest::StatusCode;

use super::world::*;

/// Guesses that are answered at once.
const FREE: usize = 10;

async fn guess(world: &World, client: &str, secret: &str) -> Answer {
    let form = [
        ("client_id", client),
        ("client_secret", secret),
        ("grant_type", "refresh_token"),
        ("refresh_token", "a.0.b"),
    ];
    world.post("/token", &form).await
}

#[tokio::test]
async fn guessing_at_a_clients_secret_is_slowed_down_whether_the_client_exists_or_not() {
    let world = World::new().await;
    for client in ["argocd", "nobody"] {
        for attempt in 0..=FREE {
            let answer = guess(&world, client, "wrong").await;
            answer.is_error(401, "invalid_client", "Invalid client credentials.");
            assert!(!answer.headers.contains_key("retry-after"), "{client}, attempt {attempt}");
        }
        // Even the right one, or whoever waits would learn that it is right.
        let answer = guess(&world, client, SECRET).await;
        let told = "There were too many attempts; Retry-After says how long to wait.";
        answer.is_error(429, "temporarily_unavailable", told);
        assert_eq!(answer.headers["retry-after"], "1", "{client}");
    }
    world.hand.advance(Duration::from_secs(1));
    guess(&world, "argocd", SECRET).await.is_error(400, "invalid_grant", INVALID_GRANT);
    guess(&world, "nobody", SECRET).await.is_error(401, "invalid_client", "Invalid client credentials.");
}

#[tokio::test]
async fn a_right_secret_begins_anew_and_a_client_without_one_never_waits() {
    let world = World::new().await;
    for _ in 0..3 {
        for _ in 0..FREE {
            assert_eq!(guess(&world, "argocd", "wrong").await.status, StatusCode::UNAUTHORIZED);
        }
        guess(&world, "argocd", SECRET).await.is_error(400, "invalid_grant", INVALID_GRANT);
    }
    let tokens = world.tokens().await;
    // Beyond what a source may try, whichever clients it names.
    let mut waited = false;
    for number in 0..60 {
        waited |=
            guess(&world, &format!("client-{number}"), "wrong").await.status == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(waited);
    let refreshed = world.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.value);
    Browser::new().log_in(&world, &world.wish(&[])).await;
}

#[tokio::test]
async fn every_endpoint_that_takes_a_secret_counts() {
    let world = World::new().await;
    for number in 0..=FREE {
        let path = ["/token", "/token/introspect", "/token/revoke", "/device/code"][number % 4];
        let form = [("client_id", "argocd"), ("client_secret", "wrong"), ("token", "x")];
        assert_eq!(world.post(path, &form).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let form = [("client_id", "argocd"), ("client_secret", SECRET), ("token", "x")];
    assert_eq!(world.post("/token/introspect", &form).await.status, StatusCode::TOO_MANY_REQUESTS);
}
