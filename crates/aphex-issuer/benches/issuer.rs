//! Logins and refreshes a second, over HTTP on loopback, with records on disk: `cargo bench -p aphex-issuer`.
//!
//! A login is all that a browser and a relying party do: the page, the form with the password (argon2id), the code for
//! tokens. Refreshes are of eight clients at once, each with its own refresh token, each made durable.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aphex_issuer::audit::Actor;
use aphex_issuer::clients::Client;
use aphex_issuer::directory::NewUser;
use aphex_issuer::{Algorithm, Audit, Clients, Config, Directory, Issuer, IssuerUrl, Settings, Storage};
use aphex_runtime::{Clock, Shutdown};
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;

const PASSWORD: &str = "eleven purple kettles";
const CALLBACK: &str = "http://127.0.0.1:8000/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const AT_ONCE: usize = 8;
const LONG: Duration = Duration::from_secs(5);

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome<()> {
    // Only on `cargo bench`: tests of all targets run this program too, without the flag.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Outcome<()> {
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        let folder = tempfile::tempdir()?;
        let (url, shutdown) = start(folder.path(), algorithm).await?;
        let logins = measure(async |number| log_in(&url, number).await.map(drop)).await?;
        let mut tokens = Vec::new();
        for number in 0..AT_ONCE {
            tokens.push(tokio::sync::Mutex::new(log_in(&url, number).await?));
        }
        let refreshes = measure(async |number| {
            let mut token = tokens.get(number).ok_or("a worker too many")?.lock().await;
            *token = refresh(&url, &token).await?;
            Ok(())
        })
        .await?;
        let line = format!(
            "{}: {logins:.0} logins a second, {refreshes:.0} refreshes a second, {AT_ONCE} at once",
            algorithm.as_str()
        );
        writeln!(std::io::stdout().lock(), "{line}")?;
        shutdown.drain(LONG).await;
    }
    Ok(())
}

async fn start(folder: &std::path::Path, algorithm: Algorithm) -> Outcome<(String, Shutdown)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (storage, clock) = (Storage::open(folder).await?, Clock::system());
    let audit = Audit::open(folder, clock.clone())?;
    let directory = Directory::open(storage.clone(), clock.clone(), audit).await?;
    // One for each worker: many attempts at one account at once are slowed down.
    for number in 0..AT_ONCE {
        let person = NewUser {
            username: format!("person-{number}"),
            email: format!("person-{number}@example.com"),
            active: true,
            password: Some(SecretString::from(PASSWORD)),
            ..NewUser::default()
        };
        directory.create_user(person, &Actor::system()).await?;
    }
    let client = Client {
        id: "aphex".to_owned(),
        name: "Aphex".to_owned(),
        redirect_uris: vec![CALLBACK.to_owned()],
        post_logout_redirect_uris: Vec::new(),
        trusted_peers: Vec::new(),
        secret: None,
        issuer: url.clone(),
    };
    let settings = Settings { algorithm, ..Settings::new(IssuerUrl::parse(&url)?) };
    let config = Config { settings, clients: Clients::new([client]), storage, directory, clock };
    let issuer = Issuer::start(config).await?;
    let shutdown = Shutdown::new();
    shutdown.spawn(Arc::clone(&issuer).serve(listener, None, shutdown.clone()));
    Ok((url, shutdown))
}

/// How often a second the work is done by so many at once.
async fn measure(work: impl AsyncFn(usize) -> Outcome<()>) -> Outcome<f64> {
    let since = Instant::now();
    let worker = async |number| {
        let mut done = 0_u32;
        while since.elapsed() < LONG {
            work(number).await?;
            done += 1;
        }
        Outcome::Ok(done)
    };
    let done = futures::future::try_join_all((0..AT_ONCE).map(worker)).await?;
    Ok(f64::from(done.into_iter().sum::<u32>()) / since.elapsed().as_secs_f64())
}

fn http() -> &'static reqwest::Client {
    static CLIENT: std::sync::OnceLock<reqwest::Client> = std::sync::OnceLock::new();
    CLIENT.get_or_init(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap_or_default()
    })
}

/// Everything from the wish to the refresh token.
async fn log_in(url: &str, number: usize) -> Outcome<String> {
    let wish = [
        ("client_id", "aphex"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email groups offline_access"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let page = http().get(format!("{url}/auth")).query(&wish).send().await?;
    let cookie = page.headers().get("set-cookie").ok_or("the page sets no cookie")?.to_str()?.to_owned();
    let cookie = cookie.split(';').next().unwrap_or_default();
    let html = page.text().await?;
    let fields = html.split("<input type=\"hidden\" name=\"").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once("\" value=\"")?;
        Some((name.to_owned(), rest.split('"').next()?.replace("&amp;", "&")))
    });
    let mut form: BTreeMap<String, String> = fields.collect();
    form.insert("login".to_owned(), format!("person-{number}"));
    form.insert("password".to_owned(), PASSWORD.to_owned());
    let answer = http().post(format!("{url}/login")).header("cookie", cookie).form(&form).send().await?;
    let to = answer.headers().get("location").ok_or("the login is refused")?.to_str()?;
    let to = url::Url::parse(to)?;
    let code = to.query_pairs().find(|(name, _)| name == "code").ok_or("no code comes")?.1.into_owned();
    let form = [
        ("client_id", "aphex"),
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    tokens(url, &form).await
}

async fn refresh(url: &str, token: &str) -> Outcome<String> {
    tokens(url, &[("client_id", "aphex"), ("grant_type", "refresh_token"), ("refresh_token", token)]).await
}

async fn tokens(url: &str, form: &[(&str, &str)]) -> Outcome<String> {
    let answer = http().post(format!("{url}/token")).form(form).send().await?;
    let answer: Value = answer.json().await?;
    Ok(answer["refresh_token"].as_str().ok_or("no refresh token comes")?.to_owned())
}
