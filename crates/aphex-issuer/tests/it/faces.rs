//! Authentik's face beside Dex's, and the way from one to the other.

use aphex_issuer::audit::Actor;
use aphex_issuer::directory::UserChange;
use aphex_issuer::providers::ProviderChange;
use aphex_issuer::{Audit, Providers, Storage, Upstream};
use aphex_runtime::Clock;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::world::*;

const THEIR_CALLBACK: &str = "https://relying.example/callback";

/// Makes the application `dex` a client that the test knows the secret of.
async fn client_of_authentik(world: &World) {
    let audit = Audit::traced(Clock::system());
    let providers = Providers::open(world.storage.clone(), audit, &world.url).await.unwrap();
    let change = ProviderChange {
        client_secret: Some(SecretString::from(SECRET)),
        redirect_uris: Some(vec![THEIR_CALLBACK.to_owned()]),
        ..ProviderChange::default()
    };
    providers.change(1, change, &Actor::system()).await.unwrap();
}

fn claims(answer: &Answer) -> Value {
    let token = answer.text("id_token");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn form<'a>(id: &'a str, redirect: &'a str, code: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", id),
        ("client_secret", SECRET),
        ("redirect_uri", redirect),
        ("code", code),
    ]
}

async fn chained() -> World {
    World::with(Storage::memory().unwrap(), |settings| settings.upstream = Some(Upstream::Own)).await
}

#[tokio::test]
async fn a_client_of_authentiks_face_gets_tokens_of_its_own_issuer() {
    let world = World::new().await;
    client_of_authentik(&world).await;
    let issuer = world.at_path("/application/o/dex/");
    let wish = world.at_path("/application/o/authorize/?client_id=dex-client&response_type=code&state=s&scope=openid+email+groups&nonce=n")
        + &format!("&redirect_uri={THEIR_CALLBACK}");
    let mut browser = Browser::new();
    let page = browser.get(&wish).await;
    let answer = browser.submit(&world, &page, &[("login", "ada"), ("password", PASSWORD)]).await;
    let (place, back) = answer.location();
    assert_eq!((place.as_str(), &back["iss"], &back["state"]), (THEIR_CALLBACK, &issuer, &"s".to_owned()));
    // A client of the other face does not get its code redeemed.
    let stolen = world.post("/token", &form("argocd", THEIR_CALLBACK, &back["code"])).await;
    stolen.is_error(400, "invalid_grant", INVALID_GRANT);
    let tokens =
        world.post("/application/o/token/", &form("dex-client", THEIR_CALLBACK, &back["code"])).await;
    let claims = claims(&tokens);
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["sub"], &claims["groups"]),
        (
            &json!(issuer),
            &json!("dex-client"),
            &json!(world.ada.uid),
            &json!(["engineering", "platform-engineering"])
        )
    );
    let person = http()
        .get(world.at_path("/application/o/userinfo/"))
        .bearer_auth(tokens.text("access_token"))
        .send()
        .await
        .unwrap();
    assert_eq!(Answer::of(person).await.value["email"], "ada@example.com");
}

#[tokio::test]
async fn in_the_chain_people_log_in_at_authentiks_face_and_once() {
    let world = chained().await;
    let mut browser = Browser::new();
    let (place, there) = browser.get(&world.wish(&[("login_hint", "ada")])).await.location();
    assert_eq!(place, world.at_path("/application/o/authorize/"));
    assert_eq!((&there["client_id"], &there["login_hint"]), (&"dex-client".to_owned(), &"ada".to_owned()));
    assert_eq!((there.get("prompt"), &there["code_challenge_method"]), (None, &"S256".to_owned()));
    // Whoever has to log in anew does so there.
    for (name, value) in [("prompt", "login"), ("max_age", "0")] {
        let (_, there) = browser.get(&world.wish(&[(name, value)])).await.location();
        assert_eq!(there.get("prompt"), Some(&"login".to_owned()), "{name}");
    }
    let (place, _) = browser.get(&world.at_path("/device?user_code=BDWP-HQLK")).await.location();
    assert_eq!(place, world.at_path("/application/o/authorize/"));
    let (_, silent) = browser.get(&world.wish(&[("prompt", "none")])).await.location();
    assert_eq!(silent["error"], "login_required");
}

#[tokio::test]
async fn what_comes_back_wrong_logs_nobody_in() {
    let world = chained().await;
    let mut browser = Browser::new();
    for query in ["", "?state=guess&code=x", "?code=x", "?state=guess&state=again", "?error=access_denied"] {
        let page = browser.get(&world.at_path(&format!("/callback{query}"))).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let begin = async |browser: &mut Browser| {
        let (_, there) = browser.get(&world.wish(&[])).await.location();
        there["state"].clone()
    };
    let issuer = world.at_path("/application/o/dex/");
    for (more, status) in [
        (format!("&code=made-up&iss={issuer}"), StatusCode::BAD_GATEWAY),
        ("&code=x".to_owned(), StatusCode::BAD_GATEWAY),
        ("&code=x&iss=https://evil.example".to_owned(), StatusCode::BAD_GATEWAY),
        ("&error=<script>".to_owned(), StatusCode::FORBIDDEN),
    ] {
        let state = begin(&mut browser).await;
        let page = browser.get(&world.at_path(&format!("/callback?state={state}{more}"))).await;
        assert_eq!(page.status, status, "{more}");
        assert!(!page.html.contains("script>") && !page.html.contains("evil"), "{}", page.html);
    }
    let (_, silent) = browser.get(&world.wish(&[("prompt", "none")])).await.location();
    assert_eq!(silent["error"], "login_required");
}

#[tokio::test]
async fn in_the_chain_a_disabled_person_stays_out() {
    let world = chained().await;
    let mut browser = Browser::new();
    let there = browser.get(&world.wish(&[])).await;
    let there = there.headers["location"].to_str().unwrap().to_owned();
    let page = browser.get(&there).await;
    let back = browser.submit(&world, &page, &[("login", "ada"), ("password", PASSWORD)]).await;
    let change = UserChange { active: Some(false), ..UserChange::default() };
    world.directory.change_user(&world.ada.uid, change, &Actor::system()).await.unwrap();
    let callback = back.headers["location"].to_str().unwrap().to_owned();
    assert!(callback.starts_with(&world.at_path("/callback?")), "{callback}");
    let refused = browser.get(&callback).await;
    assert!(refused.status.is_client_error() || refused.status.is_server_error(), "{}", refused.status);
    assert!(refused.headers.get("set-cookie").is_none());
}
