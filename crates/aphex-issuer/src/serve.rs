//! Serves until shutdown, with or without TLS.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aphex_runtime::serve::{Server, Tls};
use aphex_runtime::{Shutdown, proxies};
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::issuer::Issuer;
use crate::web::{self, Request, Response};

/// Forms are small.
const MOST_BODY: usize = 64 * 1024;
/// How long a client may take for its request's body.
const PATIENCE: Duration = Duration::from_secs(10);

impl Issuer {
    /// Serves until shutdown; requests under way are finished. Also tends keys and drops what has expired.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<Tls>, shutdown: Shutdown) {
        let (tending, stop) = (Arc::clone(&self), shutdown.clone());
        shutdown.spawn(async move { tending.tend_until(&stop).await });
        if let Some(tls) = &tls {
            shutdown.spawn(tls.clone().follow(shutdown.clone()));
        }
        let server = Server { tls, ..Server::new(listener, "the issuer") };
        let answer = move |request, peer: SocketAddr| {
            let issuer = Arc::clone(&self);
            async move { issuer.respond(request, peer.ip()).await }
        };
        server.run(&shutdown, answer).await;
    }

    /// Answers one request that came from this address, perhaps through a trusted proxy there.
    pub async fn respond<B>(&self, request: http::Request<B>, peer: IpAddr) -> http::Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let source = proxies::source(peer, request.headers(), &self.settings.trusted_proxies);
        match read(request, source).await {
            Ok(request) => self.answer(request).await,
            Err(response) => response,
        }
    }
}

/// The request with its body, or the answer to one whose body does not come or does not end.
async fn read<B>(request: http::Request<B>, source: IpAddr) -> Result<Request, Response>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
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
        source,
    })
}

/// What was not read of a body cannot be skipped cheaply: the connection ends.
fn cut(status: StatusCode, description: &str) -> Response {
    let body = json!({ "error": "invalid_request", "error_description": description });
    let mut response = web::json(status, &body);
    response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    response
}
