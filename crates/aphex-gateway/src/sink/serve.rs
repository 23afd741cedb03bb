//! Serves webhooks until shutdown.

use std::sync::Arc;

use aphex_runtime::{Shutdown, serve as runtime};
use tokio::net::TcpListener;

use super::{Peer, Sink};

/// Serves until shutdown; requests under way are finished.
pub(crate) async fn serve(listener: TcpListener, sink: Arc<Sink>, shutdown: Shutdown) {
    runtime::accept(listener, "webhooks", &shutdown, |stream, peer| {
        let (sink, stop) = (Arc::clone(&sink), shutdown.clone());
        async move {
            let answer = |request| {
                let sink = Arc::clone(&sink);
                async move { sink.answer(request, Peer(peer)).await.into_response() }
            };
            runtime::http1(stream, &stop, answer).await;
        }
    })
    .await;
}
