//! Logging out at an application's wish (OpenID Connect RP-Initiated Logout 1.0).

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use url::Url;

use super::world::*;

/// Where the public client may send browsers to after a logout.
const BACK: &str = "http://127.0.0.1/callback/logged-out";

fn leaving(world: &World, parameters: &[(&str, &str)]) -> String {
    Url::parse_with_params(&world.at_path("/logout"), parameters).unwrap().to_string()
}

/// A browser with ada logged in, and her ID token.
async fn logged_in(world: &World) -> (Browser, String) {
    let mut browser = Browser::new();
    let code = browser.log_in(world, &world.wish(&[])).await;
    let tokens = world.buy(&code).await;
    (browser, tokens.text("id_token"))
}

async fn is_logged_in(browser: &mut Browser, world: &World) -> bool {
    browser.get(&world.at_path("/")).await.html.contains("You are logged in")
}

#[tokio::test]
async fn an_application_that_proves_whom_it_knows_logs_them_out_and_gets_the_browser_back() {
    let world = World::new().await;
    let metadata = http().get(world.at_path("/.well-known/openid-configuration")).send().await.unwrap();
    assert_eq!(Answer::of(metadata).await.text("end_session_endpoint"), world.at_path("/logout"));
    let (mut browser, token) = logged_in(&world).await;
    // However old the proof is.
    world.hand.advance(Duration::from_hours(2));
    let wish = [("id_token_hint", token.as_str()), ("post_logout_redirect_uri", BACK), ("state", "x y&z")];
    let answer = browser.get(&leaving(&world, &wish)).await;
    let (to, parameters) = answer.location();
    assert_eq!((to.as_str(), parameters["state"].as_str()), (BACK, "x y&z"));
    assert!(!is_logged_in(&mut browser, &world).await);
    // Once more: there is nobody to log out, and the browser goes on all the same.
    assert_eq!(browser.get(&leaving(&world, &wish)).await.location().0, BACK);
    let plain = browser.get(&leaving(&world, &[("id_token_hint", &token)])).await;
    assert!(plain.html.contains("You are logged out"), "{}", plain.html);
}

#[tokio::test]
async fn without_a_proof_the_person_is_asked_first() {
    let world = World::new().await;
    let (mut browser, _) = logged_in(&world).await;
    let wish = [("client_id", "aphex"), ("post_logout_redirect_uri", BACK), ("state", "s")];
    let page = browser.get(&leaving(&world, &wish)).await;
    assert!(page.html.contains("&lt;aphex&gt;") && page.html.contains("Log out?"), "{}", page.html);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' http://127.0.0.1;"), "the browser may go on there: {policy}");
    assert!(is_logged_in(&mut browser, &world).await);
    // Not a form of ours: asked again.
    let forged: Vec<(&str, &str)> = wish.iter().copied().chain([("form", "forged")]).collect();
    assert!(browser.post(&world.at_path("/logout"), &forged).await.html.contains("Log out?"));
    let answer = browser.submit(&world, &page, &[]).await;
    let (to, parameters) = answer.location();
    assert_eq!(
        (answer.status, to.as_str(), parameters["state"].as_str()),
        (StatusCode::SEE_OTHER, BACK, "s")
    );
    assert!(!is_logged_in(&mut browser, &world).await);
}

#[tokio::test]
async fn somebody_elses_proof_ends_nobodys_login_unasked() {
    let world = World::new().await;
    let (mut browser, _) = logged_in(&world).await;
    world.add_eve().await;
    let mut other = Browser::new();
    let page = other.get(&world.wish(&[])).await;
    let answer = other.submit(&world, &page, &[("login", "eve"), ("password", PASSWORD)]).await;
    let token = world.buy(&answer.code()).await.text("id_token");
    let page = browser.get(&leaving(&world, &[("id_token_hint", &token)])).await;
    assert!(page.html.contains("Log out?") && is_logged_in(&mut browser, &world).await, "{}", page.html);
}

#[tokio::test]
async fn a_browser_is_sent_nowhere_that_the_application_has_not_among_its_own() {
    let world = World::new().await;
    let (mut browser, token) = logged_in(&world).await;
    let mut forged: Vec<char> = token.chars().collect();
    let middle = forged.len() - 20;
    forged[middle] = if forged[middle] == 'A' { 'B' } else { 'A' };
    let forged: String = forged.into_iter().collect();
    let access = world.tokens().await["access_token"].as_str().unwrap().to_owned();
    let with_slash = format!("{BACK}/");
    let with_query = format!("{BACK}?a=b");
    let other_port = BACK.replace("127.0.0.1", "127.0.0.1:8000");
    for parameters in [
        &[("id_token_hint", token.as_str()), ("post_logout_redirect_uri", "https://evil.example/")][..],
        &[("id_token_hint", &token), ("post_logout_redirect_uri", &with_slash)],
        &[("id_token_hint", &token), ("post_logout_redirect_uri", &with_query)],
        &[("id_token_hint", &token), ("post_logout_redirect_uri", &other_port)],
        &[("id_token_hint", &token), ("post_logout_redirect_uri", CALLBACK)],
        // Whose it is has to be known.
        &[("post_logout_redirect_uri", BACK)],
        &[("client_id", "stranger"), ("post_logout_redirect_uri", BACK)],
        &[("client_id", "argocd"), ("post_logout_redirect_uri", BACK)],
        &[("client_id", "argocd"), ("id_token_hint", &token), ("post_logout_redirect_uri", BACK)],
        &[("id_token_hint", &forged), ("post_logout_redirect_uri", BACK)],
        &[("id_token_hint", &access), ("post_logout_redirect_uri", BACK)],
        &[("id_token_hint", "a.b.c")],
    ] {
        let answer = browser.get(&leaving(&world, parameters)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{parameters:?}: {}", answer.html);
        assert!(!answer.headers.contains_key("location"), "{parameters:?}");
        assert!(is_logged_in(&mut browser, &world).await, "{parameters:?}");
    }
}

#[tokio::test]
async fn a_form_of_an_application_is_taken_by_a_second_request_that_brings_the_cookie() {
    let world = World::new().await;
    let (mut browser, token) = logged_in(&world).await;
    // As a browser sends a form of another site: without cookies that are SameSite=Lax.
    let form = [("id_token_hint", token.as_str()), ("post_logout_redirect_uri", BACK)];
    let answer = Browser::new().post(&world.at_path("/logout"), &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let to = answer.headers["location"].to_str().unwrap().to_owned();
    assert!(to.starts_with("/logout?"), "{to}");
    assert_eq!(browser.get(&world.at_path(&to)).await.location().0, BACK);
    assert!(!is_logged_in(&mut browser, &world).await);
}

#[tokio::test]
async fn the_application_of_the_other_face_has_no_place_to_go_on_to() {
    let world = World::new().await;
    let (mut browser, token) = logged_in(&world).await;
    let answer = browser.get(&world.at_path("/application/o/dex/.well-known/openid-configuration")).await;
    let metadata: Value = serde_json::from_str(&answer.html).unwrap();
    let endpoint = metadata["end_session_endpoint"].as_str().unwrap();
    let page = browser.get(endpoint).await;
    assert!(page.html.contains("Log out?"), "{}", page.html);
    let wrong = Url::parse_with_params(
        endpoint,
        [("id_token_hint", token.as_str()), ("post_logout_redirect_uri", "https://evil.example/")],
    );
    assert_eq!(browser.get(wrong.unwrap().as_str()).await.status, StatusCode::BAD_REQUEST);
}
