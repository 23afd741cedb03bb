//! Accepts connections, with or without TLS, and speaks HTTP/1.1 on them until shutdown.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aphex_runtime::Shutdown;
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::issuer::Issuer;
use crate::web::{self, Request, Response};

/// Forms are small.
const MOST_BODY: usize = 64 * 1024;
/// Connections served at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;
/// How long a client may take for its handshake, its request's head, or its body.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait after the system refused to accept (it is out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Issuer {
    /// Serves until shutdown; requests under way are finished. Also tends keys and drops what has expired.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        shutdown: Shutdown,
    ) {
        let (tending, stop) = (Arc::clone(&self), shutdown.clone());
        shutdown.spawn(async move { tending.tend_until(&stop).await });
        let acceptor = tls.map(TlsAcceptor::from);
        let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &free) => accepted,
                () = shutdown.triggered() => return,
            };
            let Some((stream, peer, place)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (issuer, acceptor, stop) = (Arc::clone(&self), acceptor.clone(), shutdown.clone());
            shutdown.spawn(async move {
                match acceptor {
                    None => issuer.connection(stream, peer, &stop).await,
                    Some(acceptor) => {
                        if let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await {
                            issuer.connection(stream, peer, &stop).await;
                        }
                    }
                }
                drop(place);
            });
        }
    }

    async fn connection<S>(self: Arc<Self>, stream: S, peer: SocketAddr, shutdown: &Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let issuer = Arc::clone(&self);
            async move {
                Ok::<_, Infallible>(match read(request, peer).await {
                    Ok(request) => issuer.answer(request).await,
                    Err(response) => response,
                })
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            // A client that hangs up or speaks no HTTP has had its answer.
            _ = connection.as_mut() => {}
            () = shutdown.triggered() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}

type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(free).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are one small write: waiting to fill a packet only delays them.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, place))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection to the issuer");
            None
        }
    }
}

/// The request with its body, or the answer to one whose body does not come or does not end.
async fn read(request: http::Request<Incoming>, peer: SocketAddr) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    let body = match timeout(PATIENCE, Limited::new(body, MOST_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(cut(StatusCode::PAYLOAD_TOO_LARGE, "The request is larger than 64 KiB."));
        }
        Ok(Err(_)) => return Err(cut(StatusCode::BAD_REQUEST, "The request broke off.")),
        Err(_) => return Err(cut(StatusCode::REQUEST_TIMEOUT, "The request did not arrive in time.")),
    };
    Ok(Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        source: peer.ip(),
    })
}

/// What was not read of a body cannot be skipped cheaply: the connection ends.
fn cut(status: StatusCode, description: &str) -> Response {
    let body = json!({ "error": "invalid_request", "error_description": description });
    let mut response = web::json(status, &body);
    response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    response
}
