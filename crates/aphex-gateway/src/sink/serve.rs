//! Serves webhooks until shutdown.

use std::sync::Arc;

use aphex_runtime::Shutdown;
use aphex_runtime::serve::Server;

use super::{Peer, Sink};

/// Serves until shutdown; requests under way are finished.
pub(crate) async fn serve(server: Server, sink: Arc<Sink>, shutdown: Shutdown) {
    let answer = move |request, peer| {
        let sink = Arc::clone(&sink);
        // Its state is 12 kB, which every layer below would move.
        Box::pin(async move { sink.answer(request, Peer(peer)).await.into_response() })
    };
    server.run(&shutdown, answer).await;
}
