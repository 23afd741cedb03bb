//! `/livez`, `/readyz`, `/healthz` and `/metrics` over plain HTTP, for roles that run as their own process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::net::TcpListener;

use crate::metrics::CONTENT_TYPE;
use crate::serve::{Limits, Server};
use crate::{Metrics, Shutdown};

/// Whoever probes and scrapes needs few.
const CONNECTIONS: Limits = Limits::of(256);

/// Named conditions that must all hold for `/readyz` to answer 200; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Arc<AtomicBool>>>>);

impl Readiness {
    /// Adds a condition, not yet met; the returned flag meets or unmeets it.
    #[must_use]
    pub fn condition(&self, name: &str) -> Arc<AtomicBool> {
        let flag = Arc::new(AtomicBool::new(false));
        self.conditions().insert(name.to_owned(), Arc::clone(&flag));
        flag
    }

    /// Whether a condition exists and is met.
    #[must_use]
    pub fn is_met(&self, name: &str) -> bool {
        self.conditions().get(name).is_some_and(|met| met.load(Ordering::Acquire))
    }

    /// The names of the conditions that are not met.
    #[must_use]
    pub fn unmet(&self) -> Vec<String> {
        let conditions = self.conditions();
        conditions
            .iter()
            .filter(|(_, met)| !met.load(Ordering::Acquire))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn conditions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<AtomicBool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until shutdown.
pub async fn serve(listener: TcpListener, readiness: Readiness, metrics: Metrics, shutdown: Shutdown) {
    let stop = shutdown.clone();
    let answer =
        move |request, _| std::future::ready(respond(&request, &readiness, &metrics, stop.is_leaving()));
    let server = Server { listener, what: "health and metrics", limits: CONNECTIONS, tls: None };
    server.run(&shutdown, answer).await;
}

fn respond<B>(
    request: &Request<B>,
    readiness: &Readiness,
    metrics: &Metrics,
    leaving: bool,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served here\n".to_owned());
    }
    match request.uri().path() {
        "/livez" | "/healthz" => text(StatusCode::OK, "ok".to_owned()),
        "/readyz" if leaving => text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n".to_owned()),
        "/readyz" => match readiness.unmet() {
            unmet if unmet.is_empty() => text(StatusCode::OK, "ok".to_owned()),
            unmet => text(StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", unmet.join(", "))),
        },
        "/metrics" => {
            let mut response = Response::new(Full::from(metrics.render()));
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(CONTENT_TYPE));
            response
        }
        _ => text(StatusCode::NOT_FOUND, "served here: /livez /readyz /healthz /metrics\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, readiness: &Readiness) -> StatusCode {
        let request = Request::get(path).body(()).unwrap();
        respond(&request, readiness, &Metrics::default(), false).status()
    }

    #[test]
    fn readiness_waits_for_every_condition() {
        let readiness = Readiness::default();
        let flag = readiness.condition("watches");
        assert_eq!(get("/readyz", &readiness), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get("/livez", &readiness), StatusCode::OK);
        flag.store(true, Ordering::Release);
        assert_eq!(get("/readyz", &readiness), StatusCode::OK);
        assert_eq!(get("/elsewhere", &readiness), StatusCode::NOT_FOUND);
        let request = Request::get("/readyz").body(()).unwrap();
        let leaving = respond(&request, &readiness, &Metrics::default(), true);
        assert_eq!(leaving.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
