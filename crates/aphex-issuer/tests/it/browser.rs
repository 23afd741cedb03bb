//! The pages in a real browser: Debian's Chromium, spoken to by WebDriver (W3C), which is JSON over HTTP.
//!
//! Left out, and said so, where there is no `chromedriver`. Screenshots are kept in cargo's folder for tests' files.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::world::*;

/// The name under which WebDriver hands elements out.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Far beyond what a page takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A browser window, narrow as a small phone.
struct Window {
    session: String,
    http: &'static reqwest::Client,
    _driver: Child,
    _profile: tempfile::TempDir,
}

impl Window {
    /// None where there is no browser.
    async fn open() -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let Ok(mut driver) = command.spawn() else {
            assert!(std::env::var_os("APHEX_REQUIRE_ENGINES").is_none(), "there is no chromedriver");
            writeln!(std::io::stdout().lock(), "left out: login page in a browser: no chromedriver").unwrap();
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("chromedriver ended");
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    break port.trim_end_matches('.').to_owned();
                }
            }
        });
        let port = port.await.expect("chromedriver says its port");
        let (profile, http) = (tempfile::tempdir().unwrap(), http());
        let options = json!({ "args": [
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=500,800",
            format!("--user-data-dir={}", profile.path().display()),
        ] });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": options } } });
        let base = format!("http://127.0.0.1:{port}/session");
        let answer: Value = http.post(&base).json(&wanted).send().await.unwrap().json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let session = format!("{base}/{id}");
        Some(Self { session, http, _driver: driver, _profile: profile })
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}/{path}", self.session)).json(&body).send();
        let answer: Value = timeout(PATIENCE, answer).await.unwrap().unwrap().json().await.unwrap();
        assert!(answer["value"].get("error").is_none(), "{path}: {answer}");
        answer["value"].clone()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}/{path}", self.session)).send();
        let answer: Value = timeout(PATIENCE, answer).await.unwrap().unwrap().json().await.unwrap();
        answer["value"].clone()
    }

    async fn go(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// What a script says; scripts of the driver are above the page's policy.
    async fn ask(&self, script: &str) -> Value {
        self.post("execute/sync", json!({ "script": format!("return {script}"), "args": [] })).await
    }

    async fn command(&self, name: &str, parameters: Value) {
        self.post("goog/cdp/execute", json!({ "cmd": name, "params": parameters })).await;
    }

    async fn element(&self, css: &str) -> String {
        let found = self.post("element", json!({ "using": "css selector", "value": css })).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    async fn enter(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.post(&format!("element/{element}/clear"), json!({})).await;
        self.post(&format!("element/{element}/value"), json!({ "text": text })).await;
    }

    async fn click(&self, css: &str) {
        let element = self.element(css).await;
        self.post(&format!("element/{element}/click"), json!({})).await;
    }

    /// Waits for a page: what a click leads to may take a moment.
    async fn shows(&self, headline: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let head = self.ask("document.querySelector('h1')?.textContent").await;
            if head == json!(headline) {
                return;
            }
            if std::time::Instant::now() > deadline {
                let body = self.ask("document.body.textContent").await;
                panic!("{headline:?} does not come; there is {body}");
            }
        }
    }

    /// Waits until the page complains.
    async fn told(&self) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let alert = self.ask("document.querySelector('[role=alert]')?.textContent").await;
            if !alert.is_null() {
                return alert;
            }
            assert!(std::time::Instant::now() < deadline, "the page does not complain");
        }
    }

    async fn screenshot(&self, name: &str) -> Vec<u8> {
        let picture = self.get("screenshot").await;
        let picture = base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("issuer-pages");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), &picture).unwrap();
        picture
    }

    async fn close(self) {
        self.http.delete(&self.session).send().await.unwrap();
    }
}

/// The relying party's side of the redirect: takes one request, gives its target.
async fn callback(listener: TcpListener) -> String {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 8192];
        let length = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..length]).into_owned();
        let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 12\r\nconnection: close\r\n\r\n<p>Back.</p>";
        stream.write_all(page.as_bytes()).await.unwrap();
        let target = head.split(' ').nth(1).unwrap_or_default();
        if target.starts_with("/callback?") {
            return target.to_owned();
        }
    }
}

#[tokio::test]
async fn a_person_logs_in_on_a_small_screen_by_day_and_by_night() {
    let Some(window) = Window::open().await else { return };
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let redirect = format!("http://{}/callback", listener.local_addr().unwrap());
    let back = tokio::spawn(callback(listener));
    let small = json!({ "width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": true });
    window.command("Emulation.setDeviceMetricsOverride", small).await;

    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        window.command("Emulation.setEmulatedMedia", features).await;
        window.go(&world.wish(&[("redirect_uri", &redirect)])).await;
        assert_eq!(window.get("title").await, json!("Log in · Aphex"));
        let width = window.ask("document.documentElement.scrollWidth").await;
        assert_eq!(width, json!(320), "nothing is cut off, nothing scrolls sideways");
        assert_eq!(window.ask("document.activeElement.id").await, json!("login"));
        assert!(window.screenshot(&format!("login-{scheme}.png")).await.len() > 2000);
        let colors =
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color].join()";
        grounds.push(window.ask(colors).await);
    }
    assert_ne!(grounds[0], grounds[1], "the style sheet is taken, and knows both");

    window.enter("#login", "ada@example.com").await;
    window.enter("#password", "wrong").await;
    window.click("button").await;
    let alert = window.told().await;
    assert!(alert.as_str().unwrap().contains("do not belong together"), "{alert}");
    assert_eq!(window.ask("document.activeElement.id").await, json!("password"), "what to type again");
    assert_eq!(window.ask("document.querySelector('#password').value").await, json!(""));
    window.screenshot("login-wrong.png").await;

    window.enter("#password", PASSWORD).await;
    window.click("button").await;
    let target = timeout(PATIENCE, back).await.expect("the browser goes back to the application").unwrap();
    let url = url::Url::parse(&format!("http://127.0.0.1{target}")).unwrap();
    let code = url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let bought = world
        .token(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &redirect),
            ("code_verifier", VERIFIER),
        ])
        .await;
    assert!(bought.value["id_token"].is_string(), "{}", bought.value);

    window.go(&world.at_path("/")).await;
    assert_eq!(window.ask("document.querySelector('h1').textContent").await, json!("You are logged in"));
    let cookies = window.ask("document.cookie").await;
    assert_eq!(cookies, json!(""), "no script can read the session");
    window.screenshot("home.png").await;
    window.click("button").await;
    window.shows("You are logged out").await;
    window.close().await;
}

#[tokio::test]
async fn a_person_looks_after_the_account_on_a_small_screen() {
    let Some(window) = Window::open().await else { return };
    let world = World::new().await;
    let small = json!({ "width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": true });
    window.command("Emulation.setDeviceMetricsOverride", small).await;
    // Somebody else's look at the account, and an application's.
    let mut other = Browser::new();
    other.log_in(&world, &world.wish(&[])).await;
    world.tokens().await;

    window.go(&world.at_path("/password")).await;
    window.enter("#login", "ada").await;
    window.enter("#password", PASSWORD).await;
    window.click("button").await;
    window.shows("Change your password").await;
    for scheme in ["light", "dark"] {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        window.command("Emulation.setEmulatedMedia", features).await;
        for (path, name) in [("/", "account"), ("/password", "password"), ("/sessions", "sessions")] {
            window.go(&world.at_path(path)).await;
            let width = window.ask("document.documentElement.scrollWidth").await;
            assert_eq!(width, json!(320), "{path}: nothing is cut off, nothing scrolls sideways");
            assert!(window.screenshot(&format!("{name}-{scheme}.png")).await.len() > 2000);
        }
    }
    let count = "document.querySelectorAll('ul.places li').length";
    assert_eq!(window.ask(count).await, json!(4), "three browsers and what one of them was given");
    assert!(window.ask("document.body.textContent").await.as_str().unwrap().contains("Chrome on"));
    window.click("button[value='all.others']").await;
    let deadline = std::time::Instant::now() + PATIENCE;
    while window.ask(count).await != json!(1) {
        assert!(std::time::Instant::now() < deadline, "the others are still there");
    }
    assert!(other.get(&world.at_path("/")).await.html.contains("<h1>Log in</h1>"));

    window.go(&world.at_path("/password")).await;
    window.enter("#current", PASSWORD).await;
    window.enter("#password", "nine green lanterns").await;
    window.enter("#repeated", "nine green lanterns").await;
    window.click("button").await;
    window.shows("Your password is changed").await;
    window.go(&world.at_path("/")).await;
    window.shows("You are logged in").await;
    window.close().await;
}
