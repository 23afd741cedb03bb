//! A running `aphex issuer` with people in it.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use aphex_auth::pki::Authority;
use aphex_testkit::eventually;
use serde_json::Value;

use crate::it::program::aphex;

/// Everybody's, in these tests.
const PASSWORD: &str = "a kestrel over wet slate roofs";
/// Nobody listens there: sessions read where they are sent.
const REDIRECT: &str = "http://localhost:8000/callback";

/// Somebody with one group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    pub(super) email: &'static str,
    pub(super) name: &'static str,
    pub(super) group: &'static str,
}

/// How it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Http,
    Tls,
}

/// An issuer on a port of its own; ended when dropped.
pub(super) struct Provider {
    child: Child,
    folder: tempfile::TempDir,
    over: Over,
    pub(super) url: String,
}

impl Provider {
    /// Starts one and waits until it answers.
    pub(super) async fn start(over: Over) -> anyhow::Result<Self> {
        Self::start_with(over, &[]).await
    }

    /// The same with more arguments.
    pub(super) async fn start_with(over: Over, more: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // A client's configuration has the address before the issuer runs, so the port is chosen here.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = aphex();
        command.arg("issuer").arg("--data-dir").arg(folder.path());
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        let scheme = match over {
            Over::Http => "http",
            Over::Tls => {
                let (pki, now) = (folder.path().join("pki"), jiff::Timestamp::now());
                let authority = Authority::load_or_create(&pki, now)?;
                // Writes the server's certificate and key beside the authority's.
                authority.server_config(&["127.0.0.1".to_owned(), "localhost".to_owned()], now)?;
                command.arg("--tls-cert").arg(pki.join("server.crt"));
                command.arg("--tls-key").arg(pki.join("server.key"));
                "https"
            }
        };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let log = File::create(folder.path().join("issuer.log"))?;
        command
            .args(["--issuer-url", &url])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().context("cannot run aphex issuer")?;
        let mut provider = Self { child, folder, over, url };
        let mut client = reqwest::Client::builder();
        if over == Over::Tls {
            client = client.tls_certs_only([reqwest::Certificate::from_pem(&std::fs::read(provider.ca())?)?]);
        }
        let (client, health) = (client.build()?, format!("{}/healthz", provider.url));
        let answers = || async { Ok(client.get(&health).send().await?.status().is_success().then_some(())) };
        let ready = eventually("the issuer answers", answers).await;
        if ready.is_err() {
            provider.end();
            let said = std::fs::read_to_string(provider.folder.path().join("issuer.log"));
            return ready.context(said.unwrap_or_default()).map(|()| provider);
        }
        Ok(provider)
    }

    /// The authority of its certificate.
    pub(super) fn ca(&self) -> PathBuf {
        self.folder.path().join("pki/ca.crt")
    }

    /// Adds somebody.
    pub(super) fn person(&self, person: &Person) -> anyhow::Result<()> {
        let mut add = aphex();
        add.args(["user", "add", person.name, "--email", person.email, "--group", person.group]);
        add.arg("--data-dir").arg(self.folder.path());
        if self.over == Over::Tls {
            add.arg("--issuer-ca").arg(self.ca());
        }
        let mut child = add.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("a pipe")?.write_all(format!("{PASSWORD}\n").as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "cannot add {}: {said}", person.name);
        Ok(())
    }

    /// What a session is told, for somebody.
    pub(super) fn session(&self, person: &Person, mut command: Command) -> Command {
        command
            .env("OIDC_ISSUER", &self.url)
            .env("OIDC_CLIENT_ID", "aphex")
            .env("OIDC_REDIRECT_URI", REDIRECT)
            .env("OIDC_USER", person.email)
            .env("OIDC_PASSWORD", PASSWORD)
            .env("OIDC_GROUP", person.group);
        if self.over == Over::Tls {
            command.env("SSL_CERT_FILE", self.ca());
        }
        command
    }

    /// Secret and redirect URI of a client that has a secret.
    pub(super) fn confidential(&self, id: &str) -> anyhow::Result<(String, String)> {
        let text = std::fs::read_to_string(self.folder.path().join("issuer/clients.yaml"))?;
        let clients: Vec<Value> = serde_saphyr::from_str(&text)?;
        let client =
            clients.iter().find(|client| client["id"] == id).context("the issuer knows the client")?;
        let text =
            |value: &Value| value.as_str().map(str::to_owned).context("it has a secret and a redirect URI");
        Ok((text(&client["secret"])?, text(&client["redirectURIs"][0])?))
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.end();
    }
}
