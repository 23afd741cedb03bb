//! A server in memory and a client that is nothing but requests.

use std::sync::Arc;
use std::time::Duration;

use aphex_apiserver::body::Body;
use aphex_apiserver::{ApiServer, Config, User};
use aphex_store::{Options, Store};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A server whose requests are made by an administrator.
pub(crate) struct Server(pub(crate) Arc<ApiServer>);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The message of a `Status`.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The body of an answer with this code.
    pub(crate) fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.body);
        self.body
    }
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";
/// Where the tests put their ConfigMaps.
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    Answer { code: parts.status.as_u16(), headers: parts.headers, body }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let store = Store::memory(Options::default());
        Self(ApiServer::start(Config::new(store)).await.unwrap())
    }

    /// The raw answer, for streams.
    pub(crate) async fn open(&self, method: Method, path: &str, media: &str, body: &str) -> Response<Body> {
        self.open_as(&[], method, path, media, body).await
    }

    /// The same as another user: name, then groups.
    pub(crate) async fn open_as(
        &self,
        user: &[&str],
        method: Method,
        path: &str,
        media: &str,
        body: &str,
    ) -> Response<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media)
            .header("user-agent", "tests/1");
        for (at, name) in user.iter().enumerate() {
            let header = if at == 0 { "impersonate-user" } else { "impersonate-group" };
            request = request.header(header, *name);
        }
        self.raw(request, body).await
    }

    async fn raw(&self, request: http::request::Builder, body: &str) -> Response<Body> {
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let service = self.0.service_as(User::new("admin", ["system:masters"]));
        service.oneshot(request).await.unwrap()
    }

    /// Any request.
    pub(crate) async fn ask(&self, request: http::request::Builder, body: &str) -> Answer {
        answer(self.raw(request, body).await).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, media: &str, body: &str) -> Answer {
        self.send_as(&[], method, path, media, body).await
    }

    pub(crate) async fn send_as(
        &self,
        user: &[&str],
        method: Method,
        path: &str,
        media: &str,
        body: &str,
    ) -> Answer {
        answer(self.open_as(user, method, path, media, body).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, JSON, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, JSON, &body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, JSON, &body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, media: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, media, &body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Answer {
        let body = if options.is_null() { String::new() } else { options.to_string() };
        self.send(Method::DELETE, path, JSON, &body).await
    }

    /// Creates a ConfigMap and gives its revision.
    pub(crate) async fn config_map(&self, name: &str, labels: &Value) -> u64 {
        let object = json!({"metadata": {"name": name, "labels": labels}, "data": {"of": name}});
        revision(&self.post(CONFIG_MAPS, &object).await.expect(201))
    }

    /// Gives a namespace the account that a controller would, so that it can have pods.
    pub(crate) async fn account(&self, namespace: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        self.post(&path, &json!({"metadata": {"name": "default"}})).await.expect(201);
    }

    /// Asks until the answer has this code.
    pub(crate) async fn until(&self, path: &str, code: u16) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while self.get(path).await.code != code {
            assert!(tokio::time::Instant::now() < deadline, "{path} never answered {code}");
            tokio::task::yield_now().await;
        }
    }
}

/// The revision of an object or a list.
pub(crate) fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// The names of the objects in a list.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}
