//! Writes only while this process leads.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tower::BoxError;

/// A write was not sent, because another process may lead by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not sent: this process does not lead any more")]
pub struct NotLeading;

/// The time in which a leader may write; shared by clones.
#[derive(Clone, Debug)]
pub(super) struct Term(Arc<Mutex<Instant>>);

impl Term {
    pub(super) fn until(end: Instant) -> Self {
        Self(Arc::new(Mutex::new(end)))
    }

    pub(super) fn end_time(&self) -> Instant {
        *self.lock()
    }

    pub(super) fn holds(&self, now: Instant) -> bool {
        now < self.end_time()
    }

    pub(super) fn extend(&self, end: Instant) {
        *self.lock() = end;
    }

    pub(super) fn end(&self) {
        self.extend(Instant::now());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that sends writes only within the term.
pub(super) fn client(inner: Client, term: Term) -> Client {
    let namespace = inner.default_namespace().to_owned();
    let send = move |request: Request<Body>| {
        let (inner, term) = (inner.clone(), term.clone());
        async move {
            let reads = matches!(*request.method(), Method::GET | Method::HEAD);
            if !reads && !term.holds(Instant::now()) {
                return Err(BoxError::from(NotLeading));
            }
            inner.send(request).await.map_err(BoxError::from)
        }
    };
    Client::new(tower::service_fn(send), namespace)
}
