//! Deletes: preconditions, finalizers, propagation, namespaces.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, MERGE, Server, names};

#[tokio::test]
async fn a_delete_answers_with_what_went() {
    let server = Server::start().await;
    server.config_map("a", &json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let status = server.delete(&path, &Value::Null).await.expect(200);
    assert_eq!(
        (status["status"].as_str().unwrap(), status["details"]["kind"].as_str().unwrap()),
        ("Success", "configmaps")
    );
    assert_eq!(server.delete(&path, &Value::Null).await.code, 404);
}

#[tokio::test]
async fn preconditions_protect_the_wrong_object() {
    let server = Server::start().await;
    server.config_map("a", &json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let refused = server.delete(&path, &json!({"preconditions": {"uid": "zzz"}})).await;
    assert_eq!(refused.code, 409);
    assert!(refused.message().starts_with(
        "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (zzz) does not match"
    ));
    assert_eq!(server.get(&path).await.code, 200);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let server = Server::start().await;
    server.config_map("a", &json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    server.patch(&path, MERGE, &json!({"metadata": {"finalizers": ["example.com/x"]}})).await.expect(200);
    let going = server.delete(&path, &Value::Null).await.expect(200);
    assert!(going["metadata"]["deletionTimestamp"].is_string());
    let late = server
        .patch(&path, MERGE, &json!({"metadata": {"finalizers": ["example.com/x", "example.com/y"]}}))
        .await;
    assert_eq!(late.code, 422);
    server.patch(&path, MERGE, &json!({"metadata": {"finalizers": null}})).await.expect(200);
    assert_eq!(server.get(&path).await.code, 404);
}

#[tokio::test]
async fn propagation_becomes_a_finalizer_for_the_collector() {
    let server = Server::start().await;
    for (name, policy, finalizer) in [("a", "Foreground", "foregroundDeletion"), ("b", "Orphan", "orphan")] {
        server.config_map(name, &json!({})).await;
        let path = format!("{CONFIG_MAPS}/{name}?propagationPolicy={policy}");
        let going = server.delete(&path, &Value::Null).await.expect(200);
        assert_eq!(going["metadata"]["finalizers"], json!([finalizer]));
    }
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let server = Server::start().await;
    server.config_map("a", &json!({"app": "x"})).await;
    server.config_map("b", &json!({})).await;
    let gone = server.delete(&format!("{CONFIG_MAPS}?labelSelector=app"), &Value::Null).await.expect(200);
    assert_eq!(names(&gone), ["a"]);
    assert_eq!(names(&server.get(CONFIG_MAPS).await.expect(200)), ["b"]);
}

#[tokio::test]
async fn a_terminating_namespace_takes_nothing_new_and_ends_when_finalized() {
    let server = Server::start().await;
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": "team"}})).await.expect(201);
    let path = "/api/v1/namespaces/team";
    let going = server.delete(path, &Value::Null).await.expect(200);
    assert_eq!(going["status"]["phase"], "Terminating");
    let refused = server.post(&format!("{path}/configmaps"), &json!({"metadata": {"name": "a"}})).await;
    assert_eq!(refused.code, 403);
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    server
        .put(&format!("{path}/finalize"), &json!({"metadata": {"name": "team"}, "spec": {}}))
        .await
        .expect(200);
    assert_eq!(server.get(path).await.code, 404);
    let kept = server.delete("/api/v1/namespaces/default", &Value::Null).await;
    assert_eq!(kept.message(), "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

#[tokio::test]
async fn a_running_pod_gets_its_grace() {
    let server = Server::start().await;
    server.account("default").await;
    let path = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    server.post(path, &pod).await.expect(201);
    let one = format!("{path}/p");
    let going = server.delete(&one, &Value::Null).await.expect(200);
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 30);
    server.delete(&one, &json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(server.get(&one).await.code, 404);
}
