//! Git's own server (`git http-backend`) behind a small CGI host, with repositories that a test may change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Who may read what is below `/private/`.
pub const READER: (&str, &str) = ("reader", "correct-horse-battery");
/// Larger than any answer that should be read.
const HUGE: usize = 6 * 1024 * 1024;

/// A git server.
///
/// Besides its repositories it has paths that misbehave: `/moved/<repository>` and `/circle` redirect,
/// `/away/<port>/<repository>` does to another server, `/metadata` redirects
/// to a cloud's metadata service, `/huge` never seems to end, `/busy` asks for rest, `/page` is no git server at all.
#[derive(Debug)]
pub struct GitServer {
    folder: tempfile::TempDir,
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    root: PathBuf,
    /// Requests by path, and whether they brought credentials.
    seen: Mutex<Vec<(String, bool)>>,
}

impl GitServer {
    /// Starts one on a free port of this machine; it ends with the test's runtime.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("private"))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { root: folder.path().to_owned(), seen: Mutex::default() });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Ok(Self { folder, address, state })
    }

    /// The address of a repository, or of a path that misbehaves.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The folder with the repositories.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a repository with a branch `main`; gives the commit.
    pub async fn repository(&self, name: &str) -> anyhow::Result<String> {
        git(self.root(), &["init", "--quiet", "--bare", "--initial-branch=main", name]).await?;
        self.commit(name, "main").await
    }

    /// Serves a repository under one more name.
    pub fn alias(&self, name: &str, of: &str) -> anyhow::Result<()> {
        Ok(std::os::unix::fs::symlink(self.root().join(of), self.root().join(name))?)
    }

    /// Moves a branch to a new commit; gives the commit.
    pub async fn commit(&self, name: &str, branch: &str) -> anyhow::Result<String> {
        let folder = self.root().join(name);
        let tree = git(&folder, &["mktree"]).await?;
        let message = format!("{:016x}", rand::random::<u64>());
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        let make = ["commit-tree", tree.as_str(), "-m", message.as_str()];
        let commit = git(&folder, &[identity.as_slice(), make.as_slice()].concat()).await?;
        git(&folder, &["update-ref", &format!("refs/heads/{branch}"), &commit]).await?;
        Ok(commit)
    }

    /// How many requests named a path that begins so.
    #[must_use]
    pub fn requests(&self, prefix: &str) -> usize {
        self.state.seen().iter().filter(|(path, _)| path.starts_with(prefix)).count()
    }

    /// The paths that were sent credentials.
    #[must_use]
    pub fn entrusted(&self) -> Vec<String> {
        self.state.seen().iter().filter(|(_, with)| *with).map(|(path, _)| path.clone()).collect()
    }
}

impl State {
    fn seen(&self) -> std::sync::MutexGuard<'_, Vec<(String, bool)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs git in a folder, without anybody's configuration; gives what it prints.
pub async fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run git")?;
    anyhow::ensure!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let path = request.uri().path().to_owned();
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let credentials = header(header::AUTHORIZATION.as_str()).map(str::to_owned);
    state.seen().push((path.clone(), credentials.is_some()));
    let redirect = |to: String| {
        let answer = Response::builder().status(StatusCode::MOVED_PERMANENTLY).header(header::LOCATION, to);
        Ok(answer.body(Full::default())?)
    };
    let plain = |status: u16, text: &str| {
        Ok(Response::builder().status(status).body(Full::new(Bytes::from(text.to_owned())))?)
    };
    match path.trim_start_matches('/').split('/').next().unwrap_or_default() {
        "moved" => {
            let to = path.replacen("/moved", "", 1);
            return redirect(format!("{to}?{}", request.uri().query().unwrap_or_default()));
        }
        "away" => {
            let (port, rest) = path["/away/".len()..].split_once('/').unwrap_or_default();
            let query = request.uri().query().unwrap_or_default();
            return redirect(format!("http://127.0.0.1:{port}/{rest}?{query}"));
        }
        "circle" => return redirect(request.uri().to_string()),
        "metadata" => {
            return redirect("http://169.254.169.254/latest/info/refs?service=git-upload-pack".into());
        }
        "huge" => return plain(200, &"001eversion 2\nls-refs and no end\n".repeat(HUGE / 32)),
        "page" => return plain(200, "<html>Not here</html>"),
        "busy" => {
            let answer = Response::builder().status(429).header(header::RETRY_AFTER, "7");
            return Ok(answer.body(Full::default())?);
        }
        "private" => {
            let expected = format!("Basic {}", STANDARD.encode(format!("{}:{}", READER.0, READER.1)));
            if credentials.as_ref() != Some(&expected) {
                return plain(401, "who are you?");
            }
        }
        _ => {}
    }
    backend(&state.root, request).await
}

/// One request by CGI (RFC 3875).
async fn backend(root: &Path, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let environment = BTreeMap::from([
        ("GIT_PROJECT_ROOT", root.to_string_lossy().into_owned()),
        ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
        ("GIT_PROTOCOL", text("git-protocol").to_owned()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
        ("REQUEST_METHOD", head.method.to_string()),
        ("PATH_INFO", head.uri.path().to_owned()),
        ("QUERY_STRING", head.uri.query().unwrap_or_default().to_owned()),
        ("CONTENT_TYPE", text("content-type").to_owned()),
        ("REMOTE_ADDR", "127.0.0.1".to_owned()),
    ]);
    let body = body.collect().await?.to_bytes();
    let mut child = Command::new("git")
        .arg("http-backend")
        .envs(environment)
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(&body).await?;
    drop(input);
    let output = child.wait_with_output().await?.stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").context("no end of headers")?;
    let mut headers = HeaderMap::new();
    let mut status = StatusCode::OK;
    for line in std::str::from_utf8(&output[..end])?.lines() {
        let (name, value) = line.split_once(": ").context("a header has no colon")?;
        if name == "Status" {
            status = value.split(' ').next().unwrap_or_default().parse()?;
        } else {
            headers.insert(http::HeaderName::try_from(name)?, value.parse()?);
        }
    }
    let mut response = Response::new(Full::new(Bytes::from(output[end + 4..].to_vec())));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}
