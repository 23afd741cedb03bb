//! Admission beyond single answers: races, leaks, what takes effect when.

use std::time::Duration;

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, JSON, MERGE, Server};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

async fn quota(server: &Server, hard: &Value, used: &Value) {
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    server.post(QUOTAS, &quota).await.expect(201);
    until_used(server, used).await;
}

async fn used(server: &Server) -> Value {
    server.get(&format!("{QUOTAS}/q")).await.expect(200)["status"]["used"].clone()
}

async fn until_used(server: &Server, wanted: &Value) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while used(server).await != *wanted {
        assert!(tokio::time::Instant::now() < deadline, "{} never became {wanted}", used(server).await);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_creates_never_exceed_a_quota() {
    let server = Server::start().await;
    quota(&server, &json!({"configmaps": "7"}), &json!({"configmaps": "0"})).await;
    let codes = join_all((0..40).map(|number| {
        let server = &server;
        async move {
            let map = json!({"metadata": {"name": format!("m{number}")}});
            server.post(CONFIG_MAPS, &map).await.code
        }
    }))
    .await;
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 7, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 403).count(), 33, "{codes:?}");
    assert_eq!(used(&server).await, json!({"configmaps": "7"}));
    let list = server.get(CONFIG_MAPS).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn a_create_that_fails_charges_nothing() {
    let server = Server::start().await;
    quota(&server, &json!({"configmaps": "5"}), &json!({"configmaps": "0"})).await;
    server.config_map("a", &json!({})).await;
    let again = server.post(CONFIG_MAPS, &json!({"metadata": {"name": "a"}})).await;
    assert_eq!(again.body["reason"], "AlreadyExists");
    assert_eq!(server.post(CONFIG_MAPS, &json!({"metadata": {"name": "A B"}})).await.code, 422);
    assert_eq!(used(&server).await, json!({"configmaps": "1"}));
}

#[tokio::test]
async fn objects_made_while_a_quota_is_made_are_counted() {
    let server = Server::start().await;
    let makers = join_all((0..20).map(|number| {
        let server = &server;
        async move { server.config_map(&format!("m{number}"), &json!({})).await }
    }));
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "100"}}});
    let (_, made) = tokio::join!(makers, server.post(QUOTAS, &quota));
    made.expect(201);
    until_used(&server, &json!({"configmaps": "20"})).await;
}

#[tokio::test]
async fn objects_made_while_a_quota_comes_to_count_them_are_counted() {
    let server = Server::start().await;
    quota(&server, &json!({"secrets": "5"}), &json!({"secrets": "0"})).await;
    let makers = join_all((0..20).map(|number| {
        let server = &server;
        async move { server.config_map(&format!("m{number}"), &json!({})).await }
    }));
    let more = json!({"spec": {"hard": {"configmaps": "100"}}});
    let quota = format!("{QUOTAS}/q");
    let (_, changed) = tokio::join!(makers, server.patch(&quota, MERGE, &more));
    changed.expect(200);
    until_used(&server, &json!({"secrets": "0", "configmaps": "20"})).await;
}

#[tokio::test]
async fn what_is_deleted_is_given_back_quickly() {
    let server = Server::start().await;
    quota(&server, &json!({"configmaps": "50"}), &json!({"configmaps": "0"})).await;
    for number in 0..50 {
        server.config_map(&format!("m{number}"), &json!({"all": ""})).await;
    }
    let start = tokio::time::Instant::now();
    server.delete(&format!("{CONFIG_MAPS}?labelSelector=all"), &Value::Null).await.expect(200);
    until_used(&server, &json!({"configmaps": "0"})).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

fn policy(expression: &str) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}]},
        "validations": [{"expression": expression}],
    }})
}

async fn bind(server: &Server) {
    let binding =
        json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    server.post(BINDINGS, &binding).await.expect(201);
}

#[tokio::test]
async fn a_policy_holds_from_the_answer_to_its_binding_until_the_answer_to_its_removal() {
    let server = Server::start().await;
    let made = server.post(POLICIES, &policy("object.metadata.name != 'no'")).await.expect(201);
    assert_eq!(made["status"], json!({"observedGeneration": 1, "typeChecking": {}}));
    let no = json!({"metadata": {"name": "no"}});
    let dry = format!("{CONFIG_MAPS}?dryRun=All");
    assert_eq!(server.post(&dry, &no).await.code, 201);
    bind(&server).await;
    assert_eq!(server.post(CONFIG_MAPS, &no).await.code, 422);
    let change = json!({"spec": {"validations": [{"expression": "object.metadata.name != 'other'"}]}});
    let changed = server.patch(&format!("{POLICIES}/p"), MERGE, &change).await.expect(200);
    assert_eq!(changed["status"]["observedGeneration"], 2);
    server.post(CONFIG_MAPS, &no).await.expect(201);
    let other = json!({"metadata": {"name": "other"}});
    assert_eq!(server.post(CONFIG_MAPS, &other).await.code, 422);
    server.delete(&format!("{BINDINGS}/b"), &Value::Null).await.expect(200);
    server.post(CONFIG_MAPS, &other).await.expect(201);
}

#[tokio::test]
async fn every_object_of_a_deleted_collection_is_asked_about() {
    let server = Server::start().await;
    for name in ["a", "keep"] {
        server.config_map(name, &json!({})).await;
    }
    server
        .post(POLICIES, &policy("request.operation != 'DELETE' || oldObject.metadata.name != 'keep'"))
        .await
        .expect(201);
    bind(&server).await;
    assert_eq!(server.delete(CONFIG_MAPS, &Value::Null).await.code, 422);
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/keep")).await.code, 200);
}

#[tokio::test]
async fn an_applied_object_is_asked_about_as_well() {
    let server = Server::start().await;
    server.post(POLICIES, &policy("object.data.k != 'bad'")).await.expect(201);
    bind(&server).await;
    let path = format!("{CONFIG_MAPS}/a?fieldManager=t");
    let apply = |value: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": value}})
            .to_string()
    };
    let media = crate::support::APPLY;
    assert_eq!(server.send(Method::PATCH, &path, media, &apply("bad")).await.code, 422);
    assert_eq!(server.send(Method::PATCH, &path, media, &apply("good")).await.code, 201);
    assert_eq!(server.send(Method::PATCH, &path, media, &apply("bad")).await.code, 422);
}

#[tokio::test]
async fn variables_that_build_on_each_other_without_end_are_refused() {
    let server = Server::start().await;
    let variables: Vec<Value> = (0..60)
        .map(|n| {
            let expression = if n == 0 { "1".to_owned() } else { format!("variables.v{} + 1", n - 1) };
            json!({"name": format!("v{n}"), "expression": expression})
        })
        .collect();
    let mut deep = policy("variables.v59 > 0");
    deep["spec"]["variables"] = json!(variables);
    let refused = server.post(POLICIES, &deep).await;
    assert_eq!(refused.code, 422);
    assert!(refused.message().contains("more than 40 levels"), "{}", refused.message());
}

#[tokio::test]
async fn a_pod_waits_for_the_account_of_a_new_namespace() {
    let server = Server::start().await;
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": "new"}})).await.expect(201);
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}).to_string();
    let create = server.send(Method::POST, "/api/v1/namespaces/new/pods", JSON, &pod);
    let (created, ()) = tokio::join!(create, server.account("new"));
    assert_eq!(created.expect(201)["spec"]["serviceAccountName"], "default");
}
