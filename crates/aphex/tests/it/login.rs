//! Logging in: a browser (or none), the kubeconfig it leaves, real kubectl with it, and how a login goes on and ends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use aphex_testkit::issuer::Issuer;
use aphex_testkit::{engine, left_out};
use regex::Regex;
use serde_json::{Value, json};

use super::program::{Up, aphex};

/// What somebody has in their kubeconfig already.
const MINE: &str = "# my clusters\napiVersion: v1\nkind: Config\ncurrent-context: work   # do not touch\ncontexts:\n- name: work\n  context: {cluster: work, user: me}\nclusters:\n- name: work\n  cluster: {server: \"https://work.example\"}\nusers:\n- name: me\n  user:\n    token: abc # of last year\nx-mine: [1, 2]\n";

/// Somebody's home, with a kubeconfig.
pub(super) struct Home {
    pub(super) folder: tempfile::TempDir,
    /// Further kubeconfig files.
    more: Vec<PathBuf>,
}

impl Home {
    pub(super) fn new(more: &[&Path]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let home = Self { folder, more: more.iter().map(|path| (*path).to_owned()).collect() };
        std::fs::write(home.config(), MINE)?;
        std::fs::create_dir(home.folder.path().join("bin"))?;
        Ok(home)
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    fn text(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.config())?)
    }

    fn dress(&self, command: &mut Command) {
        let paths: Vec<PathBuf> = [self.config()].into_iter().chain(self.more.iter().cloned()).collect();
        let own = self.folder.path().join("bin");
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.folder.path().join("settings"))
            .env("XDG_DATA_HOME", self.folder.path().join("data"))
            .env("KUBECONFIG", std::env::join_paths(paths).unwrap_or_default())
            .env("PATH", format!("{}:{path}", own.display()))
            // Somebody could see a browser, and none opens.
            .env("BROWSER", "true");
    }

    pub(super) fn aphex(&self, arguments: &[&str]) -> Command {
        let mut command = aphex();
        self.dress(&mut command);
        command.args(arguments);
        command
    }

    /// Runs a command that must succeed; gives what it printed.
    pub(super) fn ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.aphex(arguments).output()?;
        ensure!(output.status.success(), "aphex {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    pub(super) fn kubectl(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(program);
        self.dress(&mut command);
        Ok(command.args(arguments).output()?)
    }

    /// Begins to log in, until an address for the browser is shown.
    fn begin(&self, arguments: &[&str]) -> anyhow::Result<Begun> {
        let mut child = self.aphex(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut errors = BufReader::new(child.stderr.take().context("no standard error")?);
        let (mut said, mut address) = (String::new(), None);
        while address.is_none() {
            let mut line = String::new();
            ensure!(errors.read_line(&mut line)? > 0, "no address was shown: {said}");
            address = line.trim().starts_with("http").then(|| line.trim().to_owned());
            said.push_str(&line);
        }
        Ok(Begun { child, errors, said, address: address.unwrap_or_default() })
    }

    /// Logs in with a browser that is an HTTP client; gives what was printed to both outputs.
    async fn log_in(&self, arguments: &[&str]) -> anyhow::Result<(String, String)> {
        let begun = self.begin(arguments)?;
        let page = reqwest::get(&begun.address).await?;
        ensure!(
            page.status().is_success() && page.text().await?.contains("You are logged in"),
            "the browser sees"
        );
        begun.finish()
    }

    /// Changes what is kept of the only login.
    fn change_session(&self, change: impl FnOnce(&mut Value)) -> anyhow::Result<()> {
        let path = self.session()?.context("nobody is logged in")?;
        let mut session: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        change(&mut session);
        Ok(std::fs::write(path, session.to_string())?)
    }

    fn session(&self) -> anyhow::Result<Option<PathBuf>> {
        let folder = self.folder.path().join("settings/aphex/sessions");
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// A login that waits for the browser.
struct Begun {
    child: Child,
    errors: BufReader<ChildStderr>,
    said: String,
    address: String,
}

impl Begun {
    /// What was printed to both outputs.
    fn finish(mut self) -> anyhow::Result<(String, String)> {
        self.errors.read_to_string(&mut self.said)?;
        let output = self.child.wait_with_output()?;
        ensure!(output.status.success(), "{}", self.said);
        Ok((String::from_utf8(output.stdout)?, self.said))
    }
}

/// A browser at the real issuer: keeps cookies, sends forms with their hidden fields.
#[derive(Default)]
pub(super) struct Browser {
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// That of Grace, who made herself the administrator; and the issuer's address.
    pub(super) async fn of_the_administrator(up: &Up) -> anyhow::Result<(Self, String)> {
        let (setup, issuer) = (up.told("First login").await?, up.told("Logins").await?);
        let mut browser = Self::default();
        let administrator = [
            ("username", "grace"),
            ("name", "Grace Hopper"),
            ("email", "grace@example.com"),
            ("password", "nine green kettles sing"),
            ("repeated", "nine green kettles sing"),
        ];
        browser.fill(&setup, &format!("{issuer}/setup"), &administrator).await?;
        Ok((browser, issuer))
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header("cookie", cookies.join("; ")).send().await?;
        for cookie in response.headers().get_all("set-cookie") {
            let (name, rest) = cookie.to_str()?.split_once('=').context("a cookie has a value")?;
            let value = rest.split(';').next().unwrap_or_default();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        Ok(response)
    }

    /// Opens a page with a form, and sends it.
    pub(super) async fn fill(
        &mut self,
        page: &str,
        action: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let html = self.send(http.get(page)).await?.text().await?;
        let hidden = Regex::new("type=\"hidden\" name=\"([^\"]+)\" value=\"([^\"]*)\"")?;
        let mut form: Vec<(String, String)> =
            hidden.captures_iter(&html).map(|found| (found[1].to_owned(), found[2].to_owned())).collect();
        form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let answer = self.send(http.post(action).form(&form)).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{status}: {text}");
        Ok(text)
    }

    /// Follows an address over redirects to a page.
    pub(super) async fn visit(&mut self, address: &str) -> anyhow::Result<String> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let mut at = address.to_owned();
        for _ in 0..5 {
            let answer = self.send(http.get(&at)).await?;
            match answer.headers().get("location") {
                Some(to) => at = reqwest::Url::parse(&at)?.join(to.to_str()?)?.to_string(),
                None => return Ok(answer.text().await?),
            }
        }
        anyhow::bail!("{address} leads in a circle")
    }
}

pub(super) fn provide_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A login of somebody whose cluster is not asked for anything.
async fn logged_in(issuer: &Issuer) -> anyhow::Result<Home> {
    provide_tls();
    let home = Home::new(&[])?;
    home.log_in(&[
        "login",
        "--with",
        "aphex",
        "--issuer",
        issuer.url(),
        "--server",
        "https://cluster.example",
    ])
    .await?;
    Ok(home)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_gives_kubectl_a_context_in_which_the_groups_decide() -> anyhow::Result<()> {
    let Some(kubectl) = engine("kubectl")? else {
        left_out("kubectl with the context of a login", "kubectl is not there");
        return Ok(());
    };
    provide_tls();
    let (issuer, data) = (Issuer::start().await?, tempfile::tempdir()?);
    let trust = data.path().join("authentication.json");
    std::fs::write(&trust, issuer.configuration(&["aphex", "kubernetes"]).to_string())?;
    let trust = trust.to_string_lossy().into_owned();
    let up = Up::start_with(data.path(), &["--authentication-config", &trust])?;
    let admin = |arguments: &[&str]| -> anyhow::Result<()> {
        let status =
            Command::new(&kubectl).arg("--kubeconfig").arg(&up.kubeconfig).args(arguments).status()?;
        ensure!(status.success(), "kubectl {arguments:?}");
        Ok(())
    };
    admin(&["create", "clusterrole", "readers", "--verb=get,list", "--resource=configmaps"])?;
    admin(&[
        "create",
        "clusterrolebinding",
        "readers",
        "--clusterrole=readers",
        "--group=platform-engineering",
    ])?;
    admin(&["create", "configmap", "sample", "--from-literal=a=b"])?;

    let home = Home::new(&[&up.kubeconfig])?;
    let (answer, said) = home.log_in(&["login", "--with", "aphex", "--issuer", issuer.url()]).await?;
    ensure!(answer.contains("as jane@example.com (groups: platform-engineering)"), "{answer}");
    ensure!(said.contains("kubectl --context aphex"), "{said}");
    let who = home.kubectl(&kubectl, &["--context", "aphex", "auth", "whoami", "-o", "json"])?;
    let who: Value =
        serde_json::from_slice(&who.stdout).context(String::from_utf8_lossy(&who.stderr).into_owned())?;
    ensure!(who["status"]["userInfo"]["username"] == "jane@example.com", "{who}");
    ensure!(
        who["status"]["userInfo"]["groups"] == json!(["platform-engineering", "system:authenticated"]),
        "{who}"
    );
    let read = home.kubectl(&kubectl, &["--context", "aphex", "get", "configmap", "sample", "-o", "name"])?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let delete = home.kubectl(&kubectl, &["--context", "aphex", "delete", "configmap", "sample"])?;
    let refusal = String::from_utf8_lossy(&delete.stderr).into_owned();
    ensure!(!delete.status.success() && refusal.contains("\"jane@example.com\" cannot delete"), "{refusal}");

    let shown = home.ok(&["--context", "aphex", "whoami", "-n", "default"])?;
    ensure!(
        shown.contains("jane@example.com") && shown.contains("configmaps") && shown.contains("get list"),
        "{shown}"
    );
    let shown: Value = serde_json::from_str(&home.ok(&["--context", "aphex", "whoami", "-o", "json"])?)?;
    let right = json!({ "resource": "configmaps", "verbs": ["get", "list"] });
    ensure!(shown["rights"].as_array().is_some_and(|rights| rights.contains(&right)), "{shown}");
    // The administrator's own entries and the current context are as they were.
    let text = home.text()?;
    for line in MINE.lines() {
        ensure!(text.lines().any(|kept| kept == line), "lost {line:?}: {text}");
    }
    admin(&["get", "configmap", "sample"])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubeconfig_keeps_what_is_not_ours_and_its_file_as_it_is() -> anyhow::Result<()> {
    provide_tls();
    let (issuer, home) = (Issuer::start().await?, Home::new(&[])?);
    // Kept elsewhere, for the group to read.
    let real = home.folder.path().join("dotfiles");
    std::fs::rename(home.config(), &real)?;
    std::os::unix::fs::symlink(&real, home.config())?;
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640))?;
    let login =
        ["login", "--with", "aphex", "--issuer", issuer.url(), "--server", "https://cluster.example:6443"];
    home.log_in(&login).await?;
    let first = home.text()?;
    let config: Value = serde_saphyr::from_str(&first)?;
    ensure!(config["current-context"] == "work", "{first}");
    ensure!(
        first.contains("work   # do not touch") && first.contains("token: abc # of last year"),
        "{first}"
    );
    ensure!(std::fs::symlink_metadata(home.config())?.is_symlink(), "the link is followed, not replaced");
    ensure!(std::fs::metadata(&real)?.permissions().mode() & 0o777 == 0o640, "the mode is kept");
    home.log_in(&login).await?;
    ensure!(home.text()? == first, "a second login changes nothing");
    // Issuer and server are remembered; only --use makes it the current context.
    let (told, _) = home.log_in(&["login", "--with", "aphex", "--use", "-o", "json"]).await?;
    let told: Value = serde_json::from_str(&told)?;
    ensure!(
        told["username"] == "jane@example.com"
            && told["context"] == "aphex"
            && told["current"] == true
            && told["issuer"] == issuer.url()
            && told["kubeconfig"] == home.config().to_string_lossy().as_ref(),
        "{told}"
    );
    ensure!(
        home.text()? == first.replace("current-context: work ", "current-context: aphex "),
        "{}",
        home.text()?
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_kubelogin_the_entries_are_the_seed_s_and_ask_for_what_makes_a_user() -> anyhow::Result<()> {
    let home = Home::new(&[])?;
    let called = home.folder.path().join("called");
    for name in ["kubectl", "kubectl-oidc_login"] {
        let path = home.folder.path().join("bin").join(name);
        let mut file = std::fs::File::create(&path)?;
        writeln!(file, "#!/bin/sh\n[ -e {}/refuse ] && exit 1", home.folder.path().display())?;
        writeln!(file, "echo \"$@\" >> {}\necho a-token", called.display())?;
        file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    }
    std::fs::remove_file(home.config())?;
    let answer = home.ok(&[
        "login",
        "--issuer",
        "https://dex.home.local",
        "--server",
        "https://cluster.home.local:6443",
        "--use",
    ])?;
    ensure!(!answer.contains("a-token"), "tokens are not printed: {answer}");
    let wanted = "apiVersion: v1\nkind: Config\nclusters:\n  - name: aphex\n    cluster:\n      server: https://cluster.home.local:6443\nusers:\n  - name: aphex\n    user:\n      exec:\n        apiVersion: client.authentication.k8s.io/v1beta1\n        command: kubectl\n        args:\n          - oidc-login\n          - get-token\n          - --oidc-issuer-url=https://dex.home.local\n          - --oidc-client-id=kubernetes\n          - --oidc-extra-scope=email\n          - --oidc-extra-scope=profile\n          - --oidc-extra-scope=groups\n          - --oidc-extra-scope=offline_access\ncontexts:\n  - name: aphex\n    context:\n      cluster: aphex\n      user: aphex\ncurrent-context: aphex\n";
    ensure!(home.text()? == wanted, "{}", home.text()?);
    let said = std::fs::read_to_string(called)?;
    ensure!(
        said == "oidc-login get-token --oidc-issuer-url=https://dex.home.local --oidc-client-id=kubernetes --oidc-extra-scope=email --oidc-extra-scope=profile --oidc-extra-scope=groups --oidc-extra-scope=offline_access\n",
        "{said}"
    );
    // Who could not log in keeps what worked before.
    std::fs::write(home.folder.path().join("refuse"), "")?;
    let elsewhere = ["login", "--with", "kubelogin", "--issuer", "https://nobody.home.local", "--use"];
    ensure!(!home.aphex(&elsewhere).output()?.status.success(), "a login that failed is told");
    ensure!(home.text()? == wanted, "{}", home.text()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_plugin_prints_a_credential_and_nothing_else() -> anyhow::Result<()> {
    let issuer = Issuer::start().await?;
    let home = logged_in(&issuer).await?;
    let path = home.session()?.context("nobody is logged in")?;
    ensure!(std::fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600, "its owner alone may read it");
    let url = issuer.url().to_owned();
    let token = ["token", "--oidc-issuer-url", &url, "--oidc-client-id=aphex"];
    let output = home.aphex(&token).output()?;
    ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let credential: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(credential["apiVersion"] == "client.authentication.k8s.io/v1", "{credential}");
    ensure!(credential["kind"] == "ExecCredential", "{credential}");
    ensure!(credential["status"]["token"].as_str().is_some_and(|token| token.split('.').count() == 3));
    let until: jiff::Timestamp =
        credential["status"]["expirationTimestamp"].as_str().unwrap_or_default().parse()?;
    ensure!((now() + 3000..now() + 3600).contains(&until.as_second()), "{until}");
    // The last minute is spent on a new one; where there is none, the old one is good until it ends.
    home.change_session(|session| session["expires"] = json!(now() + 30))?;
    drop(issuer);
    let late: Value = serde_json::from_str(&home.ok(&token)?)?;
    ensure!(late["status"]["token"] == credential["status"]["token"], "it is good for another 30 seconds");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_processes_one_renews_the_login() -> anyhow::Result<()> {
    let issuer = Issuer::start().await?;
    let home = logged_in(&issuer).await?;
    for round in 1..=2 {
        home.change_session(|session| session["expires"] = json!(now() - 5))?;
        let token = ["token", "--issuer", issuer.url()];
        let started: Vec<_> = (0..20)
            .map(|_| home.aphex(&token).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
            .collect::<Result<_, _>>()?;
        let mut answers = Vec::new();
        for child in started {
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            answers.push(output.stdout);
        }
        ensure!(answers.iter().all(|answer| *answer == answers[0]), "all have the new token");
        ensure!(issuer.refreshes() == round, "{} refreshes in round {round}", issuer.refreshes());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_revoked_says_what_to_do() -> anyhow::Result<()> {
    let issuer = Issuer::start().await?;
    let home = logged_in(&issuer).await?;
    issuer.revoke_all();
    home.change_session(|session| session["expires"] = json!(now() - 5))?;
    let output = home.aphex(&["token", "--issuer", issuer.url()]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(5) && output.stdout.is_empty(), "{said}");
    ensure!(said.contains("jane@example.com") && said.contains("run `aphex login`"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_revokes_and_forgets() -> anyhow::Result<()> {
    let issuer = Issuer::start().await?;
    let home = logged_in(&issuer).await?;
    ensure!(issuer.sessions() == 1, "one refresh token");
    let answer: Value = serde_json::from_str(&home.ok(&["logout", "-o", "json"])?)?;
    let ended = &answer["sessions"][0];
    ensure!(ended["username"] == "jane@example.com" && ended["revoked"] == true, "{answer}");
    ensure!(issuer.sessions() == 0 && home.session()?.is_none(), "nothing is left");
    let output = home.aphex(&["token", "--issuer", issuer.url()]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(5) && said.contains("run `aphex login`"), "{said}");
    ensure!(home.ok(&["logout"])?.contains("Nobody is logged in"), "a second time");
    Ok(())
}

fn without_browser(issuer: &str) -> [&str; 8] {
    ["login", "--with", "aphex", "--no-browser", "--issuer", issuer, "--server", "https://a.example"]
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_browser_a_code_is_entered_elsewhere() -> anyhow::Result<()> {
    provide_tls();
    let (issuer, home) = (Issuer::start().await?, Home::new(&[])?);
    let login = without_browser(issuer.url());
    let mut child = home.aphex(&login).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut errors = BufReader::new(child.stderr.take().context("no standard error")?);
    let mut code = None;
    while code.is_none() {
        let mut line = String::new();
        ensure!(errors.read_line(&mut line)? > 0, "no code was shown");
        code = line
            .split_once("enter the code ")
            .and_then(|(_, rest)| rest.split(' ').next())
            .map(str::to_owned);
    }
    ensure!(issuer.approve(&code.unwrap_or_default()), "the issuer knows the code");
    let output = child.wait_with_output()?;
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success() && answer.contains("jane@example.com"), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_device_flow_the_address_is_pasted() -> anyhow::Result<()> {
    provide_tls();
    let (issuer, home) = (Issuer::start().await?, Home::new(&[])?);
    issuer.change_discovery("device_authorization_endpoint", Value::Null);
    let login = without_browser(issuer.url());
    for honest in [true, false] {
        let mut child =
            home.aphex(&login).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut errors = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut address = String::new();
        while !address.trim().starts_with("http") {
            address.clear();
            ensure!(errors.read_line(&mut address)? > 0, "no address was shown");
        }
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let answer = browser.get(address.trim()).send().await?;
        let mut came_to = answer.headers()["location"].to_str()?.to_owned();
        if !honest {
            came_to = came_to.replace("state=", "state=x");
        }
        let mut input = child.stdin.take().context("no standard input")?;
        writeln!(input, "{came_to}")?;
        drop(input);
        let output = child.wait_with_output()?;
        let mut said = String::new();
        errors.read_to_string(&mut said)?;
        ensure!(output.status.success() == honest, "{said}");
        ensure!(honest || said.contains("not the answer to this login"), "{said}");
    }
    Ok(())
}

#[test]
fn a_login_without_a_cluster_or_an_issuer_says_what_is_missing() -> anyhow::Result<()> {
    let home = Home::new(&[])?;
    std::fs::remove_file(home.config())?;
    let said = |arguments: &[&str]| -> anyhow::Result<(Option<i32>, String)> {
        let output = home.aphex(arguments).output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let (code, text) = said(&["login", "--with", "aphex"])?;
    ensure!(code == Some(2) && text.contains("--server"), "{text}");
    let nowhere =
        ["login", "--with", "aphex", "--issuer", "http://127.0.0.1:1", "--server", "https://a.example"];
    let (code, text) = said(&nowhere)?;
    ensure!(code == Some(6) && text.contains("no issuer answers") && text.contains("--issuer"), "{text}");
    let (code, text) = said(&[
        "login",
        "--with",
        "aphex",
        "--issuer",
        "http://dex.home.local",
        "--server",
        "https://a.example",
    ])?;
    ensure!(code == Some(2) && text.contains("https://"), "{text}");
    ensure!(!home.config().exists(), "nothing was written");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_s_own_issuer_and_engine_belong_together() -> anyhow::Result<()> {
    provide_tls();
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path())?;
    let (mut browser, issuer) = Browser::of_the_administrator(&up).await?;

    let home = Home::new(&[&up.kubeconfig])?;
    let begun = home.begin(&["login", "--with", "aphex", "--issuer", &issuer])?;
    let page = browser.visit(&begun.address).await?;
    ensure!(page.contains("You are logged in"), "{page}");
    let (answer, _) = begun.finish()?;
    ensure!(answer.contains("as grace@example.com (groups: "), "{answer}");
    // Everything from here on is asked with the token, at the engine of the same process.
    let who: Value = serde_json::from_str(&home.ok(&["--context", "aphex", "whoami", "-o", "json"])?)?;
    ensure!(who["username"] == "grace@example.com", "{who}");
    ensure!(answer.contains(who["groups"][0].as_str().unwrap_or("no group")), "{answer} {who}");

    let token = ["token", "--issuer", &issuer];
    let first = home.ok(&token)?;
    home.change_session(|session| session["expires"] = json!(now() - 5))?;
    let second = home.ok(&token)?;
    ensure!(first != second, "it is renewed");
    home.ok(&["--context", "aphex", "whoami"])?;
    // Twenty that renew at once look like no thief: the token is rotated once, and the next time again.
    for _ in 0..2 {
        home.change_session(|session| session["expires"] = json!(now() - 5))?;
        let command = || home.aphex(&token).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let started: Vec<_> = (0..20).map(|_| command()).collect::<Result<_, _>>()?;
        let mut answers = Vec::new();
        for child in started {
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            answers.push(output.stdout);
        }
        ensure!(answers.iter().all(|answer| *answer == answers[0]), "all have the same new token");
    }
    let log = std::fs::read_to_string(data.path().join("issuer/audit.log"))?;
    ensure!(!log.contains("tokens.replayed"), "{log}");
    // One login, a renewal before, and one of each twenty.
    ensure!(log.matches("tokens.issued").count() == 4, "{log}");
    // What was kept is of no use after logging out.
    let path = home.session()?.context("nobody is logged in")?;
    let kept = std::fs::read(&path)?;
    ensure!(home.ok(&["logout"])?.contains("Logged out grace@example.com at"), "the issuer was told");
    std::fs::write(&path, kept)?;
    home.change_session(|session| session["expires"] = json!(now() - 5))?;
    let output = home.aphex(&token).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(5) && said.contains("run `aphex login`"), "{said}");

    // A machine without a browser is let in from this one, in which Grace is still logged in.
    let begun = home.begin(&["login", "--with", "aphex", "--no-browser", "--issuer", &issuer])?;
    let done = browser.fill(&begun.address, &format!("{issuer}/device"), &[("answer", "allow")]).await?;
    ensure!(done.contains("You are logged in on your device"), "{done}");
    ensure!(begun.finish()?.0.contains("as grace@example.com"), "the device is logged in");
    Ok(())
}
