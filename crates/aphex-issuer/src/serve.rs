//! Accepts connections, with or without TLS, and speaks HTTP/1.1 on them until shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aphex_runtime::{Shutdown, serve};
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use rustls::ServerConfig;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::issuer::Issuer;
use crate::web::{self, Request, Response};

/// Forms are small.
const MOST_BODY: usize = 64 * 1024;
/// How long a client may take for its handshake, or its request's body.
const PATIENCE: Duration = Duration::from_secs(10);

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
        serve::accept(listener, "the issuer", &shutdown, |stream, peer| {
            let (issuer, acceptor, stop) = (Arc::clone(&self), acceptor.clone(), shutdown.clone());
            async move {
                match acceptor {
                    None => issuer.connection(stream, peer, &stop).await,
                    Some(acceptor) => {
                        if let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await {
                            issuer.connection(stream, peer, &stop).await;
                        }
                    }
                }
            }
        })
        .await;
    }

    async fn connection<S>(self: Arc<Self>, stream: S, peer: SocketAddr, shutdown: &Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = |request| {
            let issuer = Arc::clone(&self);
            async move {
                match read(request, peer).await {
                    Ok(request) => issuer.answer(request).await,
                    Err(response) => response,
                }
            }
        };
        serve::http1(stream, shutdown, answer).await;
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
