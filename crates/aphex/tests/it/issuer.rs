//! The issuer of the built program: the first login, a kill, TLS, what it says when it cannot start.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::Value;

use super::program::aphex;

const PATIENCE: Duration = Duration::from_mins(1);
const PASSWORD: &str = "eleven purple kettles";
const CALLBACK: &str = "http://127.0.0.1:43117/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A running `aphex issuer` or `aphex up`; killed when dropped.
struct Running {
    child: Child,
    url: String,
    setup: Option<String>,
}

impl Running {
    /// Starts it and reads the addresses that it prints, up to `last`.
    fn start(arguments: &[&str], data: &Path, words: [&str; 2], last: &str) -> anyhow::Result<Self> {
        let mut child = aphex()
            .args(arguments)
            .arg("--data-dir")
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().context("no standard output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut running = Self { child, url: String::new(), setup: None };
        loop {
            let line = lines.recv_timeout(PATIENCE).context("it did not become ready")?;
            let mut parts = line.trim().split("  ").filter(|part| !part.is_empty());
            match (parts.next(), parts.next()) {
                (Some(word), Some(url)) if word == words[0] => url.trim().clone_into(&mut running.url),
                (Some(word), Some(url)) if word == words[1] => running.setup = Some(url.trim().to_owned()),
                _ => {}
            }
            if line.contains(last) {
                return Ok(running);
            }
        }
    }

    fn alone(data: &Path, more: &[&str]) -> anyhow::Result<Self> {
        let mut arguments = vec!["issuer"];
        arguments.extend_from_slice(more);
        // The link comes last, and only while it is needed.
        let last = if data.join("issuer").exists() { "Issuer" } else { "Open the link" };
        Self::start(&arguments, data, ["Issuer", "Set up"], last)
    }

    fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A browser that keeps cookies, and the program that it logs in to.
struct Person {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Person {
    fn new(authority: Option<&str>) -> anyhow::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // A connection kept for the next request would be one to a process that was killed.
        let mut builder =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0);
        if let Some(pem) = authority {
            builder = builder.tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes())?]);
        }
        Ok(Self { http: builder.build()?, cookies: BTreeMap::new() })
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header(COOKIE, cookies.join("; ")).send().await?;
        for cookie in response.headers().get_all(SET_COOKIE) {
            let (name, rest) = cookie.to_str()?.split_once('=').context("no cookie")?;
            self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap_or_default().to_owned());
        }
        Ok(response)
    }

    /// Opens a page and sends its form, filled in.
    async fn fill(
        &mut self,
        base: &str,
        page: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<reqwest::Response> {
        let html = self.send(self.http.get(page)).await?.error_for_status()?.text().await?;
        let action = html.split_once("action=\"").and_then(|(_, rest)| rest.split('"').next());
        let action = action.with_context(|| format!("no form in {html}"))?;
        let mut form: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for rest in html.split("<input type=\"hidden\" name=\"").skip(1) {
            let (name, rest) = rest.split_once("\" value=\"").context("a field without a value")?;
            let value = rest.split('"').next().unwrap_or_default().replace("&amp;", "&");
            form.push((name.to_owned(), value));
        }
        self.send(self.http.post(format!("{base}{action}")).form(&form)).await
    }

    /// Makes the first administrator.
    async fn set_up(&mut self, base: &str, link: &str) -> anyhow::Result<()> {
        let fields = [
            ("username", "ada"),
            ("email", "ada@example.com"),
            ("password", PASSWORD),
            ("repeated", PASSWORD),
        ];
        self.fill(base, link, &fields).await?.error_for_status()?;
        Ok(())
    }

    fn wish(base: &str) -> anyhow::Result<String> {
        let parameters = [
            ("client_id", "aphex"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid email groups offline_access"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        Ok(reqwest::Url::parse_with_params(&format!("{base}/auth"), parameters)?.to_string())
    }

    async fn tokens(&mut self, base: &str, answer: &reqwest::Response) -> anyhow::Result<Value> {
        let to = answer.headers().get(LOCATION).context("no redirect")?.to_str()?;
        let to = reqwest::Url::parse(to)?;
        let code = to.query_pairs().find(|(name, _)| name == "code").context("no code")?.1.into_owned();
        self.buy(
            base,
            &[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", CALLBACK),
                ("code_verifier", VERIFIER),
            ],
        )
        .await
    }

    async fn buy(&mut self, base: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
        let mut whole = vec![("client_id", "aphex")];
        whole.extend_from_slice(form);
        let answer = self.http.post(format!("{base}/token")).form(&whole).send().await?;
        let text = answer.text().await?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }
}

fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name].as_str().with_context(|| format!("no {name} in {value}"))
}

#[tokio::test]
async fn logins_begin_with_the_link_and_outlive_a_kill() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let running = Running::alone(folder.path(), &["--listen", &free])?;
    let base = running.url.clone();
    assert_eq!(base, format!("http://{free}"));
    let mut person = Person::new(None)?;
    let link = running.setup.clone().context("no link is printed")?;
    person.set_up(&base, &link).await?;
    let fields = [("login", "ada"), ("password", PASSWORD)];
    let mut other = Person::new(None)?;
    let answer = other.fill(&base, &Person::wish(&base)?, &fields).await?;
    let first = other.tokens(&base, &answer).await?;
    let second = other
        .buy(&base, &[("grant_type", "refresh_token"), ("refresh_token", text(&first, "refresh_token")?)])
        .await?;
    running.kill();

    let running = Running::alone(folder.path(), &["--listen", &free])?;
    assert_eq!(running.setup, None, "the administrator is made");
    // The session is still there: no page comes in between.
    let answer = person.send(person.http.get(Person::wish(&base)?)).await?;
    person.tokens(&base, &answer).await?;
    let third = other
        .buy(&base, &[("grant_type", "refresh_token"), ("refresh_token", text(&second, "refresh_token")?)])
        .await?;
    let me =
        other.http.get(format!("{base}/userinfo")).bearer_auth(text(&third, "access_token")?).send().await?;
    let me: Value = serde_json::from_str(&me.text().await?)?;
    assert_eq!(me["email"], "ada@example.com");
    assert_eq!(me["groups"], serde_json::json!(["admins", "platform-admins"]));

    let kept = std::fs::read(folder.path().join("issuer/issuer.redb"))?;
    let log = std::fs::read_to_string(folder.path().join("issuer/audit.log"))?;
    let secret = link.split_once("token=").context("no token in the link")?.1;
    for secret in [PASSWORD, secret, text(&third, "refresh_token")?, text(&third, "access_token")?] {
        assert!(
            !kept.windows(secret.len()).any(|part| part == secret.as_bytes()),
            "{secret} is kept in clear"
        );
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(log.contains("login.succeeded") && log.contains("tokens.issued"), "{log}");
    Ok(())
}

#[tokio::test]
async fn it_serves_tls_under_its_public_name() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let url = format!("https://localhost:{}", free.port());
    let data = folder.path().join("data");
    let listen = free.to_string();
    let running = Running::alone(
        &data,
        &[
            "--listen",
            &listen,
            "--issuer-url",
            &url,
            "--tls-cert",
            &certificate.to_string_lossy(),
            "--tls-key",
            &key.to_string_lossy(),
            "--signing-algorithm",
            "es256",
            "--id-token-lifetime",
            "15m",
        ],
    )?;
    assert_eq!(running.url, url);
    let mut person = Person::new(Some(&made.cert.pem()))?;
    person.set_up(&url, running.setup.as_deref().context("no link")?).await?;
    assert!(person.cookies.keys().all(|name| name.starts_with("__Host-")), "{:?}", person.cookies);
    let answer = person.send(person.http.get(Person::wish(&url)?)).await?;
    let tokens = person.tokens(&url, &answer).await?;
    assert_eq!(tokens["expires_in"], 900);
    let header = text(&tokens, "id_token")?.split('.').next().unwrap_or_default();
    let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header)?;
    assert_eq!(serde_json::from_slice::<Value>(&header)?["alg"], "ES256");
    Ok(())
}

#[tokio::test]
async fn up_serves_it_too_and_prints_where() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let arguments = ["up", "--api-port", "0", "--gateway-port", "0", "--issuer-port", "0"];
    let running = Running::start(&arguments, folder.path(), ["Logins", "First login"], "Ctrl-C stops")?;
    let metadata = Person::new(None)?.http.get(format!("{}/.well-known/openid-configuration", running.url));
    let metadata: Value = serde_json::from_str(&metadata.send().await?.text().await?)?;
    assert_eq!(metadata["issuer"], running.url.as_str());
    Person::new(None)?.set_up(&running.url, running.setup.as_deref().context("no link")?).await?;
    let without = ["up", "--api-port", "0", "--gateway-port", "0", "--without", "issuer"];
    let other = tempfile::tempdir()?;
    let running = Running::start(&without, other.path(), ["Logins", "First login"], "Ctrl-C stops")?;
    assert_eq!((running.url.as_str(), &running.setup), ("", &None));
    Ok(())
}

#[test]
fn what_keeps_it_from_starting_is_said_with_the_flag_that_helps() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let busy = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = busy.local_addr()?.port().to_string();
    let up = ["up", "--api-port", "0", "--gateway-port", "0", "--issuer-port", &port];
    let listen = format!("127.0.0.1:{port}");
    let clients = folder.path().join("clients.yaml");
    std::fs::write(&clients, "- id: web\n")?;
    let clients = clients.to_string_lossy().into_owned();
    for (arguments, part) in [
        (&up[..], "--issuer-port"),
        (&["issuer", "--listen", &listen][..], "--listen"),
        (&["issuer", "--listen", "127.0.0.1:0", "--issuer-url", "http://dex.home.local"][..], "--issuer-url"),
        (&["issuer", "--listen", "127.0.0.1:0", "--clients", &clients][..], "secretEnv"),
        (&["issuer", "--listen", "127.0.0.1:0", "--id-token-lifetime", "0s"][..], "--id-token-lifetime"),
        (
            &["issuer", "--listen", "127.0.0.1:0", "--tls-cert", "none.crt", "--tls-key", "none.key"][..],
            "none.crt",
        ),
    ] {
        let output = aphex().args(arguments).arg("--data-dir").arg(folder.path().join("data")).output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    Ok(())
}
