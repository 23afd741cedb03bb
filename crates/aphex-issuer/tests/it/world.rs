//! An issuer with people and clients, a browser, and a relying party.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aphex_issuer::audit::Actor;
use aphex_issuer::clients::Client;
use aphex_issuer::directory::{NewUser, User};
use aphex_issuer::{Audit, Clients, Config, Directory, Issuer, IssuerUrl, Settings, Storage};
use aphex_runtime::clock::Hand;
use aphex_runtime::{Clock, Shutdown};
use jiff::Timestamp;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Response, StatusCode};
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

pub(crate) const PASSWORD: &str = "eleven purple kettles";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const CALLBACK: &str = "http://127.0.0.1:43117/callback";
pub(crate) const WEB_CALLBACK: &str = "https://argocd.home.local/auth/callback";
pub(crate) const SECRET: &str = "confidential+secret/of argocd";
pub(crate) const INVALID_GRANT: &str = "The provided authorization grant is invalid, expired, or revoked.";
/// Where the clock of every test begins.
pub(crate) const START: i64 = 1_900_000_000;

/// A running issuer.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) directory: Directory,
    pub(crate) storage: Storage,
    pub(crate) hand: Hand,
    pub(crate) ada: User,
    shutdown: Shutdown,
}

impl World {
    /// An issuer whose records live as long as the test.
    pub(crate) async fn new() -> Self {
        Self::with(Storage::memory().unwrap(), |_| ()).await
    }

    /// The same with other settings.
    pub(crate) async fn with(storage: Storage, change: impl FnOnce(&mut Settings)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::at(listener, storage, START, change).await
    }

    /// An issuer kept in a folder, on the same port as before if a listener is given.
    pub(crate) async fn kept(folder: &Path, listener: TcpListener, now: i64) -> Self {
        Self::at(listener, Storage::open(folder).await.unwrap(), now, |_| ()).await
    }

    async fn at(
        listener: TcpListener,
        storage: Storage,
        now: i64,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (clock, hand) = Clock::manual(Timestamp::from_second(now).unwrap());
        let audit = Audit::traced(clock.clone());
        let directory = Directory::open(storage.clone(), clock.clone(), audit).await.unwrap();
        let ada = match directory.by_login("ada").unwrap() {
            Some(ada) => ada,
            None => directory.create_user(ada(), &Actor::system()).await.unwrap(),
        };
        let mut settings = Settings::new(IssuerUrl::parse(&url).unwrap());
        change(&mut settings);
        let config = Config {
            settings,
            clients: clients(&url),
            storage: storage.clone(),
            directory: directory.clone(),
            clock,
        };
        let issuer = Issuer::start(config).await.unwrap();
        let shutdown = Shutdown::new();
        shutdown.spawn(Arc::clone(&issuer).serve(listener, None, shutdown.clone()));
        Self { url, issuer, directory, storage, hand, ada, shutdown }
    }

    /// Ends it as a kill would: nothing is finished in order.
    pub(crate) async fn kill(self) {
        self.shutdown.drain(Duration::from_secs(5)).await;
    }

    /// Somebody beside Ada, with the same password.
    pub(crate) async fn add_eve(&self) {
        let eve = NewUser {
            username: "eve".to_owned(),
            email: "eve@example.com".to_owned(),
            active: true,
            password: Some(SecretString::from(PASSWORD)),
            ..NewUser::default()
        };
        self.directory.create_user(eve, &Actor::system()).await.unwrap();
    }

    pub(crate) fn at_path(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The wish of the public client.
    pub(crate) fn wish(&self, more: &[(&str, &str)]) -> String {
        let usual = [
            ("client_id", "aphex"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid profile email groups offline_access"),
            ("state", "state of ada"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        self.auth(&usual, more)
    }

    /// The wish of the client that has a secret.
    pub(crate) fn web_wish(&self, more: &[(&str, &str)]) -> String {
        let usual = [
            ("client_id", "argocd"),
            ("redirect_uri", WEB_CALLBACK),
            ("response_type", "code"),
            ("scope", "openid email"),
        ];
        self.auth(&usual, more)
    }

    /// Later parameters replace earlier ones; those without a value go.
    fn auth(&self, usual: &[(&str, &str)], more: &[(&str, &str)]) -> String {
        let parameters: BTreeMap<&str, &str> = usual.iter().chain(more).copied().collect();
        let parameters = parameters.iter().filter(|(_, value)| !value.is_empty());
        Url::parse_with_params(&self.at_path("/auth"), parameters).unwrap().to_string()
    }

    /// Posts a form as the public client.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Answer {
        let mut whole = vec![("client_id", "aphex")];
        whole.extend_from_slice(form);
        self.post("/token", &whole).await
    }

    /// Buys tokens for a code.
    pub(crate) async fn buy(&self, code: &str) -> Answer {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        Answer::of(http().post(self.at_path(path)).form(form).send().await.unwrap()).await
    }

    /// Posts a form as a proxy does for somebody.
    pub(crate) async fn post_for(&self, path: &str, form: &[(&str, &str)], somebody: &str) -> Answer {
        let request = http().post(self.at_path(path)).header("x-forwarded-for", somebody).form(form);
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn userinfo(&self, token: &str) -> Answer {
        Answer::of(http().get(self.at_path("/userinfo")).bearer_auth(token).send().await.unwrap()).await
    }

    /// Logs ada in and buys tokens.
    pub(crate) async fn tokens(&self) -> Value {
        let code = Browser::new().log_in(self, &self.wish(&[])).await;
        let answer = self.buy(&code).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.value);
        answer.value
    }
}

fn ada() -> NewUser {
    NewUser {
        username: "ada".to_owned(),
        name: "Ada Lovelace".to_owned(),
        email: "ada@example.com".to_owned(),
        email_verified: true,
        active: true,
        groups: vec!["platform-engineering".to_owned(), "engineering".to_owned()],
        password: Some(SecretString::from(PASSWORD)),
        ..NewUser::default()
    }
}

fn clients(issuer: &str) -> Clients {
    let client = |id: &str, uri: &str, secret: Option<&str>| Client {
        id: id.to_owned(),
        name: format!("<{id}>"),
        redirect_uris: vec![uri.to_owned()],
        post_logout_redirect_uris: vec![format!("{uri}/logged-out")],
        trusted_peers: if id == "kubernetes" { vec!["aphex".to_owned()] } else { Vec::new() },
        secret: secret.map(SecretString::from),
        issuer: issuer.to_owned(),
    };
    Clients::new([
        client("aphex", "http://127.0.0.1/callback", None),
        client("kubernetes", "http://localhost:8000/callback", None),
        client("argocd", WEB_CALLBACK, Some(SECRET)),
    ])
}

/// One client for all tests: reading the system's certificates takes long. It keeps no connections, which would belong to
/// the runtime of the test that opened them.
pub(crate) fn http() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // Fails only when somebody was faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        builder.pool_max_idle_per_host(0).build().unwrap()
    })
}

/// A JSON answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) value: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        Self { status, headers, value: serde_json::from_str(&text).unwrap_or(Value::Null) }
    }

    /// Asserts an error body, word by word.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, code: &str, description: &str) {
        let expected = serde_json::json!({ "error": code, "error_description": description });
        assert_eq!((self.status.as_u16(), &self.value), (status, &expected));
    }

    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> String {
        self.value[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.value)).to_owned()
    }
}

/// A browser: keeps cookies, follows no redirect by itself, fills in forms.
#[derive(Default)]
pub(crate) struct Browser {
    pub(crate) cookies: BTreeMap<String, String>,
}

/// A page, or a redirect.
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) html: String,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) async fn get(&mut self, url: &str) -> Seen {
        self.send(http().get(url)).await
    }

    pub(crate) async fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Seen {
        self.send(http().post(url).form(form)).await
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Seen {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Seen { status, headers, html: response.text().await.unwrap() }
    }

    /// Sends the form of a page, its hidden fields included.
    pub(crate) async fn submit(&mut self, world: &World, page: &Seen, fields: &[(&str, &str)]) -> Seen {
        let action = page.attribute("<form", "action");
        let hidden = page.hidden();
        let mut form: Vec<(&str, &str)> =
            hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.extend_from_slice(fields);
        self.post(&world.at_path(&action), &form).await
    }

    /// Brings a wish, logs ada in on the page that comes, and gives the code.
    pub(crate) async fn log_in(&mut self, world: &World, wish: &str) -> String {
        let page = self.get(wish).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.html);
        let answer = self.submit(world, &page, &[("login", "ada@example.com"), ("password", PASSWORD)]).await;
        answer.code()
    }
}

impl Seen {
    /// Where a redirect leads, with its parameters.
    #[track_caller]
    pub(crate) fn location(&self) -> (String, BTreeMap<String, String>) {
        let to = self.headers.get(LOCATION).unwrap_or_else(|| panic!("{} {}", self.status, self.html));
        let url = Url::parse(to.to_str().unwrap()).unwrap();
        let parameters = url.query_pairs().into_owned().collect();
        (url.as_str().split('?').next().unwrap().to_owned(), parameters)
    }

    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let (_, parameters) = self.location();
        parameters.get("code").unwrap_or_else(|| panic!("{parameters:?}")).clone()
    }

    pub(crate) fn attribute(&self, tag: &str, name: &str) -> String {
        let rest = self.html.split_once(tag).unwrap_or_else(|| panic!("no {tag} in {}", self.html)).1;
        let rest = rest.split_once(&format!("{name}=\"")).unwrap().1;
        plain(rest.split('"').next().unwrap())
    }

    pub(crate) fn hidden(&self) -> BTreeMap<String, String> {
        let inputs = self.html.split("<input type=\"hidden\" name=\"").skip(1);
        inputs
            .map(|rest| {
                let (name, rest) = rest.split_once("\" value=\"").unwrap();
                (name.to_owned(), plain(rest.split('"').next().unwrap()))
            })
            .collect()
    }

    /// What the page complains of.
    #[track_caller]
    pub(crate) fn alert(&self) -> String {
        let rest = self.html.split_once("role=\"alert\">").unwrap_or_else(|| panic!("{}", self.html)).1;
        plain(rest.split('<').next().unwrap())
    }
}

fn plain(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
