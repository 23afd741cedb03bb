//! An issuer with one person, who is logged in, two clients, and a token for its REST interface.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

use aphex_issuer::audit::Actor;
use aphex_issuer::clients::Client;
use aphex_issuer::directory::{Kind, NewToken, NewUser, Scope};
use aphex_issuer::{Algorithm, Audit, Clients, Config, Directory, Issuer, IssuerUrl, Settings, Storage};
use aphex_runtime::Clock;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime::{Builder, Runtime};

/// The issuer's own address.
pub const URL: &str = "http://127.0.0.1:5556";
/// Where the public client may be answered, at any port.
pub const CALLBACK: &str = "http://127.0.0.1:8000/callback";
/// Where the other may.
pub const WEB_CALLBACK: &str = "https://argocd.home.local/auth/callback";
/// What nobody may ever be sent.
const PASSWORD: &str = "eleven purple kettles";
/// Requests until there is a new issuer, so that what they leave behind stays small.
const LIFE: u32 = 4_000;

/// An issuer to ask.
pub struct Provider {
    runtime: Runtime,
    issuer: Arc<Issuer>,
    /// A session of the person, as a cookie.
    pub cookie: String,
    /// A token that may everything.
    pub token: String,
    asked: Cell<u32>,
}

/// An answer, read whole.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Where it leads.
    pub location: String,
    /// What it says.
    pub body: String,
    cookies: Vec<String>,
}

thread_local! {
    static PROVIDER: RefCell<Option<Provider>> = const { RefCell::new(None) };
}

/// Does something with the process's issuer.
pub fn with(work: impl FnOnce(&Provider)) {
    PROVIDER.with_borrow_mut(|provider| {
        if provider.as_ref().is_some_and(|provider| provider.asked.get() > LIFE) {
            *provider = None;
        }
        work(provider.get_or_insert_with(Provider::start));
    });
}

impl Provider {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (issuer, token) = runtime.block_on(issuer());
        let mut provider = Self { runtime, issuer, cookie: String::new(), token, asked: Cell::new(0) };
        provider.log_in();
        provider
    }

    fn log_in(&mut self) {
        let page = self.ask(&Method::GET, "/login", &[], "");
        let field = page.body.split("name=\"form\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("form", field.expect("the page has a form"))
            .append_pair("login", "ada")
            .append_pair("password", PASSWORD)
            .finish();
        let cookies = page.cookies.join("; ");
        let headers = [("cookie", cookies.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let answer = self.ask(&Method::POST, "/login", &headers, &body);
        self.cookie = [page.cookies, answer.cookies].concat().join("; ");
        assert!(self.cookie.contains("session"), "{}: {}", answer.status, answer.body);
    }

    /// Sends a request; whatever it is, it has an answer that is no failure of the issuer's.
    pub fn ask(&self, method: &Method, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let asked = self.asked.get() + 1;
        self.asked.set(asked);
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let Ok(request) = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))) else {
            return Answer {
                status: StatusCode::OK,
                location: String::new(),
                body: String::new(),
                cookies: Vec::new(),
            };
        };
        // Each from another address: who guesses is made to wait, and would learn nothing.
        let source = IpAddr::from((0x0a00_0000 + asked).to_be_bytes());
        let response = self.runtime.block_on(self.issuer.respond(request, source));
        let (head, body) = response.into_parts();
        let body = self.runtime.block_on(body.collect()).expect("bytes").to_bytes();
        let text = |name| head.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let cookies = head.headers.get_all(header::SET_COOKIE).iter();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next().map(str::to_owned));
        let answer = Answer {
            status: head.status,
            location: text(header::LOCATION).unwrap_or_default().to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
            cookies: cookies.collect(),
        };
        assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.body);
        assert!(is_ours(&answer.location), "{}", answer.location);
        answer
    }
}

/// Whether a redirect leads to the issuer itself or to a client.
fn is_ours(location: &str) -> bool {
    let own = location.is_empty() || (location.starts_with('/') && !location[1..].starts_with(['/', '\\']));
    let any_port = location.strip_prefix("http://127.0.0.1").is_some_and(|rest| {
        let path =
            rest.strip_prefix(':').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        path.starts_with("/callback")
    });
    own || any_port || location.starts_with(WEB_CALLBACK) || location.starts_with(URL)
}

async fn issuer() -> (Arc<Issuer>, String) {
    let (storage, clock) = (Storage::memory().expect("memory"), Clock::system());
    let directory = Directory::open(storage.clone(), clock.clone(), Audit::traced(clock.clone())).await;
    let (directory, by) = (directory.expect("a directory"), Actor::system());
    let ada = NewUser {
        username: "ada".to_owned(),
        email: "ada@example.com".to_owned(),
        email_verified: true,
        active: true,
        groups: vec!["platform-engineering".to_owned()],
        password: Some(SecretString::from(PASSWORD)),
        ..NewUser::default()
    };
    directory.create_user(ada, &by).await.expect("a person");
    let robot = NewUser {
        username: "robot".to_owned(),
        active: true,
        kind: Kind::ServiceAccount,
        ..NewUser::default()
    };
    let robot = directory.create_user(robot, &by).await.expect("a service account");
    let token = NewToken { identifier: "all".to_owned(), scopes: Scope::ALL.into(), ..NewToken::default() };
    let (_, token) = directory.create_token(&robot.uid, token, &by).await.expect("a token");
    let client = |id: &str, uri: &str, secret: Option<&str>| Client {
        id: id.to_owned(),
        name: id.to_owned(),
        redirect_uris: vec![uri.to_owned()],
        post_logout_redirect_uris: Vec::new(),
        trusted_peers: Vec::new(),
        secret: secret.map(SecretString::from),
        issuer: URL.to_owned(),
    };
    let clients = [
        client("aphex", CALLBACK, None),
        client("argocd", WEB_CALLBACK, Some("confidential+secret/of argocd")),
    ];
    let url = IssuerUrl::parse(URL).expect("an issuer's URL");
    let settings = Settings { algorithm: Algorithm::ES256, ..Settings::new(url) };
    let config = Config { settings, clients: Clients::new(clients), storage, directory, clock };
    (Issuer::start(config).await.expect("an issuer"), token.expose_secret().to_owned())
}
