//! Services, pods and what scales: what is allocated, bound, evicted, reported.

use serde_json::{Value, json};

use crate::support::{MERGE, Server};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn service(name: &str, spec: &Value) -> Value {
    json!({"metadata": {"name": name}, "spec": spec})
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test]
async fn services_get_addresses_and_ports_that_no_other_has() {
    let server = Server::start().await;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let first = server.post(SERVICES, &service("a", &spec)).await.expect(201);
    let second = server.post(SERVICES, &service("b", &spec)).await.expect(201);
    assert_ne!(first["spec"]["clusterIP"], second["spec"]["clusterIP"]);
    assert_ne!(first["spec"]["ports"][0]["nodePort"], second["spec"]["ports"][0]["nodePort"]);

    let taken = json!({"clusterIP": first["spec"]["clusterIP"], "ports": [{"port": 80}]});
    let refused = server.post(SERVICES, &service("c", &taken)).await;
    assert_eq!(refused.code, 422);
    assert!(refused.message().ends_with("provided IP is already allocated"), "{}", refused.message());
    let path = format!("{SERVICES}/a");
    server.delete(&path, &Value::Null).await.expect(200);
    server.post(SERVICES, &service("c", &taken)).await.expect(201);
}

#[tokio::test]
async fn a_service_keeps_its_address_and_loses_what_its_new_type_does_not_have() {
    let server = Server::start().await;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let before = server.post(SERVICES, &service("a", &spec)).await.expect(201);
    let path = format!("{SERVICES}/a");
    let after = server.patch(&path, MERGE, &json!({"spec": {"type": "ClusterIP"}})).await.expect(200);
    assert_eq!(after["spec"]["clusterIP"], before["spec"]["clusterIP"]);
    assert_eq!(after["spec"]["ports"][0].get("nodePort"), None);
    let moved = server.patch(&path, MERGE, &json!({"spec": {"clusterIP": "10.96.9.9"}})).await;
    assert_eq!(moved.code, 422);
    assert!(moved.message().ends_with("may not change once set"), "{}", moved.message());
}

#[tokio::test]
async fn a_pod_is_bound_to_one_node() {
    let server = Server::start().await;
    server.account("default").await;
    server.post(PODS, &pod("p")).await.expect(201);
    let binding = |node: &str| json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}});
    let path = format!("{PODS}/p/binding");
    server.post(&path, &binding("n")).await.expect(201);
    let again = server.post(&path, &binding("m")).await;
    assert_eq!(again.code, 409);
    assert!(again.message().ends_with("pod p is already assigned to node \"n\""), "{}", again.message());
    let bound = server.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(bound["spec"]["nodeName"], "n");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
}

#[tokio::test]
async fn a_budget_keeps_a_running_pod_from_being_evicted() {
    let server = Server::start().await;
    server.account("default").await;
    server.post(PODS, &pod("p")).await.expect(201);
    server
        .patch(&format!("{PODS}/p/status"), MERGE, &json!({"status": {"phase": "Running"}}))
        .await
        .expect(200);
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
    });
    server.post(budgets, &budget).await.expect(201);
    let path = format!("{PODS}/p/eviction");
    let eviction = json!({"metadata": {"name": "p"}});
    assert_eq!(server.post(&path, &eviction).await.code, 429);
    server.delete(&format!("{budgets}/b"), &Value::Null).await.expect(200);
    server.post(&path, &eviction).await.expect(201);
    assert_eq!(server.get(&format!("{PODS}/p")).await.code, 404);
}

#[tokio::test]
async fn numbers_of_replicas_are_numbers_and_not_negative() {
    let server = Server::start().await;
    let deployment = json!({
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    });
    server.post(DEPLOYMENTS, &deployment).await.expect(201);
    let scale = format!("{DEPLOYMENTS}/d/scale");
    for wrong in [json!("x"), json!(-1)] {
        assert_eq!(
            server.patch(&scale, MERGE, &json!({"spec": {"replicas": wrong}})).await.code,
            422,
            "{wrong}"
        );
    }
    let status = format!("{DEPLOYMENTS}/d/status");
    let refused = server.patch(&status, MERGE, &json!({"status": {"replicas": -2}})).await;
    assert_eq!(refused.code, 422);
    assert!(refused.message().contains("status.replicas"), "{}", refused.message());
}
