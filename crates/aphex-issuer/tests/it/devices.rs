//! Logins of machines without a browser.

use std::time::Duration;

use aphex_issuer::{Settings, Storage};
use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use serde_json::json;

use super::code::verified;
use super::world::*;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn begin(world: &World) -> Answer {
    world.post("/device/code", &[("client_id", "aphex"), ("scope", "openid email offline_access")]).await
}

async fn poll(world: &World, device_code: &str) -> Answer {
    world.token(&[("grant_type", DEVICE_CODE), ("device_code", device_code)]).await
}

/// Opens the page that the device shows and logs ada in; gives the page that asks.
async fn open(world: &World, browser: &mut Browser, begun: &Answer) -> Seen {
    let page = browser.get(&begun.text("verification_uri_complete")).await;
    let moved = browser.submit(world, &page, &[("login", "ada"), ("password", PASSWORD)]).await;
    assert_eq!(moved.status, StatusCode::SEE_OTHER, "{}", moved.html);
    let next = moved.headers["location"].to_str().unwrap().to_owned();
    browser.get(&world.at_path(&next)).await
}

#[tokio::test]
async fn a_device_gets_tokens_once_its_user_has_said_yes() {
    let world = World::new().await;
    let begun = begin(&world).await;
    assert_eq!((&begun.value["expires_in"], &begun.value["interval"]), (&json!(600), &json!(5)));
    let device = begun.text("device_code");
    assert_eq!(poll(&world, &device).await.text("error"), "authorization_pending");
    assert_eq!(poll(&world, &device).await.text("error"), "slow_down");

    let mut browser = Browser::new();
    let page = open(&world, &mut browser, &begun).await;
    assert!(
        page.html.contains(&begun.text("user_code")) && page.html.contains("&lt;aphex&gt;"),
        "{}",
        page.html
    );
    world.hand.advance(Duration::from_mins(1));
    assert_eq!(poll(&world, &device).await.text("error"), "authorization_pending", "a GET decides nothing");
    let done = browser.submit(&world, &page, &[("answer", "allow")]).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.html);

    let bought = poll(&world, &device).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.value);
    let claims = verified(&world, &bought.text("id_token"), "aphex", Algorithm::RS256).await;
    assert_eq!(claims["email"], json!("ada@example.com"));
    assert_eq!(world.refresh(&bought.text("refresh_token")).await.status, StatusCode::OK);
    poll(&world, &device).await.is_error(400, "invalid_grant", INVALID_GRANT);
    let again = browser.submit(&world, &page, &[("answer", "allow")]).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "the user code is used up");
}

#[tokio::test]
async fn a_device_whose_user_says_no_or_nothing_gets_nothing() {
    let world = World::new().await;
    let begun = begin(&world).await;
    let mut browser = Browser::new();
    let page = open(&world, &mut browser, &begun).await;
    browser.submit(&world, &page, &[("answer", "deny")]).await;
    poll(&world, &begun.text("device_code")).await.is_error(400, "access_denied", "The user said no.");

    let begun = begin(&world).await;
    let others = [
        ("client_id", "kubernetes"),
        ("grant_type", DEVICE_CODE),
        ("device_code", &begun.text("device_code")),
    ];
    world.post("/token", &others).await.is_error(400, "invalid_grant", INVALID_GRANT);
    world.hand.advance(Duration::from_mins(10));
    assert_eq!(poll(&world, &begun.text("device_code")).await.text("error"), "expired_token");
    let late = browser.get(&begun.text("verification_uri_complete")).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{}", late.html);
}

#[tokio::test]
async fn a_code_is_typed_in_by_hand_and_guesses_are_slowed_down() {
    let world = World::new().await;
    let begun = begin(&world).await;
    let mut browser = Browser::new();
    let page = browser.get(&world.at_path("/device")).await;
    browser.submit(&world, &page, &[("login", "ada"), ("password", PASSWORD)]).await;
    let page = browser.get(&world.at_path("/device")).await;
    let typed = begun.text("user_code").to_lowercase().replace('-', " ");
    let confirm = browser.submit(&world, &page, &[("user_code", &typed)]).await;
    assert!(confirm.html.contains("Let it in"), "{}", confirm.html);
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(browser.get(&world.at_path("/device?user_code=BBBB-BBBB")).await.status);
    }
    assert_eq!(statuses.first(), Some(&StatusCode::BAD_REQUEST));
    assert_eq!(statuses.last(), Some(&StatusCode::TOO_MANY_REQUESTS));
}

#[tokio::test]
async fn a_forged_yes_changes_nothing() {
    let world = World::new().await;
    let begun = begin(&world).await;
    let mut browser = Browser::new();
    open(&world, &mut browser, &begun).await;
    let code = begun.text("user_code");
    for form in ["", "AAAA"] {
        let fields = [("user_code", code.as_str()), ("answer", "allow"), ("form", form)];
        browser.post(&world.at_path("/device"), &fields).await;
    }
    assert_eq!(poll(&world, &begun.text("device_code")).await.text("error"), "authorization_pending");
}

#[tokio::test]
async fn one_stranger_with_many_devices_leaves_room_for_others_behind_the_same_proxy() {
    let begin = async |world: &World, source: &str| {
        world.post_for("/device/code", &[("client_id", "aphex"), ("scope", "openid")], source).await.status
    };
    let trusts = |settings: &mut Settings| settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let world = World::with(Storage::memory().unwrap(), trusts).await;
    for _ in 0..50 {
        assert_eq!(begin(&world, "192.0.2.1").await, StatusCode::OK);
    }
    for stranger in ["192.0.2.1", "192.0.2.2, 192.0.2.1"] {
        assert_eq!(begin(&world, stranger).await, StatusCode::TOO_MANY_REQUESTS, "{stranger}");
    }
    assert_eq!(begin(&world, "192.0.2.2").await, StatusCode::OK);

    let world = World::new().await;
    for number in 0..50 {
        assert_eq!(begin(&world, &format!("192.0.2.{number}")).await, StatusCode::OK);
    }
    assert_eq!(
        begin(&world, "192.0.2.99").await,
        StatusCode::TOO_MANY_REQUESTS,
        "no proxy is believed unasked"
    );
}
