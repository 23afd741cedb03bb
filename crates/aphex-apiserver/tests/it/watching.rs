//! Watches: what they start with, what they tell, when they end.

use std::time::Duration;

use aphex_apiserver::body::Body;
use http::{Method, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{CONFIG_MAPS, JSON, MERGE, Server};

/// Events of a watch, read one at a time.
struct Events {
    response: Response<Body>,
    buffer: Vec<u8>,
}

impl Events {
    async fn open(server: &Server, query: &str) -> Self {
        let path = format!("{CONFIG_MAPS}?watch=1&{query}");
        Self { response: server.open(Method::GET, &path, JSON, "").await, buffer: Vec::new() }
    }

    /// The next event; none when the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = timeout(Duration::from_secs(10), self.response.body_mut().frame()).await;
            let frame = frame.expect("an event or the end within ten seconds")?;
            self.buffer.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }

    /// Kind and name of the next event.
    async fn told(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn told(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_watch_of_one_name_tells_of_it_and_of_no_longer_one() {
    let server = Server::start().await;
    server.config_map("web-2", &json!({})).await;
    server.config_map("web", &json!({})).await;
    let mut events = Events::open(&server, "fieldSelector=metadata.name%3Dweb").await;
    assert_eq!(events.told().await, told("ADDED", "web"));
    server.patch(&format!("{CONFIG_MAPS}/web-2"), MERGE, &json!({"data": {"x": "1"}})).await.expect(200);
    server.delete(&format!("{CONFIG_MAPS}/web"), &Value::Null).await.expect(200);
    assert_eq!(events.told().await, told("DELETED", "web"));
}

#[tokio::test]
async fn a_watch_from_a_revision_tells_what_came_after_it() {
    let server = Server::start().await;
    let before = server.config_map("a", &json!({})).await;
    server.config_map("b", &json!({})).await;
    let mut events = Events::open(&server, &format!("resourceVersion={before}")).await;
    assert_eq!(events.told().await, told("ADDED", "b"));
    server.patch(&format!("{CONFIG_MAPS}/a"), MERGE, &json!({"data": {"x": "1"}})).await.expect(200);
    assert_eq!(events.told().await, told("MODIFIED", "a"));
    server.delete(&format!("{CONFIG_MAPS}/b"), &Value::Null).await.expect(200);
    let deleted = events.next().await.unwrap();
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(deleted["object"]["metadata"]["resourceVersion"], server.0.store.revision().to_string());
}

#[tokio::test]
async fn an_object_enters_and_leaves_a_selector() {
    let server = Server::start().await;
    server.config_map("a", &json!({"app": "x"})).await;
    let mut events = Events::open(&server, "labelSelector=app%3Dweb").await;
    let path = format!("{CONFIG_MAPS}/a");
    server.patch(&path, MERGE, &json!({"metadata": {"labels": {"app": "web"}}})).await.expect(200);
    assert_eq!(events.told().await, told("ADDED", "a"));
    server.patch(&path, MERGE, &json!({"metadata": {"labels": {"app": "y"}}})).await.expect(200);
    let left = events.next().await.unwrap();
    assert_eq!(
        (left["type"].as_str().unwrap(), left["object"]["metadata"]["labels"]["app"].as_str().unwrap()),
        ("DELETED", "web")
    );
}

#[tokio::test]
async fn initial_events_end_with_a_marked_bookmark() {
    let server = Server::start().await;
    server.config_map("a", &json!({})).await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = Events::open(&server, query).await;
    assert_eq!(events.told().await, told("ADDED", "a"));
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn a_watch_from_a_forgotten_revision_is_told_so() {
    let server = Server::start().await;
    server.config_map("a", &json!({})).await;
    server.config_map("b", &json!({})).await;
    server.0.store.compact(server.0.store.revision()).await.unwrap();
    let mut events = Events::open(&server, "resourceVersion=1").await;
    let event = events.next().await.unwrap();
    assert_eq!((event["type"].as_str().unwrap(), event["object"]["code"].as_u64().unwrap()), ("ERROR", 410));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_watch_ends_in_time_with_a_bookmark() {
    let server = Server::start().await;
    let mut events = Events::open(&server, "timeoutSeconds=1&allowWatchBookmarks=true").await;
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], server.0.store.revision().to_string());
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn watches_end_when_the_server_stops() {
    let server = Server::start().await;
    let mut events = Events::open(&server, "").await;
    server.0.stop();
    assert!(events.next().await.is_none());
}
