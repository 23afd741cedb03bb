//! What a client may ask for at the authorization endpoint, and who is asked to log in.

use std::time::Duration;

use aphex_issuer::audit::Actor;
use aphex_issuer::directory::UserChange;
use reqwest::StatusCode;
use secrecy::SecretString;

use super::world::*;

#[tokio::test]
async fn nothing_is_sent_to_a_place_that_is_not_the_clients_own() {
    let world = World::new().await;
    for (name, value) in [
        ("client_id", ""),
        ("client_id", "stranger"),
        ("redirect_uri", ""),
        ("redirect_uri", "https://evil.example/callback"),
        ("redirect_uri", "http://127.0.0.1:43117/callback/more"),
        ("redirect_uri", "http://127.0.0.1:43117/callback#fragment"),
        ("redirect_uri", "http://127.0.0.1.evil.example:43117/callback"),
    ] {
        let page = Browser::new().get(&world.wish(&[(name, value), ("prompt", "none")])).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{name}={value}");
        assert!(page.headers.get("location").is_none(), "{name}={value}");
        assert!(!page.html.contains("evil"), "{}", page.html);
    }
    let twice = format!("{}&redirect_uri=https://evil.example/", world.wish(&[]));
    assert_eq!(Browser::new().get(&twice).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_is_told_to_the_client() {
    let world = World::new().await;
    for (name, value, code) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "code id_token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("response_mode", "fragment", "invalid_request"),
        ("scope", "email", "invalid_scope"),
        ("scope", "openid everything", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("prompt", "none", "login_required"),
        ("prompt", "none login", "invalid_request"),
        ("prompt", "dance", "invalid_request"),
        ("max_age", "-1", "invalid_request"),
        ("max_age", "soon", "invalid_request"),
        ("request", "eyJhbGciOiJub25lIn0.e30.", "request_not_supported"),
        ("request_uri", "https://example.com/request", "request_uri_not_supported"),
        ("registration", "{}", "registration_not_supported"),
    ] {
        let answer = Browser::new().get(&world.wish(&[(name, value)])).await;
        let (to, parameters) = answer.location();
        assert_eq!((to.as_str(), parameters["error"].as_str()), (CALLBACK, code), "{name}={value}");
        assert_eq!(parameters["state"], "state of ada");
        assert!(!parameters.contains_key("code"));
    }
}

#[tokio::test]
async fn a_wish_may_come_as_a_form_and_a_state_comes_back_as_it_was() {
    let world = World::new().await;
    let mut browser = Browser::new();
    browser.log_in(&world, &world.wish(&[])).await;
    let state = "a&b=c?d#e ü%20\"'<>";
    let url = url::Url::parse(&world.wish(&[("state", state)])).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let form: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = browser.post(&world.at_path("/auth"), &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.location().1["state"], state);
}

#[tokio::test]
async fn who_is_logged_in_is_not_asked_again_unless_the_client_wants_it() {
    let world = World::new().await;
    let mut browser = Browser::new();
    browser.log_in(&world, &world.wish(&[])).await;
    for prompt in ["", "none", "consent"] {
        assert!(!browser.get(&world.wish(&[("prompt", prompt)])).await.code().is_empty(), "{prompt}");
    }
    world.hand.advance(Duration::from_mins(2));
    assert!(!browser.get(&world.wish(&[("max_age", "120")])).await.code().is_empty());
    for again in [("max_age", "119"), ("max_age", "0"), ("prompt", "login"), ("prompt", "select_account")] {
        let wish = world.wish(&[again]);
        assert_eq!(browser.get(&wish).await.status, StatusCode::OK, "{again:?}");
        let code = browser.log_in(&world, &wish).await;
        let bought = world.buy(&code).await;
        assert_eq!(bought.status, StatusCode::OK, "a login just now is enough: {again:?}");
        world.hand.advance(Duration::from_mins(2));
    }
    let silent = browser.get(&world.wish(&[("prompt", "none"), ("max_age", "1")])).await;
    assert_eq!(silent.location().1["error"], "login_required");
}

#[tokio::test]
async fn a_session_ends_by_time_by_logout_with_the_password_and_with_the_person() {
    let world = World::new().await;
    let silent = world.wish(&[("prompt", "none")]);
    let is_in = async |browser: &mut Browser| browser.get(&silent).await.location().1.contains_key("code");

    let mut browser = Browser::new();
    browser.log_in(&world, &world.wish(&[])).await;
    assert!(is_in(&mut browser).await);
    world.hand.advance(Duration::from_hours(12));
    assert!(!is_in(&mut browser).await, "by time");

    browser.log_in(&world, &world.wish(&[])).await;
    let stolen = Browser { cookies: browser.cookies.clone() };
    let page = browser.get(&world.at_path("/logout")).await;
    let gone = browser.submit(&world, &page, &[]).await;
    assert_eq!(gone.status, StatusCode::OK);
    let mut stolen = stolen;
    assert!(!is_in(&mut browser).await && !is_in(&mut stolen).await, "by logout");

    browser.log_in(&world, &world.wish(&[])).await;
    let password = SecretString::from(PASSWORD);
    world.directory.set_password(&world.ada.uid, &password, &Actor::system()).await.unwrap();
    assert!(!is_in(&mut browser).await, "with the password");

    browser.log_in(&world, &world.wish(&[])).await;
    let disabled = UserChange { active: Some(false), ..UserChange::default() };
    world.directory.change_user(&world.ada.uid, disabled, &Actor::system()).await.unwrap();
    assert!(!is_in(&mut browser).await, "with the person");
}

#[tokio::test]
async fn a_login_never_takes_over_the_session_that_the_browser_brought() {
    let world = World::new().await;
    let mut browser = Browser::new();
    browser.log_in(&world, &world.wish(&[])).await;
    let before = browser.cookies.clone();
    browser.log_in(&world, &world.wish(&[("prompt", "login")])).await;
    assert_ne!(before, browser.cookies);
    let silent = Browser { cookies: before }.get(&world.wish(&[("prompt", "none")])).await;
    assert_eq!(silent.location().1["error"], "login_required");
}
