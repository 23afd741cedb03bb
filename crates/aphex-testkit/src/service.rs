//! A small HTTP service that a test scripts as a function of the request; over TLS with an authority of its own.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use aphex_auth::pki::Authority;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A running service; it ends with the test's runtime.
pub struct Service {
    /// Scheme, host and port.
    pub url: String,
    /// The authority's certificate, PEM; empty without TLS.
    pub ca: String,
    asked: Arc<Mutex<Vec<Request<Bytes>>>>,
}

type Answer = dyn Fn(&Request<Bytes>) -> Response<String> + Send + Sync;

impl Service {
    /// Serves plain HTTP.
    pub async fn http(
        answer: impl Fn(&Request<Bytes>) -> Response<String> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        Self::start(None, String::new(), Arc::new(answer)).await
    }

    /// Serves HTTPS as `localhost`.
    pub async fn https(
        answer: impl Fn(&Request<Bytes>) -> Response<String> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        // A second test in the process finds it installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir()?;
        let now = jiff::Timestamp::now();
        let authority = Authority::load_or_create(folder.path(), now)?;
        let tls = authority.server_config(&["localhost".to_owned(), "127.0.0.1".to_owned()], now)?;
        let mut tls = (*tls).clone();
        tls.alpn_protocols.clear();
        Self::start(Some(TlsAcceptor::from(Arc::new(tls))), authority.ca_pem().to_owned(), Arc::new(answer))
            .await
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Request<Bytes>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn start(tls: Option<TlsAcceptor>, ca: String, answer: Arc<Answer>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let service = Self { url: format!("{scheme}://localhost:{port}"), ca, asked: Arc::clone(&asked) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, answer, asked) = (tls.clone(), Arc::clone(&answer), Arc::clone(&asked));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, answer, asked).await,
                        // Whoever does not trust the authority hangs up.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, answer, asked).await;
                            }
                        }
                    }
                });
            }
        });
        Ok(service)
    }
}

async fn serve<S>(stream: S, answer: Arc<Answer>, asked: Arc<Mutex<Vec<Request<Bytes>>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let respond = service_fn(move |request: Request<Incoming>| {
        let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let request = Request::from_parts(head, body);
            let response = answer(&request).map(|text| Full::new(Bytes::from(text)));
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            Ok::<_, Infallible>(response)
        }
    });
    // The other side may hang up.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
}
