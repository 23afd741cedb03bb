//! One's own account: a new password, and where one is logged in.

use std::time::Duration;

use reqwest::StatusCode;

use super::world::*;

const NEW: &str = "nine green lanterns";

/// A browser with ada logged in.
async fn logged_in(world: &World) -> Browser {
    let mut browser = Browser::new();
    browser.log_in(world, &world.wish(&[])).await;
    browser
}

async fn is_logged_in(browser: &mut Browser, world: &World) -> bool {
    browser.get(&world.at_path("/")).await.html.contains("You are logged in")
}

/// What the buttons of a page say that end something.
fn ends(page: &Seen) -> Vec<String> {
    let buttons = page.html.split("name=\"end\" value=\"").skip(1);
    buttons.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_person_changes_the_password_and_every_other_login_ends() {
    let world = World::new().await;
    let (mut here, mut there) = (logged_in(&world).await, logged_in(&world).await);
    let tokens = world.tokens().await;
    let page = here.get(&world.at_path("/password")).await;
    assert_eq!(page.attribute("<input id=\"current\"", "autocomplete"), "current-password");
    assert_eq!(page.attribute("<input id=\"password\"", "autocomplete"), "new-password");
    let fill = |current: &'static str, password: &'static str, repeated: &'static str| {
        [("current", current), ("password", password), ("repeated", repeated)]
    };
    let before = here.cookies.clone();
    for (fields, status, told) in [
        (fill("wrong", NEW, NEW), StatusCode::UNAUTHORIZED, "Your present password is another one."),
        (fill(PASSWORD, NEW, "nine"), StatusCode::BAD_REQUEST, "The two new passwords are not the same."),
        (fill(PASSWORD, "short", "short"), StatusCode::BAD_REQUEST, "Must be at least"),
    ] {
        let answer = here.submit(&world, &page, &fields).await;
        assert_eq!(answer.status, status, "{}", answer.html);
        assert!(answer.alert().contains(told), "{}", answer.html);
        assert!(!answer.html.contains(PASSWORD) && !answer.html.contains(NEW), "{}", answer.html);
    }
    assert_eq!(here.cookies, before, "nothing has changed yet");
    let changed = here.submit(&world, &page, &fill(PASSWORD, NEW, NEW)).await;
    assert!(changed.html.contains("Your password is changed"), "{}", changed.html);
    assert!(is_logged_in(&mut here, &world).await && !is_logged_in(&mut there, &world).await);
    let refreshed = world.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    refreshed.is_error(400, "invalid_grant", INVALID_GRANT);
    let login = there.get(&world.at_path("/login")).await;
    let old = there.submit(&world, &login, &[("login", "ada"), ("password", PASSWORD)]).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    let new = there.submit(&world, &login, &[("login", "ada"), ("password", NEW)]).await;
    assert_eq!(new.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_stolen_browser_cannot_guess_the_password_on_the_page_that_changes_it() {
    let world = World::new().await;
    let mut browser = logged_in(&world).await;
    let page = browser.get(&world.at_path("/password")).await;
    let fields = |current| [("current", current), ("password", NEW), ("repeated", NEW)];
    for _ in 0..6 {
        assert_eq!(browser.submit(&world, &page, &fields("wrong")).await.status, StatusCode::UNAUTHORIZED);
    }
    let waits = browser.submit(&world, &page, &fields(PASSWORD)).await;
    assert_eq!(waits.status, StatusCode::TOO_MANY_REQUESTS);
    world.hand.advance(Duration::from_secs(1));
    assert_eq!(browser.submit(&world, &page, &fields(PASSWORD)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_of_an_account_need_a_login_and_a_form_of_ours() {
    let world = World::new().await;
    for path in ["/password", "/sessions"] {
        let mut browser = Browser::new();
        let page = browser.get(&world.at_path(path)).await;
        assert!(page.html.contains("<h1>Log in</h1>"), "{path}: {}", page.html);
        let answer = browser.submit(&world, &page, &[("login", "ada"), ("password", PASSWORD)]).await;
        assert_eq!(answer.headers["location"], path, "and then it comes");
        let page = browser.get(&world.at_path(path)).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self';"), "{policy}");
        assert!(!page.html.contains("<script") && !page.html.contains("style=\""), "{}", page.html);
    }
    let mut browser = logged_in(&world).await;
    let forged = [("current", PASSWORD), ("password", NEW), ("repeated", NEW)];
    assert_eq!(browser.post(&world.at_path("/password"), &forged).await.status, StatusCode::FORBIDDEN);
    browser.post(&world.at_path("/sessions"), &[("end", "all.others")]).await;
    assert!(world.directory.verify_password("ada", &PASSWORD.into()).await.unwrap().is_some());
    assert_eq!(world.directory.by_login("ada").unwrap().unwrap().session_epoch, 0);
}

#[tokio::test]
async fn a_person_sees_and_ends_what_is_logged_in_as_them_and_nobody_elses() {
    let world = World::new().await;
    let (mut here, mut there) = (logged_in(&world).await, logged_in(&world).await);
    let tokens = world.tokens().await;
    let page = here.get(&world.at_path("/sessions")).await;
    // Two browsers, that of `tokens`, and the application that it bought tokens for.
    let all = ends(&page);
    assert_eq!(all.iter().filter(|end| end.starts_with("browser.")).count(), 3, "{all:?}");
    assert!(page.html.contains("this browser") && page.html.contains("from 127.0.0.1"), "{}", page.html);
    assert!(page.html.contains("&lt;aphex&gt;"), "{}", page.html);
    let application = all.iter().find(|end| end.starts_with("application.")).unwrap().clone();

    // What it says is taken from the person's own alone.
    world.add_eve().await;
    let mut evil = Browser::new();
    let login = evil.get(&world.at_path("/login")).await;
    evil.submit(&world, &login, &[("login", "eve"), ("password", PASSWORD)]).await;
    let theirs = evil.get(&world.at_path("/sessions")).await;
    assert_eq!(ends(&theirs).len(), 1, "{}", theirs.html);
    for end in &all {
        evil.submit(&world, &theirs, &[("end", end)]).await;
    }
    assert_eq!(ends(&here.get(&world.at_path("/sessions")).await), all, "nothing of ada's has ended");

    here.submit(&world, &page, &[("end", &application)]).await;
    let refreshed = world.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    refreshed.is_error(400, "invalid_grant", INVALID_GRANT);
    assert!(is_logged_in(&mut there, &world).await);
    // The first one is this browser's: it stays for now.
    let page = here.get(&world.at_path("/sessions")).await;
    here.submit(&world, &page, &[("end", "all.others")]).await;
    assert!(is_logged_in(&mut here, &world).await && !is_logged_in(&mut there, &world).await);
    let page = here.get(&world.at_path("/sessions")).await;
    let last = ends(&page);
    assert_eq!(last.len(), 1, "{last:?}");
    here.submit(&world, &page, &[("end", &last[0])]).await;
    assert!(!is_logged_in(&mut here, &world).await, "one's own can be ended as well");
}
