//! Accepting connections and speaking HTTP/1.1 on them, within bounds, until shutdown.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Shutdown;

/// Connections served at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;
/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after the system refused to accept (it is out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until shutdown, and has each served; `what` names the listener in the log.
pub async fn accept<F>(
    listener: TcpListener,
    what: &'static str,
    shutdown: &Shutdown,
    connection: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &free) => accepted,
            () = shutdown.triggered() => return,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let connection = connection(stream, peer);
                shutdown.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, listener = what, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

type Accepted = (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>);

async fn next(listener: &TcpListener, free: &Arc<Semaphore>) -> std::io::Result<Accepted> {
    // Nobody closes it.
    let place = Arc::clone(free).acquire_owned().await.ok();
    let (stream, peer) = listener.accept().await?;
    // Answers are one small write: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    Ok((stream, peer, place))
}

/// Speaks HTTP/1.1 on a connection; on shutdown the request under way is finished.
pub async fn http1<S, F, B>(stream: S, shutdown: &Shutdown, answer: impl Fn(Request<Incoming>) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response<B>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
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
