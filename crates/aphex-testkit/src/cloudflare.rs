//! A stand-in for Cloudflare's API: it keeps state as Cloudflare does, and fails where a test asks for it.
//!
//! It answers the operations that the platform uses, over HTTP, with the envelope, the status and the codes of the real
//! one. What it does not know is 404 with code 7003, as there.

mod answers;
mod records;
mod state;
mod tunnels;

use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub use records::Record;
pub use state::{Fault, Moment, Scope, Token};
pub use tunnels::{Connector, Tunnel};

use crate::faults::Faults;
use answers::Answer;
use state::State;

/// The account of the stand-in.
pub const ACCOUNT: &str = "11111111111111111111111111111111";
/// Its zone.
pub const ZONE: &str = "22222222222222222222222222222222";
/// The zone's domain.
pub const DOMAIN: &str = "example.com";

/// A running stand-in; gone when dropped.
pub struct Cloudflare {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
}

impl Cloudflare {
    /// Starts it on a free port, with one account, one zone and nothing in them.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_behind(None).await
    }

    /// The same with faults in front of it.
    pub async fn start_behind(faults: Option<Faults>) -> anyhow::Result<Self> {
        // Clients of it are made with TLS as well; a second test in the process finds the provider installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let address = listener.local_addr().context("the stand-in has no address")?;
        let (state, stop) = (Arc::new(Mutex::new(State::default())), CancellationToken::new());
        let faults = faults.unwrap_or_else(|| Faults::new(|_| None, &[]));
        tokio::spawn(serve(listener, Arc::clone(&state), faults, stop.clone()));
        Ok(Self { address, state, stop })
    }

    /// The API's address.
    pub fn url(&self) -> String {
        format!("http://{}/client/v4", self.address)
    }

    /// The API token that it accepts.
    pub fn token(&self) -> String {
        self.state().token.text.clone()
    }

    /// Takes something from what the API token may do.
    pub fn forbid(&self, scope: Scope) {
        self.state().token.scopes.remove(&scope);
    }

    /// Gives the API token everything again.
    pub fn allow_all(&self) {
        self.state().token.scopes = Token::all();
    }

    /// Makes the next so many requests of a method, whose path contains a text, fail in some way.
    pub fn inject(&self, method: &Method, path: &str, times: usize, fault: Fault) {
        self.state().inject(method, path, times, fault);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.state().heal();
    }

    /// Every request so far: method and path.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Everything that there ever was, oldest first, as requests found or left it; each differs from the one before.
    pub fn history(&self) -> Vec<Moment> {
        self.state().history.clone()
    }

    /// How many requests so far could have changed something.
    pub fn writes(&self) -> usize {
        self.state().calls.iter().filter(|call| !call.starts_with("GET ")).count()
    }

    /// The tunnels that are not deleted.
    pub fn tunnels(&self) -> Vec<Tunnel> {
        self.state().tunnels.iter().filter(|tunnel| tunnel.deleted_at.is_none()).cloned().collect()
    }

    /// The tunnel of a name.
    pub fn tunnel(&self, name: &str) -> Option<Tunnel> {
        self.tunnels().into_iter().find(|tunnel| tunnel.name == name)
    }

    /// Makes a tunnel, as somebody else would.
    pub fn put_tunnel(&self, name: &str, change: impl FnOnce(&mut Tunnel)) -> Tunnel {
        self.state().put_tunnel(name, change)
    }

    /// Changes the tunnel of a name behind everybody's back.
    pub fn change_tunnel(&self, name: &str, change: impl FnOnce(&mut Tunnel)) {
        let mut state = self.state();
        let found =
            state.tunnels.iter_mut().find(|tunnel| tunnel.name == name && tunnel.deleted_at.is_none());
        if let Some(tunnel) = found {
            change(tunnel);
        }
    }

    /// The DNS records.
    pub fn records(&self) -> Vec<Record> {
        self.state().records.clone()
    }

    /// The records of a host name.
    pub fn records_of(&self, name: &str) -> Vec<Record> {
        self.records().into_iter().filter(|record| record.name == name).collect()
    }

    /// Makes a record, as somebody else would.
    pub fn put_record(&self, kind: &str, name: &str, content: &str) {
        self.state().put_record(kind, name, content);
    }

    /// Changes the records of a host name behind everybody's back.
    pub fn change_records(&self, name: &str, change: impl Fn(&mut Record)) {
        self.state().records.iter_mut().filter(|record| record.name == name).for_each(change);
    }

    /// Takes records of a host name away behind everybody's back.
    pub fn drop_records(&self, name: &str) {
        self.state().records.retain(|record| record.name != name);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Cloudflare {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, faults: Faults, stop: CancellationToken) {
    while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
        let (state, stop) = (Arc::clone(&state), stop.clone());
        let plain =
            move |request: Request<Incoming>| -> Plain { Box::pin(handle(Arc::clone(&state), request)) };
        let faulty = faults.layer(tower::service_fn(plain));
        let answers: Answers = Arc::new(move |request| {
            // What answers is always ready.
            let answer = tower::Service::call(&mut faulty.clone(), request);
            Box::pin(async move {
                let (parts, body) = answer.await.map_err(cut)?.into_parts();
                Ok(Response::from_parts(parts, body.map_err(cut).boxed_unsync()))
            })
        });
        tokio::spawn(connect(stream, answers, stop));
    }
}

async fn connect(stream: TcpStream, answers: Answers, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| answers(request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A connection that a fault cut ends with an error; so it should.
    let _ = stop.run_until_cancelled(connection).await;
}

/// An answer to come.
type Coming<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Cut>> + Send>>;
type Plain = Coming<Full<Bytes>>;
/// The same after the faults.
type Faulted = Coming<UnsyncBoxBody<Bytes, Cut>>;
type Answers = Arc<dyn Fn(Request<Incoming>) -> Faulted + Send + Sync>;

fn cut(_: tower::BoxError) -> Cut {
    Cut
}

/// The connection is to be cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

async fn handle(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = parts.uri.path().trim_start_matches("/client/v4").to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let bearer = parts.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();

    let fault = lock(&state).begin(&parts.method, &path);
    match fault {
        Some(Fault::CutBefore) => return Err(Cut),
        Some(Fault::HangBefore) => pending::<()>().await,
        Some(Fault::Answer { status, code, message }) => {
            return Ok(Answer::refused(status, code, &message).respond());
        }
        Some(Fault::TooMany { seconds }) => return Ok(answers::too_many(seconds)),
        Some(Fault::Page { status }) => return Ok(answers::page(status)),
        _ => {}
    }
    let answer = {
        let mut state = lock(&state);
        state.note();
        let answer = state.answer(&parts.method, &path, &query, &bearer, &body);
        state.note();
        answer
    };
    match fault {
        Some(Fault::CutAfter) => return Err(Cut),
        Some(Fault::HangAfter) => pending::<()>().await,
        _ => {}
    }
    Ok(answer.respond())
}
