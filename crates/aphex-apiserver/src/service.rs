//! The server as a tower service: a client in the same process needs no socket.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aphex_auth::User;
use http::{Request, Response};

use crate::body::Body;
use crate::server::ApiServer;

/// Requests of one user, answered without a network.
#[derive(Clone, Debug)]
pub struct Service {
    server: Arc<ApiServer>,
    user: User,
}

impl ApiServer {
    /// A service whose requests are made by that user; `kube::Client::new` takes it.
    pub fn service_as(self: &Arc<Self>, user: User) -> Service {
        Service { server: Arc::clone(self), user }
    }
}

impl<B> tower::Service<Request<B>> for Service
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let server = Arc::clone(&self.server);
        request.extensions_mut().insert(self.user.clone());
        Box::pin(async move { Ok(server.handle(request).await) })
    }
}
