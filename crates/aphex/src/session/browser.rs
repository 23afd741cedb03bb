//! Logging in with this machine's browser: it comes back to a port on the loopback (RFC 8252).

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::provider::{Provider, Tokens};
use super::{Attempt, KUBERNETES_CLIENT, ReturnError};
use crate::exit;
use crate::output::note;

/// Where the client of the seed may come back to.
const SEED_PORTS: &[u16] = &[8000, 18000];
pub(super) const PATH: &str = "/callback";
/// How long a browser may take to read its page.
const PAGE_PATIENCE: Duration = Duration::from_secs(2);

/// Whether nobody could see a browser that is opened here.
pub(crate) fn is_headless() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "linux") && !["DISPLAY", "WAYLAND_DISPLAY", "BROWSER"].into_iter().any(set)
}

/// Opens the browser, and waits until it comes back.
pub(crate) async fn login(provider: &Provider, patience: Duration) -> anyhow::Result<Tokens> {
    let (listener, redirect) = listen(&provider.client_id).await?;
    let attempt = Attempt::new(redirect);
    let address = attempt.address(provider)?;
    note(&format!(
        "Log in at {} in the browser. If none opens, open this address:\n\n  {address}\n",
        provider.issuer
    ));
    open(address.as_str());
    let waited = tokio::time::timeout(patience, returned(listener, provider, &attempt)).await;
    let Ok(code) = waited else {
        let message = format!(
            "nobody logged in within {} s: try again, or use --no-browser where no browser can reach this machine",
            patience.as_secs()
        );
        return Err(exit::Coded { code: exit::TIMED_OUT, message }.into());
    };
    attempt.redeem(provider, &code?).await
}

async fn listen(client_id: &str) -> anyhow::Result<(TcpListener, String)> {
    if client_id != KUBERNETES_CLIENT {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener =
            listener.context("no port is free for the browser to come back to: use --no-browser")?;
        let port = listener.local_addr()?.port();
        return Ok((listener, format!("http://127.0.0.1:{port}{PATH}")));
    }
    for port in SEED_PORTS {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).await {
            return Ok((listener, format!("http://localhost:{port}{PATH}")));
        }
    }
    anyhow::bail!(
        "the ports 8000 and 18000, to which the client {KUBERNETES_CLIENT} may come back, are both taken: free one, or use --no-browser"
    )
}

/// Starts the user's browser; where that fails, the address has been printed.
fn open(address: &str) {
    let chosen = std::env::var("BROWSER").ok().filter(|program| !program.is_empty());
    let usual = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let program = chosen.unwrap_or_else(|| usual.to_owned());
    let quiet = Stdio::null;
    let started = tokio::process::Command::new(&program)
        .arg(address)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
    if started.is_err() {
        tracing::debug!(program, "no browser was started");
    }
}

/// What a browser shows in the end.
enum Page {
    Done,
    Failed(String),
}

/// A browser that came back, waiting to be told what became of it.
struct Arrival {
    query: String,
    reply: oneshot::Sender<Page>,
    /// Ends when the browser has its page.
    served: oneshot::Receiver<()>,
}

/// Serves until the browser brings the answer; gives the code in it.
async fn returned(listener: TcpListener, provider: &Provider, attempt: &Attempt) -> anyhow::Result<String> {
    let (sender, mut arrivals) = mpsc::channel(4);
    let serving = tokio::spawn(serve(listener, sender));
    while let Some(arrival) = arrivals.recv().await {
        let code = attempt.code(provider, &arrival.query);
        let page = code.as_ref().map_or_else(|error| Page::Failed(error.to_string()), |_| Page::Done);
        let _ = arrival.reply.send(page);
        // Some other program, or an old tab, may have knocked.
        if !matches!(code, Err(ReturnError::Other)) {
            let _ = tokio::time::timeout(PAGE_PATIENCE, arrival.served).await;
            serving.abort();
            return code
                .map_err(|error| exit::Coded { code: exit::REFUSED, message: error.to_string() }.into());
        }
    }
    anyhow::bail!("the browser could not come back: use --no-browser")
}

/// Every connection has a task of its own: browsers open some that they never use.
async fn serve(listener: TcpListener, arrivals: mpsc::Sender<Arrival>) {
    while let Ok((stream, _)) = listener.accept().await {
        let arrivals = arrivals.clone();
        tokio::spawn(async move {
            let (done, served) = oneshot::channel();
            let served = Arc::new(Mutex::new(Some(served)));
            let service = service_fn(move |request: Request<Incoming>| {
                let served = served.lock().unwrap_or_else(PoisonError::into_inner).take();
                answer(request, arrivals.clone(), served)
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.keep_alive(false);
            // A browser that goes away ends it with an error, and nobody is there to be told.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            drop(done);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    arrivals: mpsc::Sender<Arrival>,
    served: Option<oneshot::Receiver<()>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != PATH {
        return Ok(page(404, "Not found", "There is nothing here."));
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (reply, verdict) = oneshot::channel();
    if let Some(served) = served {
        // When the login is over nobody takes it, and the verdict does not come.
        drop(arrivals.send(Arrival { query, reply, served }).await);
    }
    Ok(match verdict.await {
        Ok(Page::Done) => {
            page(200, "You are logged in", "You can close this window and go back to the terminal.")
        }
        Ok(Page::Failed(why)) => page(400, "You are not logged in", &why),
        Err(_) => page(400, "You are not logged in", "Begin again with aphex login."),
    })
}

fn page(status: u16, title: &str, text: &str) -> Response<Full<Bytes>> {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (title, text) = (escape(title), escape(text));
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><h1>{title}</h1><p>{text}</p></html>\n"
    );
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}
