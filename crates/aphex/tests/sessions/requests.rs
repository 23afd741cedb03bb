//! Plain requests to an engine, without a client library between.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aphex_testkit::Access;
use reqwest::{Certificate, Client, Identity, Method, Response};
use serde_json::Value;

/// Headers of an answer that are part of the protocol.
const HEADERS: [&str; 5] = ["content-type", "location", "retry-after", "warning", "www-authenticate"];

/// Two clients: the administrator, and somebody without a certificate.
pub(crate) struct Requests {
    server: String,
    admin: Client,
    nobody: Client,
}

/// One request.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
    /// A bearer token; empty for no identity at all.
    pub(crate) token: Option<String>,
}

/// Its answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    pub(crate) body: String,
}

impl Answer {
    /// The body, when it is JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }
}

impl Requests {
    pub(crate) fn new(access: &Access) -> anyhow::Result<Self> {
        // The second one in the process finds it installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = || {
            let ca = Certificate::from_pem(access.ca.as_bytes())?;
            let settings = Client::builder().tls_certs_only([ca]).user_agent("sessions");
            Ok::<_, anyhow::Error>(settings.redirect(reqwest::redirect::Policy::none()).no_proxy())
        };
        let identity = Identity::from_pem(format!("{}{}", access.certificate, access.key).as_bytes())?;
        Ok(Self {
            server: access.server.clone(),
            admin: builder()?.identity(identity).build()?,
            nobody: builder()?.build()?,
        })
    }

    /// Reads something as the administrator.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(Asked { method: "GET".to_owned(), path: path.to_owned(), ..Asked::default() }).await
    }

    /// A request with its whole answer.
    pub(crate) async fn ask(&self, asked: Asked) -> anyhow::Result<Answer> {
        let response = self.open(asked).await?;
        let (code, headers) = (response.status().as_u16(), headers(&response));
        Ok(Answer { code, headers, body: response.text().await? })
    }

    /// A request whose answer is read until so many lines came or it ends; a refusal is one line.
    pub(crate) async fn lines(&self, asked: Asked, wanted: Option<usize>) -> anyhow::Result<Answer> {
        let mut response = self.open(asked).await?;
        let (code, headers) = (response.status().as_u16(), headers(&response));
        let (mut body, mut lines) = (Vec::new(), 0);
        while wanted.is_none_or(|wanted| lines < wanted) {
            let Some(chunk) = response.chunk().await? else { break };
            lines += chunk.split(|byte| *byte == b'\n').count() - 1;
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { code, headers, body: String::from_utf8(body)? })
    }

    async fn open(&self, asked: Asked) -> anyhow::Result<Response> {
        let client = if asked.token.is_some() { &self.nobody } else { &self.admin };
        let method = Method::from_bytes(asked.method.as_bytes())?;
        let mut request = client.request(method, format!("{}{}", self.server, asked.path));
        for (name, value) in &asked.headers {
            request = request.header(name, value);
        }
        if let Some(token) = asked.token.filter(|token| !token.is_empty()) {
            request = request.bearer_auth(token);
        }
        if let Some(body) = asked.body {
            request = request.body(body);
        }
        request.send().await.with_context(|| format!("{} {}", asked.method, asked.path))
    }
}

fn headers(response: &Response) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in response.headers() {
        if HEADERS.contains(&name.as_str()) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            found.entry(name.as_str().to_owned()).or_default().push(value);
        }
    }
    found
}
