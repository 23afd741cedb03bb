//! Create, update, patch: what is stored and what is refused.

use http::Method;
use serde_json::json;

use crate::support::{APPLY, CONFIG_MAPS, JSON, MERGE, Server};

#[tokio::test]
async fn a_created_object_gets_what_the_server_decides() {
    let server = Server::start().await;
    let object = json!({"metadata": {"generateName": "web-", "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z"}});
    let created = server.post(CONFIG_MAPS, &object).await.expect(201);
    let meta = &created["metadata"];
    assert_eq!(meta["name"].as_str().unwrap().len(), 9);
    assert_eq!(meta["namespace"], "default");
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert_ne!(meta["creationTimestamp"], "2001-01-01T00:00:00Z");
    let path = format!("{CONFIG_MAPS}/{}", meta["name"].as_str().unwrap());
    assert_eq!(server.get(&path).await.expect(200), created);
}

#[tokio::test]
async fn names_are_taken_once_and_must_be_sound() {
    let server = Server::start().await;
    server.config_map("a", &json!({})).await;
    let again = server.post(CONFIG_MAPS, &json!({"metadata": {"name": "a"}})).await;
    assert_eq!((again.code, again.message()), (409, "configmaps \"a\" already exists"));
    let bad = server.post(CONFIG_MAPS, &json!({"metadata": {"name": "A_b"}})).await;
    assert_eq!(bad.code, 422);
    assert_eq!(bad.body["details"]["causes"][0]["field"], "metadata.name");
    let lost =
        server.post("/api/v1/namespaces/nowhere/configmaps", &json!({"metadata": {"name": "a"}})).await;
    assert_eq!((lost.code, lost.message()), (404, "namespaces \"nowhere\" not found"));
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_treated_as_asked() {
    let server = Server::start().await;
    let body = r#"{"bar":{},"metadata":{"name":"a"},"data":{"x":"1","x":"2"}}"#;
    let strict =
        server.send(Method::POST, &format!("{CONFIG_MAPS}?fieldValidation=Strict"), JSON, body).await;
    assert_eq!(
        strict.message(),
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \
         \"bar\", duplicate field \"data.x\""
    );
    let warned = server.send(Method::POST, CONFIG_MAPS, JSON, body).await;
    let warnings: Vec<_> = warned.headers.get_all("warning").iter().collect();
    assert_eq!(warnings, ["299 - \"unknown field \\\"bar\\\"\"", "299 - \"duplicate field \\\"data.x\\\"\""]);
    assert!(warned.expect(201).get("bar").is_none());
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_stores_nothing() {
    let server = Server::start().await;
    let before = server.0.store.revision();
    let object = json!({"metadata": {"name": "a"}});
    let created = server.post(&format!("{CONFIG_MAPS}?dryRun=All"), &object).await.expect(201);
    assert!(created["metadata"]["uid"].is_string());
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/a")).await.code, 404);
    assert_eq!(server.0.store.revision(), before);
}

#[tokio::test]
async fn an_update_with_a_stale_revision_conflicts() {
    let server = Server::start().await;
    let first = server.config_map("a", &json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    server.patch(&path, MERGE, &json!({"data": {"x": "1"}})).await.expect(200);
    let stale = json!({"metadata": {"name": "a", "resourceVersion": first.to_string()}, "data": {"x": "2"}});
    let refused = server.put(&path, &stale).await;
    assert_eq!(refused.code, 409);
    assert_eq!(
        refused.message(),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
         to the latest version and try again"
    );
    server.put(&path, &json!({"metadata": {"name": "a"}, "data": {"x": "3"}})).await.expect(200);
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_not_stored() {
    let server = Server::start().await;
    server.config_map("a", &json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let patch = json!({"data": {"x": "1"}});
    let first = server.patch(&path, MERGE, &patch).await.expect(200);
    let revision = server.0.store.revision();
    assert_eq!(server.patch(&path, MERGE, &patch).await.expect(200), first);
    assert_eq!(server.0.store.revision(), revision);
}

#[tokio::test]
async fn only_changes_of_the_spec_count_for_the_generation() {
    let server = Server::start().await;
    let path = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
    let policy = json!({"metadata": {"name": "p"}, "spec": {"podSelector": {}}});
    assert_eq!(server.post(path, &policy).await.expect(201)["metadata"]["generation"], 1);
    let one = format!("{path}/p");
    let labelled = server.patch(&one, MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
    assert_eq!(labelled["metadata"]["generation"], 1);
    let changed = server.patch(&one, MERGE, &json!({"spec": {"policyTypes": ["Egress"]}})).await.expect(200);
    assert_eq!(changed["metadata"]["generation"], 2);
}

#[tokio::test]
async fn appliers_own_their_fields() {
    let server = Server::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let wanted = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": value}});
    server.patch(&format!("{path}?fieldManager=one"), APPLY, &wanted("1")).await.expect(201);
    let refused = server.patch(&format!("{path}?fieldManager=two"), APPLY, &wanted("2")).await;
    assert_eq!(refused.code, 409);
    assert_eq!(refused.message(), "Apply failed with 1 conflict: conflict with \"one\": .data.x");
    let forced =
        server.patch(&format!("{path}?fieldManager=two&force=true"), APPLY, &wanted("2")).await.expect(200);
    assert_eq!(forced["data"]["x"], "2");
    let nameless = server.patch(&path, APPLY, &wanted("3")).await;
    assert!(nameless.message().ends_with("fieldManager: Required value: is required for apply patch"));
}

#[tokio::test]
async fn bodies_are_bounded_in_size_and_depth() {
    let server = Server::start().await;
    let large = "x".repeat(3 * 1024 * 1024 + 1);
    let refused = server.send(Method::POST, CONFIG_MAPS, JSON, &large).await;
    assert_eq!((refused.code, refused.message()), (413, "Request entity too large: limit is 3145728"));
    let deep = format!("{{\"data\":{}", "[".repeat(100_000));
    assert_eq!(server.send(Method::POST, CONFIG_MAPS, JSON, &deep).await.code, 400);
}

#[tokio::test]
async fn keys_that_occur_twice_in_yaml_are_told_before_unknown_fields() {
    let server = Server::start().await;
    let path = format!("{CONFIG_MAPS}?fieldValidation=Strict");
    let body = "metadata: {name: a}\ndat: {}\ndata:\n  x: a\n  x: b\n";
    let refused = server.send(Method::POST, &path, "application/yaml", body).await;
    assert_eq!(refused.code, 400);
    assert!(
        refused.message().ends_with(
            "strict decoding error: yaml: unmarshal errors:\n  line 5: key \"x\" already set in map, unknown field \"dat\""
        ),
        "{}",
        refused.message()
    );
}
