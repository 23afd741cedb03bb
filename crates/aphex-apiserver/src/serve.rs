//! Serving over TLS: HTTP/1.1 and HTTP/2, client certificates as identities, an orderly end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aphex_auth::user_of_certificate;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::server::ApiServer;

/// A client that does not finish its handshake or its request head in this time is dropped.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that are still busy this long after the end began are cut.
const DRAIN: Duration = Duration::from_secs(10);
/// Connections beyond these wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4096;
/// Streams that one HTTP/2 connection may have open (`--http2-max-streams-per-connection`).
const MAX_STREAMS: u32 = 1000;

/// The user that a connection's client certificate stands for.
#[derive(Clone, Debug)]
struct Peer(Option<aphex_auth::User>);

impl ApiServer {
    /// Serves until `shutdown`, then ends watches and lets requests in flight finish.
    pub async fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        shutdown: CancellationToken,
    ) {
        let acceptor = TlsAcceptor::from(tls);
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.welcome(stream, acceptor.clone(), graceful.watcher(), place),
                Err(error) => {
                    // Usually the process has no file descriptors left; the next try may fare better.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        self.stop();
        if timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections were still busy at the end and have been cut");
        }
    }

    fn welcome(
        self: &Arc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        watcher: Watcher,
        place: OwnedSemaphorePermit,
    ) {
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let _place = place;
            // Small answers must not wait for the acknowledgement of earlier ones.
            let _ = stream.set_nodelay(true);
            let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await else { return };
            let (_, session) = stream.get_ref();
            let certificate = session.peer_certificates().and_then(<[_]>::first);
            let user = certificate.and_then(|der| user_of_certificate(der).ok());
            server.connection(stream, Peer(user), watcher).await;
        });
    }

    async fn connection<S>(self: Arc<Self>, stream: S, peer: Peer, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |mut request: Request<Incoming>| {
            let server = Arc::clone(&self);
            if let Peer(Some(user)) = &peer {
                request.extensions_mut().insert(user.clone());
            }
            async move { Ok::<_, Infallible>(server.handle(request).await) }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
