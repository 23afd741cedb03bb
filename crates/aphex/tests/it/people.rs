//! Users and groups from the command line, Authentik's interface, and logins at another provider: the built program.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};

use super::program::aphex;

const PATIENCE: Duration = Duration::from_mins(1);
const PASSWORD: &str = "analytical engine";
/// Of `dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk` (RFC 7636 appendix B).
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT: &str = "http://127.0.0.1:39999/callback";

/// A running `aphex issuer`; killed when dropped.
struct Issuer {
    child: Child,
    url: String,
}

impl Issuer {
    fn start(data: &Path, more: &[&str]) -> anyhow::Result<Self> {
        Self::start_at(data, "127.0.0.1:0", more)
    }

    fn start_at(data: &Path, listen: &str, more: &[&str]) -> anyhow::Result<Self> {
        let mut child = aphex()
            .args(["issuer", "--listen", listen, "--data-dir"])
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("no standard output")?;
        let mut errors = child.stderr.take().context("no standard error")?;
        let (sender, found) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(url) = line.trim().strip_prefix("Issuer") {
                    let _ = sender.send(url.trim().to_owned());
                }
            }
        });
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut issuer = Self { child, url: String::new() };
        if let Ok(url) = found.recv_timeout(PATIENCE) {
            issuer.url = url;
        } else {
            issuer.kill();
            anyhow::bail!("`aphex issuer` did not start; it said:\n{}", said.join().unwrap_or_default());
        }
        Ok(issuer)
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command on a data folder, with a text as standard input.
fn run(data: &Path, arguments: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut child = aphex()
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // A command that wants no input may have ended before.
    let _ = child.stdin.take().context("no standard input")?.write_all(input.as_bytes());
    Ok(child.wait_with_output()?)
}

fn ok(data: &Path, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let output = run(data, arguments, input)?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "aphex {arguments:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

/// A command that is refused: its exit code, and what it said.
fn refused(data: &Path, arguments: &[&str], input: &str) -> anyhow::Result<(i32, String)> {
    let output = run(data, arguments, input)?;
    let code = output.status.code().context("killed")?;
    anyhow::ensure!(code != 0, "aphex {arguments:?} succeeded");
    Ok((code, String::from_utf8(output.stderr)?))
}

fn add_ada(data: &Path) -> anyhow::Result<()> {
    let arguments =
        ["user", "add", "ada", "--email", "ada@example.com", "--name", "Ada", "--group", "admins"];
    ok(data, &arguments, &format!("{PASSWORD}\n")).map(drop)
}

/// A browser: follows redirects as long as they stay with issuers, and keeps cookies of each origin.
struct Browser {
    client: Client,
    cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// Everything it was sent to.
    trail: Vec<String>,
}

impl Browser {
    fn new() -> anyhow::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { client, cookies: BTreeMap::new(), trail: Vec::new() })
    }

    async fn get(&mut self, url: &str) -> anyhow::Result<(Url, Response)> {
        let url = Url::parse(url)?;
        let request = self.client.get(url.clone());
        self.follow(url, request).await
    }

    async fn post(&mut self, url: &Url, form: &[(String, String)]) -> anyhow::Result<(Url, Response)> {
        let request = self.client.post(url.clone()).form(form);
        self.follow(url.clone(), request).await
    }

    async fn follow(
        &mut self,
        mut url: Url,
        mut request: reqwest::RequestBuilder,
    ) -> anyhow::Result<(Url, Response)> {
        for _ in 0..10 {
            let origin = url.origin().ascii_serialization();
            self.trail.push(url.to_string());
            let jar = self.cookies.entry(origin).or_default();
            let cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            if !cookies.is_empty() {
                request = request.header("cookie", cookies.join("; "));
            }
            let response = request.send().await?;
            for cookie in response.headers().get_all("set-cookie") {
                let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
                let (name, value) = cookie.split_once('=').context("no cookie")?;
                jar.insert(name.to_owned(), value.to_owned());
            }
            let Some(next) = response.headers().get("location") else { return Ok((url, response)) };
            url = url.join(next.to_str()?)?;
            if url.as_str().starts_with(REDIRECT) {
                return Ok((url, response));
            }
            request = self.client.get(url.clone());
        }
        anyhow::bail!("redirected for ever: {:#?}", self.trail)
    }

    /// Fills the login page in; gives where that led to.
    async fn log_in(&mut self, page: (Url, Response), password: &str) -> anyhow::Result<(Url, Response)> {
        let (url, response) = page;
        anyhow::ensure!(response.status() == StatusCode::OK, "no login page: {}", response.status());
        let html = response.text().await?;
        let hidden = regex::Regex::new("type=\"hidden\" name=\"([^\"]*)\" value=\"([^\"]*)\"")?;
        let mut form: Vec<(String, String)> = hidden
            .captures_iter(&html)
            .map(|found| (found[1].to_owned(), found[2].replace("&amp;", "&").replace("&#39;", "'")))
            .collect();
        form.push(("login".to_owned(), "ada@example.com".to_owned()));
        form.push(("password".to_owned(), password.to_owned()));
        self.post(&url.join("/login")?, &form).await
    }
}

fn authorize(issuer: &str) -> String {
    format!(
        "{issuer}/auth?client_id=aphex&response_type=code&scope=openid+profile+email+groups&state=s1&nonce=n1\
         &redirect_uri={REDIRECT}&code_challenge={CHALLENGE}&code_challenge_method=S256"
    )
}

/// Exchanges the code in the redirect; gives the claims of the ID token.
async fn claims(issuer: &str, back: &Url) -> anyhow::Result<Value> {
    anyhow::ensure!(back.as_str().starts_with(REDIRECT), "not sent back: {back}");
    let query: BTreeMap<String, String> = back.query_pairs().into_owned().collect();
    anyhow::ensure!(query.get("state").is_some_and(|state| state == "s1"), "{query:?}");
    let code = query.get("code").with_context(|| format!("no code: {query:?}"))?;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "aphex"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("code", code),
    ];
    let response = Browser::new()?.client.post(format!("{issuer}/token")).form(&form).send().await?;
    let tokens: Value = response.json().await?;
    let token = tokens["id_token"].as_str().with_context(|| format!("no ID token: {tokens}"))?;
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).context("no token")?)?;
    Ok(serde_json::from_slice(&payload)?)
}

#[test]
fn users_and_groups_are_kept_over_a_kill() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let data = data.path();
    let (code, told) = refused(data, &["user", "list"], "")?;
    assert!(code == 6 && told.contains("no issuer was started") && told.contains("aphex up"), "{told}");

    let mut issuer = Issuer::start(data, &[])?;
    add_ada(data)?;
    ok(data, &["group", "add", "payments"], "")?;
    ok(data, &["group", "add-member", "payments", "ada@example.com"], "")?;
    ok(data, &["user", "add", "grace", "--email", "grace@example.com", "--no-password"], "")?;
    let (code, told) = refused(data, &["user", "passwd", "grace"], "short\n")?;
    assert!(code == 5 && told.contains("at least 12"), "{told}");
    let weak = ["user", "add", "eve", "--email", "eve@example.com"];
    let (_, told) = refused(data, &weak, "short\n")?;
    assert!(told.contains("eve was not created"), "{told}");
    ok(data, &["user", "disable", "grace"], "")?;
    issuer.kill();

    let (code, told) = refused(data, &["user", "list"], "")?;
    assert!(code == 6 && told.contains("does not answer") && told.contains("aphex issuer"), "{told}");
    let _issuer = Issuer::start(data, &[])?;
    let users: Value = serde_json::from_str(&ok(data, &["user", "list", "-o", "json"], "")?)?;
    let told: Vec<String> = users
        .as_array()
        .context("no list")?
        .iter()
        .map(|user| format!("{} {} {}", user["username"], user["is_active"], user["groups"]))
        .collect();
    assert_eq!(
        told,
        [r#""ada" true ["admins","payments"]"#, r#""aphex-command-line" true []"#, r#""grace" false []"#]
    );
    assert_eq!(ok(data, &["user", "list", "--group", "payments", "-o", "name"], "")?, "user/ada\n");
    let (code, told) = refused(data, &["user", "get", "nobody"], "")?;
    assert!(code == 4 && told.contains("aphex user list"), "{told}");
    ok(data, &["group", "remove-member", "payments", "ada"], "")?;
    ok(data, &["group", "delete", "payments", "--yes"], "")?;
    ok(data, &["user", "delete", "grace", "--yes"], "")?;
    assert!(!ok(data, &["user", "list"], "")?.contains("grace"));

    let folder = data.join("issuer");
    for file in ["issuer.key", "admin.json", "audit.log"] {
        let mode = std::fs::metadata(folder.join(file))?.permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let log = std::fs::read_to_string(folder.join("audit.log"))?;
    for line in log.lines() {
        serde_json::from_str::<Value>(line)?;
    }
    assert!(log.contains(r#""action":"user.deleted","actor":"token:aphex-command-line","address":"127.0.0.1","subject":"grace""#), "{log}");
    assert!(!log.contains(PASSWORD) && !log.contains("short"), "{log}");
    Ok(())
}

#[test]
fn a_watch_shows_who_is_new_who_changes_and_who_goes() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let data = data.path();
    let _issuer = Issuer::start(data, &[])?;
    add_ada(data)?;
    let mut watch = aphex()
        .args(["user", "list", "--watch", "--search", "ada", "--data-dir"])
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().context("no standard output")?).lines();
    let mut next = || -> anyhow::Result<Vec<String>> {
        let line = lines.next().context("the watch has ended")??;
        Ok(line.split_whitespace().map(str::to_owned).collect())
    };
    let watched = (|| {
        assert_eq!(next()?[..3], ["USERNAME", "EMAIL", "STATE"]);
        assert_eq!(next()?[..3], ["ada", "ada@example.com", "active"]);
        ok(data, &["user", "disable", "ada"], "")?;
        assert_eq!(next()?[..3], ["ada", "ada@example.com", "disabled"]);
        ok(data, &["user", "delete", "ada", "--yes"], "")?;
        assert_eq!(next()?[..3], ["ada", "ada@example.com", "disabled"], "as it was");
        ok(data, &["user", "add", "adam", "--email", "adam@example.com", "--no-password"], "")?;
        assert_eq!(next()?[..2], ["adam", "adam@example.com"]);
        anyhow::Ok(())
    })();
    let _ = watch.kill();
    let _ = watch.wait();
    watched
}

#[test]
fn a_watch_of_one_shows_its_changes_alone_and_its_end() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let data = data.path();
    let _issuer = Issuer::start(data, &[])?;
    add_ada(data)?;
    ok(data, &["group", "add", "payments"], "")?;
    let mut watching = Vec::new();
    for what in [["user", "get", "ada"], ["group", "get", "payments"]] {
        let watch = aphex().args(what).args(["-w", "--data-dir"]).arg(data).stdout(Stdio::piped()).spawn()?;
        watching.push(watch);
    }
    let mut read = Vec::new();
    for watch in &mut watching {
        read.push(BufReader::new(watch.stdout.take().context("no standard output")?).lines());
    }
    let mut next = |of: usize| -> anyhow::Result<Vec<String>> {
        let line = read[of].next().context("the watch has ended")??;
        Ok(line.split_whitespace().map(str::to_owned).collect())
    };
    let watched = (|| {
        assert_eq!(next(0)?[..2], ["USERNAME", "EMAIL"]);
        assert_eq!(next(0)?[..3], ["ada", "ada@example.com", "active"]);
        assert_eq!(next(1)?, ["NAME", "MEMBERS"]);
        assert_eq!(next(1)?, ["payments"]);
        // Another whose name is alike is another.
        ok(data, &["user", "add", "adam", "--email", "adam@example.com", "--no-password"], "")?;
        ok(data, &["group", "add-member", "payments", "ada"], "")?;
        assert_eq!(next(1)?, ["payments", "ada"]);
        assert_eq!(next(0)?[..4], ["ada", "ada@example.com", "active", "admins,payments"]);
        ok(data, &["user", "delete", "ada", "--yes"], "")?;
        assert_eq!(next(0)?[..4], ["ada", "ada@example.com", "active", "admins,payments"], "as it was");
        assert_eq!(next(1)?, ["payments"]);
        ok(data, &["group", "delete", "payments", "--yes"], "")?;
        assert_eq!(next(1)?, ["payments"], "as it was");
        anyhow::Ok(())
    })();
    for watch in &mut watching {
        let _ = watch.kill();
        let _ = watch.wait();
    }
    watched?;
    let answer = run(data, &["group", "get", "nobody", "--watch"], "")?;
    assert_eq!(answer.status.code(), Some(4));
    Ok(())
}

#[test]
fn a_service_account_may_what_its_scopes_say() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let data = data.path();
    let _issuer = Issuer::start(data, &[])?;
    let token = ok(data, &["user", "add", "backup", "--service-account", "--scope", "users:read"], "")?;
    let file = data.join("token");
    std::fs::write(&file, &token)?;
    let file = file.to_str().context("odd path")?;
    assert!(ok(data, &["user", "list", "--token-file", file], "")?.contains("backup"));
    let (code, told) = refused(data, &["user", "delete", "backup", "--yes", "--token-file", file], "")?;
    assert!(code == 5 && told.contains("no scope"), "{told}");
    std::fs::write(file, "guess")?;
    let (code, told) = refused(data, &["user", "list", "--token-file", file], "")?;
    assert!(code == 5 && told.contains("does not know the token"), "{told}");
    Ok(())
}

#[tokio::test]
async fn dex_sends_people_to_authentik_and_they_come_back_with_their_groups() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let data = data.path();
    let mut first = Issuer::start(data, &["--chain-authentik"])?;
    add_ada(data)?;
    first.kill();
    // At another port the chain follows.
    let issuer = Issuer::start(data, &["--chain-authentik"])?;
    let mut browser = Browser::new()?;
    let page = browser.get(&authorize(&issuer.url)).await?;
    assert!(page.0.path().starts_with("/application/o/authorize"), "{}", page.0);
    let (back, _) = browser.log_in(page, PASSWORD).await?;
    let claims = claims(&issuer.url, &back).await?;
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["email"], &claims["groups"], &claims["nonce"]),
        (&json!(issuer.url), &json!("aphex"), &json!("ada@example.com"), &json!(["admins"]), &json!("n1"))
    );
    let callback = format!("{}/callback", issuer.url);
    let callback =
        browser.trail.iter().find(|url| url.starts_with(&callback)).context("no way back")?.clone();
    // What came back once is worth nothing a second time, and nothing in another browser.
    assert_eq!(browser.get(&callback).await?.1.status(), StatusCode::BAD_REQUEST);
    assert_eq!(Browser::new()?.get(&callback).await?.1.status(), StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn people_of_another_provider_are_users_here_with_its_groups() -> anyhow::Result<()> {
    let (there, here) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let provider = Issuer::start(there.path(), &[])?;
    add_ada(there.path())?;
    let access: Value = serde_json::from_slice(&std::fs::read(there.path().join("issuer/admin.json"))?)?;
    let upstream = here.path().join("upstream.yaml");
    let name = format!("{}/application/o/dex/", provider.url);
    std::fs::write(
        &upstream,
        format!("issuer: {name}\nclientID: dex-client\nclientSecret: a secret & more\n"),
    )?;
    let issuer = Issuer::start(here.path(), &["--upstream", upstream.to_str().context("odd path")?])?;
    let mut browser = Browser::new()?;
    let change = json!({ "client_secret": "a-secret", "redirect_uris": format!("{}/callback", issuer.url) });
    let patched = browser
        .client
        .patch(format!("{}/api/v3/providers/oauth2/1/", provider.url))
        .bearer_auth(access["token"].as_str().context("no token")?)
        .json(&change)
        .send()
        .await?;
    assert_eq!(patched.json::<Value>().await?["client_secret"], "***");

    // The secret of the file is another one: nobody gets in.
    let page = browser.get(&authorize(&issuer.url)).await?;
    assert!(page.0.as_str().starts_with(&provider.url), "{}", page.0);
    let (_, wrong) = browser.log_in(page, PASSWORD).await?;
    assert_eq!(wrong.status(), StatusCode::BAD_GATEWAY);
    drop(issuer);

    std::fs::write(&upstream, format!("issuer: {name}\nclientID: dex-client\nclientSecret: a-secret\n"))?;
    let issuer = Issuer::start(here.path(), &["--upstream", upstream.to_str().context("odd path")?])?;
    let change = json!({ "redirect_uris": format!("{}/callback", issuer.url) });
    let patched = browser
        .client
        .patch(format!("{}/api/v3/providers/oauth2/1/", provider.url))
        .bearer_auth(access["token"].as_str().context("no token")?)
        .json(&change)
        .send()
        .await?;
    assert_eq!(patched.status(), StatusCode::OK);
    // The browser is logged in there: no page is between.
    let (back, _) = browser.get(&authorize(&issuer.url)).await?;
    let claims = claims(&issuer.url, &back).await?;
    assert_eq!((&claims["email"], &claims["groups"]), (&json!("ada@example.com"), &json!(["admins"])));
    let user: Value = serde_json::from_str(&ok(here.path(), &["user", "get", "ada", "-o", "json"], "")?)?;
    assert_eq!(
        (&user["upstream"], &user["has_password"], &user["uid"]),
        (&json!(name), &json!(false), &claims["sub"])
    );

    // Whoever is disabled here does not get in, whatever the other provider says.
    ok(here.path(), &["user", "disable", "ada"], "")?;
    let (_, page) = browser.get(&authorize(&issuer.url)).await?;
    assert_eq!(page.status(), StatusCode::FORBIDDEN);
    Ok(())
}

#[tokio::test]
async fn authentiks_application_is_an_issuer_of_its_own() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let issuer = Issuer::start(data.path(), &[])?;
    let client = Browser::new()?.client;
    let base = format!("{}/application/o", issuer.url);
    let document: Value =
        client.get(format!("{base}/dex/.well-known/openid-configuration")).send().await?.json().await?;
    for (name, path) in [
        ("issuer", "dex/"),
        ("authorization_endpoint", "authorize/"),
        ("token_endpoint", "token/"),
        ("userinfo_endpoint", "userinfo/"),
        ("end_session_endpoint", "dex/end-session/"),
        ("jwks_uri", "dex/jwks/"),
    ] {
        assert_eq!(document[name], format!("{base}/{path}"), "{name}");
    }
    let keys: Value = client.get(format!("{base}/dex/jwks/")).send().await?.json().await?;
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));
    let nothing = client.get(format!("{base}/nothing/.well-known/openid-configuration")).send().await?;
    assert_eq!(
        (nothing.status(), nothing.json::<Value>().await?),
        (StatusCode::NOT_FOUND, json!({ "detail": "Not found." }))
    );
    let configuration: Value =
        client.get(format!("{}/api/v3/{}", issuer.url, "root/config/")).send().await?.json().await?;
    assert_eq!(configuration["branding_title"], "authentik");
    Ok(())
}

#[test]
fn over_tls_the_issuers_own_certificate_is_believed_and_no_other() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let data = folder.path().join("data");
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let url = format!("https://localhost:{port}");
    let listen = format!("127.0.0.1:{port}");
    let more = ["--issuer-url", &url, "--tls-cert", &certificate, "--tls-key", &key];
    let _issuer = Issuer::start_at(&data, &listen, &more)?;
    assert!(ok(&data, &["user", "list"], "")?.contains("aphex-command-line"));
    let access: Value = serde_json::from_slice(&std::fs::read(data.join("issuer/admin.json"))?)?;
    let token = folder.path().join("token");
    std::fs::write(&token, access["token"].as_str().context("no token")?)?;
    let token = token.to_string_lossy();
    let elsewhere = folder.path().join("elsewhere");
    let arguments = ["user", "list", "--issuer", &url, "--token-file", &token];
    let (code, told) = refused(&elsewhere, &arguments, "")?;
    assert!(code == 6 && told.contains("--issuer-ca"), "{told}");
    let believed = ["user", "list", "--issuer", &url, "--token-file", &token, "--issuer-ca", &certificate];
    assert!(ok(&elsewhere, &believed, "")?.contains("aphex-command-line"));
    Ok(())
}
