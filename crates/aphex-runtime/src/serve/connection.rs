//! One connection: HTTP/1.1 or HTTP/2 within bounds, and an orderly end.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response, Version, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::places::{Place, UnderWay};
use crate::Shutdown;

/// The largest head of a request; GitHub's has about one kilobyte. What is larger is answered with 431.
const MOST_HEAD: usize = 16 * 1024;
/// The most header fields of a request; more are answered with 431 (HTTP/2 bounds their size alone).
const MOST_HEADERS: usize = 100;
/// Requests at once on one HTTP/2 connection.
const MOST_STREAMS: u32 = 64;
/// What an HTTP/2 client may send of one body, and of all bodies, before somebody takes it.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Requests that were cancelled before anybody saw them: more end the connection (CVE-2023-44487, "rapid reset").
const MOST_RESETS: usize = 20;
/// An HTTP/2 client that has not answered a ping for so long is gone.
const PING: Duration = Duration::from_secs(20);
/// What a client that has connected and is told to leave has left to send a request, or to end.
const LINGER: Duration = Duration::from_secs(1);

/// Speaks on one connection.
pub(super) struct Speaker {
    pub(super) place: Arc<Place>,
    pub(super) shutdown: Shutdown,
}

impl Speaker {
    /// Speaks until the client has gone, was too slow, has to make room, or everything ends.
    pub(super) async fn speak<S, A, F, B>(self, stream: S, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (place, shutdown) = (self.place, self.shutdown);
        let service = service_fn({
            let (place, shutdown) = (Arc::clone(&place), shutdown.clone());
            move |mut request: Request<Incoming>| {
                let version = request.version();
                let mut under_way = place.begin(version);
                if version == Version::HTTP_2 {
                    name_host(&mut request);
                }
                let (answer, shutdown) = (answer(request), shutdown.clone());
                async move {
                    let mut response = answer.await?;
                    under_way.answered();
                    // On HTTP/2 the connection says it itself.
                    if shutdown.is_leaving() && version != Version::HTTP_2 {
                        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(response.map(|body| Held { body, under_way }))
                }
            }
        });
        let builder = builder(&shutdown);
        let io = TokioIo::new(Listening { stream, place: Arc::clone(&place) });
        let connection = builder.serve_connection(io, service);
        tokio::pin!(connection);
        tokio::select! {
            // A client that hangs up or speaks no HTTP has had its answer.
            _ = connection.as_mut() => return,
            () = place.told_to_leave() => {}
            () = place.overdue() => {}
            () = leave(&shutdown, &place) => {}
            () = shutdown.triggered() => {
                if place.is_unused() {
                    // Its request is on the way.
                    tokio::select! {
                        _ = connection.as_mut() => return,
                        () = place.used() => {}
                        () = tokio::time::sleep(LINGER) => {}
                    }
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = tokio::time::sleep(LINGER) => {
                    if place.is_quiet_for(LINGER) {
                        return;
                    }
                }
            }
        }
    }
}

/// Resolves when an HTTP/2 client is to be told that it should go elsewhere: it loses nothing by that.
async fn leave(shutdown: &Shutdown, place: &Place) {
    shutdown.leaving().await;
    if !place.is_multiplexed() {
        std::future::pending::<()>().await;
    }
}

fn builder(shutdown: &Shutdown) -> Builder<Tasks> {
    let mut builder = Builder::new(Tasks(shutdown.clone()));
    // Heads have a deadline in `Place`, which knows an idle connection from one with a head half sent.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(MOST_HEAD)
        .max_headers(MOST_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(MOST_HEAD).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(MOST_RESETS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// HTTP/2 says in `:authority` what HTTP/1.1 says in `Host` (RFC 9113, section 8.3.1).
fn name_host(request: &mut Request<Incoming>) {
    let authority =
        request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(authority) = authority {
        request.headers_mut().entry(header::HOST).or_insert(authority);
    }
}

/// Requests of HTTP/2 connections as tasks that the shutdown waits for.
#[derive(Clone)]
struct Tasks(Shutdown);

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// A body that tells whether its client is waited for, or waits.
struct Held<B> {
    body: B,
    under_way: UnderWay,
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        // It is asked for more once there is room for it, and not before.
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Pending => self.under_way.awaited(),
            Poll::Ready(Some(_)) => self.under_way.answered(),
            Poll::Ready(None) => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells the place when bytes come.
struct Listening<S> {
    stream: S,
    place: Arc<Place>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.place.heard();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listening<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bytes::Bytes;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::serve::Limits;
    use crate::serve::places::Places;

    /// One piece, and nothing more for now.
    struct Later(Option<Bytes>);

    impl Body for Later {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.take().map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(Frame::data(piece)))))
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_not_all_there_is_under_way() {
        let place = Places::new(Limits::of(1)).take(Ipv4Addr::LOCALHOST.into()).await.unwrap();
        let mut under_way = place.begin(Version::HTTP_2);
        assert!(!place.is_quiet_for(Duration::ZERO));
        under_way.answered();
        let mut held = Held { body: Later(Some(Bytes::from_static(b"x"))), under_way };
        assert!(held.frame().await.is_some() && place.is_quiet_for(Duration::ZERO));
        let more = tokio::time::timeout(Duration::from_millis(1), held.frame()).await;
        assert!(more.is_err() && !place.is_quiet_for(Duration::ZERO));
        drop(held);
        assert!(place.is_quiet_for(Duration::ZERO));
    }
}
