//! Accepting connections and speaking HTTP on them, within bounds, until shutdown.
//!
//! ```text
//! accept -> place (bounds; an idle connection makes room) -> TLS, where there is a certificate
//!        -> HTTP/1.1 or HTTP/2, as the client wants -> answer
//! ```
//!
//! Whoever sends nothing, or too slowly, or too much is cut off; bodies are for those who answer to bound. On shutdown no
//! request that was sent stays without its answer: first the process takes leave ([`Shutdown::leaving`]), and clients are
//! told with each answer to go elsewhere; then nothing is accepted any more, and requests under way are finished.

mod connection;
pub mod files;
mod places;
pub mod tls;

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::Shutdown;
use connection::Speaker;
use places::{Place, Places};
pub use tls::Tls;

/// How long a client may take for its handshake, and to send a request's head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that a listener has at once, where nobody says otherwise.
pub const CONNECTIONS: usize = 10_000;
/// How long to wait after the system refused to accept (it is out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Most that are taken in after the listener was closed.
const MOST_WAITING: usize = 4096;

/// How many connections a listener has at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From everywhere; one more takes the place of the one that is idle longest, or waits.
    pub connections: usize,
    /// From one address (of IPv6, one network of 64 bits); one more takes the place of an idle one from there, or is closed.
    pub per_source: usize,
}

impl Limits {
    /// So many connections, of which one address may have half.
    #[must_use]
    pub const fn of(connections: usize) -> Self {
        Self { connections, per_source: if connections > 1 { connections / 2 } else { 1 } }
    }
}

/// A listener and how it is served.
#[derive(Debug)]
pub struct Server {
    /// Where connections arrive.
    pub listener: TcpListener,
    /// What is served, for the log.
    pub what: &'static str,
    /// How many connections at once.
    pub limits: Limits,
    /// The certificate; HTTP without TLS where there is none.
    pub tls: Option<Tls>,
}

impl Server {
    /// A listener without TLS, with as many connections as usual and the system allows.
    #[must_use]
    pub fn new(listener: TcpListener, what: &'static str) -> Self {
        Self { listener, what, limits: Limits::of(files::connections(CONNECTIONS)), tls: None }
    }

    /// Serves until shutdown; requests under way then go on as tasks of the shutdown, which waits for them.
    pub async fn run<A, F, B>(self, shutdown: &Shutdown, answer: A)
    where
        A: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self { listener, what, limits, tls } = self;
        let host = Host { what, tls, places: Places::new(limits), shutdown: shutdown.clone(), answer };
        let mut late = Vec::new();
        while !shutdown.is_triggered() {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.triggered() => break,
            };
            match accepted {
                // Waits while nobody is idle.
                Ok((stream, peer)) => tokio::select! {
                    place = host.places.take(peer.ip()) => host.welcome(stream, peer, place),
                    () = shutdown.triggered() => late.push((stream, peer)),
                },
                Err(error) => {
                    tracing::warn!(%error, listener = what, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        late.extend(close(listener));
        // Places may be taken for as long as requests are under way, and who ends the process waits for those no longer.
        shutdown.spawn(async move {
            for (stream, peer) in late {
                let place = host.places.take(peer.ip()).await;
                host.welcome(stream, peer, place);
            }
        });
    }
}

/// Closes a listener; gives those who were let in by the system and would find their connection reset.
fn close(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let waiting: Vec<_> = std::iter::from_fn(|| listener.accept().ok()).take(MOST_WAITING).collect();
    drop(listener);
    let ours = |(stream, peer): (std::net::TcpStream, SocketAddr)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    };
    waiting.into_iter().filter_map(ours).collect()
}

/// Who takes connections in.
struct Host<A> {
    what: &'static str,
    tls: Option<Tls>,
    places: Arc<Places>,
    shutdown: Shutdown,
    answer: A,
}

impl<A, F, B> Host<A>
where
    A: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Has a connection served at its place.
    fn welcome(&self, stream: TcpStream, peer: SocketAddr, place: Option<Arc<Place>>) {
        let Some(place) = place else {
            tracing::debug!(source = %peer.ip(), listener = self.what, "too many connections of one address");
            return;
        };
        // Answers are one small write: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let speaker = Speaker { place, shutdown: self.shutdown.clone() };
        let (tls, answer) = (self.tls.clone(), self.answer.clone());
        let answer = move |request| {
            let answer = answer(request, peer);
            async move { Ok::<_, Infallible>(answer.await) }
        };
        self.shutdown.spawn(async move {
            let Some(tls) = tls else { return speaker.speak(stream, answer).await };
            let secured = tokio::select! {
                secured = timeout(HEAD_TIMEOUT, tls.accept(stream)) => secured,
                () = speaker.place.told_to_leave() => return,
            };
            // Who does not finish the handshake is told nothing.
            if let Ok(Ok(stream)) = secured {
                speaker.speak(stream, answer).await;
            }
        });
    }
}
