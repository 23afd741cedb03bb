//! Interceptors of the corpus that are HTTP services: what each answers is its path.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves until the test ends.
pub(super) async fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                // Whoever asked may hang up.
                let _ = connection.await;
            });
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let url = request.headers().get("eventlistener-request-url").and_then(|url| url.to_str().ok());
    let added = request.headers().get_all("x-added").iter().filter_map(|value| value.to_str().ok());
    let (url, added) = (url.unwrap_or_default().to_owned(), added.collect::<Vec<_>>().join(","));
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let body: Value = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    let (status, said) = match path.as_str() {
        code if code.starts_with("/code/") => (
            StatusCode::OK,
            json!({ "continue": true, "status": { "code": written(&code["/code/".len()..]) } }),
        ),
        "/pass" => (StatusCode::OK, json!({ "continue": true })),
        "/extend" => {
            (StatusCode::OK, json!({ "continue": true, "extensions": { "list": [1, "two"], "own": true } }))
        }
        "/stop" => {
            (StatusCode::OK, json!({ "continue": false, "status": { "code": 9, "message": "not today" } }))
        }
        "/nulls" => (
            StatusCode::OK,
            json!({ "continue": true, "extensions": null, "status": { "code": null, "message": null } }),
        ),
        // As a Go program writes a struct of its own.
        "/untagged" => {
            (StatusCode::OK, json!({ "Continue": true, "Extensions": { "Own": 1 }, "Status": null }))
        }
        "/null" => (StatusCode::OK, Value::Null),
        "/quiet" => (StatusCode::OK, json!({ "continue": null, "status": { "message": null } })),
        "/list" => (StatusCode::OK, json!([1])),
        "/wrong-type" => (StatusCode::OK, json!({ "continue": "true" })),
        "/typed" => (StatusCode::OK, json!({})),
        // What a service is told, as an extension.
        "/echo" => {
            let mut told = body.clone();
            if let Some(told) = told.as_object_mut() {
                told.remove("header");
            }
            let event = body["header"]["X-Github-Event"].clone();
            (StatusCode::OK, json!({ "continue": true, "extensions": { "told": told, "event": event } }))
        }
        "/webhook" => {
            // The path names the listener, which is another for each of the two.
            let query = url.split_once('?').map_or("", |(_, query)| query);
            (StatusCode::OK, json!({ "received": body, "added": added, "query": query }))
        }
        "/redirect" => (StatusCode::FOUND, json!({})),
        "/broken" => (StatusCode::OK, json!("nonsense")),
        "/refuse" => (StatusCode::BAD_REQUEST, json!({})),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, json!({})),
    };
    let mut response = Response::new(Full::from(said.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("x-service", http::HeaderValue::from_static("seen"));
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    headers.insert("location", http::HeaderValue::from_static("/pass"));
    if path == "/typed" {
        headers.insert("x-github-event", http::HeaderValue::from_static("issues"));
    }
    Ok(response)
}

/// The JSON of a part of a path; what is none, or follows `text-`, is a text.
fn written(part: &str) -> Value {
    let text = |text: &str| Value::from(text);
    part.strip_prefix("text-").map_or_else(|| serde_json::from_str(part).unwrap_or_else(|_| text(part)), text)
}
