//! The pages: what they say, to whom, and what they keep to themselves.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::ExposeSecret as _;

use super::world::*;

#[tokio::test]
async fn the_login_page_needs_nothing_from_elsewhere_and_is_known_to_password_managers() {
    let world = World::new().await;
    let page = Browser::new().get(&world.wish(&[("login_hint", "ada@\"example\".com")])).await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert_eq!(
        policy,
        "default-src 'none'; style-src 'self'; form-action 'self' http://127.0.0.1:43117; base-uri 'none'; frame-ancestors 'none'"
    );
    for (name, value) in
        [("x-frame-options", "DENY"), ("x-content-type-options", "nosniff"), ("cache-control", "no-store")]
    {
        assert_eq!(page.headers[name], value);
    }
    let cookie = page.headers["set-cookie"].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Secure"),
        "{cookie}"
    );
    assert_eq!(page.attribute("<input id=\"login\"", "autocomplete"), "username");
    assert_eq!(page.attribute("<input id=\"login\"", "value"), "ada@\"example\".com");
    assert_eq!(page.attribute("<input id=\"password\"", "autocomplete"), "current-password");
    assert!(page.html.contains("&lt;aphex&gt;") && !page.html.contains("<script"), "{}", page.html);
    assert!(!page.html.contains("style=\"") && !page.html.contains("http://"), "{}", page.html);
    let style = page.attribute("<link rel=\"stylesheet\"", "href");
    let style = http().get(world.at_path(&style)).send().await.unwrap();
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
}

#[tokio::test]
async fn cookies_are_bound_to_the_host_where_the_issuer_has_tls() {
    let storage = aphex_issuer::Storage::memory().unwrap();
    let world = World::with(storage, |settings| {
        settings.url = aphex_issuer::IssuerUrl::parse("https://dex.home.local/dex").unwrap();
    })
    .await;
    let page = Browser::new().get(&world.at_path("/dex/login")).await;
    let cookie = page.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-aphex-form=") && cookie.ends_with("; Secure"), "{cookie}");
    assert!(page.headers.contains_key("strict-transport-security"));
    assert_eq!(page.attribute("<form", "action"), "/dex/login");
    assert_eq!(Browser::new().get(&world.at_path("/login")).await.status, StatusCode::NOT_FOUND);
    let metadata = http().get(world.at_path("/dex/.well-known/openid-configuration")).send().await.unwrap();
    assert_eq!(Answer::of(metadata).await.text("token_endpoint"), "https://dex.home.local/dex/token");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_person_are_told_the_same() {
    let world = World::new().await;
    let mut told = Vec::new();
    for (login, password) in [("ada", "wrong"), ("nobody", PASSWORD), ("ada", ""), ("", PASSWORD)] {
        let mut browser = Browser::new();
        let page = browser.get(&world.wish(&[])).await;
        let answer = browser.submit(&world, &page, &[("login", login), ("password", password)]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{login}");
        assert!(!answer.html.contains(PASSWORD) && !answer.html.contains("wrong"), "{}", answer.html);
        assert_eq!(answer.hidden()["next"], page.hidden()["next"], "the wish is not lost");
        told.push(answer.alert());
    }
    told.dedup();
    assert_eq!(told, ["This e-mail address or username and this password do not belong together."]);
}

#[tokio::test]
async fn guessing_at_an_account_is_slowed_down_whether_it_exists_or_not() {
    let world = World::new().await;
    for login in ["ada", "nobody"] {
        let mut browser = Browser::new();
        let page = browser.get(&world.at_path("/login")).await;
        for attempt in 0..6 {
            let answer = browser.submit(&world, &page, &[("login", login), ("password", "wrong")]).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{login}, attempt {attempt}");
        }
        let answer = browser.submit(&world, &page, &[("login", login), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{login}");
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.alert(), "There were too many attempts. Wait one second, then try again.");
    }
    world.hand.advance(Duration::from_secs(1));
    let mut browser = Browser::new();
    browser.log_in(&world, &world.wish(&[])).await;
}

#[tokio::test]
async fn a_source_that_guesses_at_many_accounts_is_slowed_down() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let page = browser.get(&world.at_path("/login")).await;
    let mut waited = false;
    for number in 0..25 {
        let login = format!("person-{number}");
        let answer = browser.submit(&world, &page, &[("login", &login), ("password", "wrong")]).await;
        waited = waited || answer.status == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(waited);
}

#[tokio::test]
async fn a_form_that_is_not_from_this_browser_logs_nobody_in() {
    let world = World::new().await;
    let mut browser = Browser::new();
    let mut other = Browser::new();
    let page = browser.get(&world.wish(&[])).await;
    other.get(&world.wish(&[])).await;
    let fields = [("login", "ada"), ("password", PASSWORD)];
    for browser in [&mut other, &mut Browser::new()] {
        let answer = browser.submit(&world, &page, &fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(!browser.cookies.keys().any(|name| name.contains("session")), "{:?}", browser.cookies);
    }
    assert_eq!(browser.submit(&world, &page, &fields).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_login_leads_to_our_own_pages_only() {
    let world = World::new().await;
    for next in ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"] {
        let mut browser = Browser::new();
        let page = browser.get(&world.at_path("/login")).await;
        let hidden = page.hidden();
        let fields =
            [("form", hidden["form"].as_str()), ("next", next), ("login", "ada"), ("password", PASSWORD)];
        let answer = browser.post(&world.at_path("/login"), &fields).await;
        assert_eq!(
            (answer.status, answer.headers["location"].to_str().unwrap()),
            (StatusCode::SEE_OTHER, "/"),
            "{next}"
        );
    }
}

#[tokio::test]
async fn logging_out_takes_a_form_of_ours() {
    let world = World::new().await;
    let mut browser = Browser::new();
    browser.log_in(&world, &world.wish(&[])).await;
    let home = browser.get(&world.at_path("/")).await;
    assert!(home.html.contains("engineering, platform-engineering"), "{}", home.html);
    browser.post(&world.at_path("/logout"), &[]).await;
    assert!(
        browser.get(&world.at_path("/")).await.html.contains("You are logged in"),
        "a forged form did nothing"
    );
    browser.submit(&world, &home, &[]).await;
    assert!(browser.get(&world.at_path("/")).await.html.contains("<h1>Log in</h1>"));
}

#[tokio::test]
async fn the_set_up_link_makes_one_administrator() {
    let world = World::new().await;
    let secret = world.directory.create_setup_link().await.unwrap();
    let link = world.at_path(&format!("/setup?token={}", secret.expose_secret()));
    let mut browser = Browser::new();
    assert_eq!(browser.get(&world.at_path("/setup?token=guess")).await.status, StatusCode::NOT_FOUND);
    let page = browser.get(&link).await;
    assert_eq!(page.attribute("<input id=\"password\"", "autocomplete"), "new-password");
    let fill = |password: &'static str, repeated: &'static str| {
        [("username", "root"), ("email", "root@example.com"), ("password", password), ("repeated", repeated)]
    };
    let different = browser.submit(&world, &page, &fill("nine green lanterns", "nine green lantern")).await;
    assert_eq!(different.alert(), "The two passwords are not the same.");
    assert_eq!(different.attribute("<input id=\"username\"", "value"), "root", "what was typed is kept");
    let short = browser.submit(&world, &different, &fill("short", "short")).await;
    assert_eq!(short.status, StatusCode::BAD_REQUEST);
    let made = browser.submit(&world, &short, &fill("nine green lanterns", "nine green lanterns")).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.html);
    assert!(browser.get(&world.at_path("/")).await.html.contains("platform-admins"), "and is logged in");
    assert_eq!(Browser::new().get(&link).await.status, StatusCode::NOT_FOUND);
    let again = browser.submit(&world, &page, &fill("nine green lanterns", "nine green lanterns")).await;
    assert_ne!(again.status, StatusCode::OK);
}
