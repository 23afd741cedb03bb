//! Lists: selectors, pages, revisions, shapes; discovery beside them.

use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{CONFIG_MAPS, MERGE, Server, names, revision};

#[tokio::test]
async fn selectors_narrow_a_list() {
    let server = Server::start().await;
    server.config_map("a", &json!({"app": "web"})).await;
    server.config_map("b", &json!({"app": "db"})).await;
    let query = async |query: &str| server.get(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(names(&query("labelSelector=app+in+(web,x)").await.expect(200)), ["a"]);
    assert_eq!(names(&query("labelSelector=!app").await.expect(200)), Vec::<&str>::new());
    assert_eq!(names(&query("fieldSelector=metadata.name%3Db").await.expect(200)), ["b"]);
    let wrong = query("labelSelector=a%3D%3D%3Db").await;
    assert_eq!(wrong.message(), "unable to parse requirement: found '=', expected: identifier");
}

#[tokio::test]
async fn one_name_is_found_alone_in_its_namespace_and_in_all() {
    let server = Server::start().await;
    for name in ["web", "web-2", "we"] {
        server.config_map(name, &json!({})).await;
    }
    let query = async |path: &str, fields: &str| {
        let found = server.get(&format!("{path}?fieldSelector={fields}")).await.expect(200);
        names(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let everywhere = "/api/v1/configmaps";
    assert_eq!(query(CONFIG_MAPS, "metadata.name%3Dweb").await, ["web"]);
    assert_eq!(query(everywhere, "metadata.name%3Dweb-2").await, ["web-2"]);
    assert_eq!(query(everywhere, "metadata.namespace%3Ddefault,metadata.name%3Dwe").await, ["we"]);
    assert!(query(everywhere, "metadata.namespace%3Ddefaul").await.is_empty());
    assert!(query(CONFIG_MAPS, "metadata.name%3Dweb,metadata.name%3Dweb-2").await.is_empty());
    assert!(query(CONFIG_MAPS, "metadata.namespace%3Dother,metadata.name%3Dweb").await.is_empty());
    assert_eq!(query("/api/v1/namespaces", "metadata.name%3Ddefault").await, ["default"]);
}

#[tokio::test]
async fn pages_show_one_revision_whatever_happens_between_them() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.config_map(name, &json!({})).await;
    }
    let first = server.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    server.config_map("bb", &json!({})).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["c"]);
    assert_eq!(revision(&second), revision(&first));
    assert!(second["metadata"].get("continue").is_none());
}

#[tokio::test]
async fn an_expired_page_comes_with_a_token_to_go_on() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.config_map(name, &json!({})).await;
    }
    let first = server.get(&format!("{CONFIG_MAPS}?limit=1")).await.expect(200);
    server.config_map("d", &json!({})).await;
    server.0.store.compact(server.0.store.revision()).await.unwrap();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let expired = server.get(&format!("{CONFIG_MAPS}?limit=5&continue={token}")).await;
    assert_eq!((expired.code, expired.body["reason"].as_str().unwrap()), (410, "Expired"));
    let token = expired.body["metadata"]["continue"].as_str().unwrap();
    let rest = server.get(&format!("{CONFIG_MAPS}?limit=5&continue={token}")).await.expect(200);
    assert_eq!(names(&rest), ["b", "c", "d"]);
}

#[tokio::test]
async fn an_exact_revision_shows_the_past() {
    let server = Server::start().await;
    let then = server.config_map("a", &json!({})).await;
    server.patch(&format!("{CONFIG_MAPS}/a"), MERGE, &json!({"data": {"x": "new"}})).await.expect(200);
    let query = format!("{CONFIG_MAPS}?resourceVersion={then}&resourceVersionMatch=Exact");
    let past = server.get(&query).await.expect(200);
    assert!(past["items"][0]["data"].get("x").is_none());
    let future = server.get(&format!("{CONFIG_MAPS}?resourceVersion=99999")).await;
    assert_eq!(future.code, 504);
    assert_eq!(future.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(future.headers["retry-after"], "1");
}

async fn accepting(server: &Server, path: &str, accept: &str) -> (u16, Value) {
    let request = Request::builder().method(Method::GET).uri(path).header("accept", accept);
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let service = server.0.service_as(aphex_apiserver::User::new("admin", ["system:masters"]));
    let response = service.oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn the_shape_is_negotiated() {
    let server = Server::start().await;
    server.config_map("a", &json!({})).await;
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let (_, metadata) = accepting(&server, CONFIG_MAPS, accept).await;
    assert_eq!(metadata["kind"], "PartialObjectMetadataList");
    assert!(metadata["items"][0].get("data").is_none());
    let (_, table) = accepting(&server, CONFIG_MAPS, "application/json;as=Table;g=meta.k8s.io;v=v1").await;
    assert_eq!(table["rows"][0]["cells"][0], "a");
    let (code, refused) = accepting(&server, CONFIG_MAPS, "text/html").await;
    assert_eq!((code, refused["reason"].as_str().unwrap()), (406, "NotAcceptable"));
}

#[tokio::test]
async fn paths_that_lead_nowhere_say_so() {
    let server = Server::start().await;
    let unknown = server.get("/api/v1/namespaces/default/nopes").await;
    assert_eq!((unknown.code, unknown.message()), (404, "the server could not find the requested resource"));
    assert_eq!(server.get("/apis/nope/v1/foo").await.body, "404 page not found\n");
    let absent = server.get(&format!("{CONFIG_MAPS}/x")).await;
    assert_eq!((absent.code, absent.message()), (404, "configmaps \"x\" not found"));
    assert_eq!(server.put(CONFIG_MAPS, &json!({})).await.code, 405);
}

#[tokio::test]
async fn discovery_lists_what_is_served_in_both_forms() {
    let server = Server::start().await;
    let groups = server.get("/apis").await.expect(200);
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "apps"));
    let core = server.get("/api/v1").await.expect(200);
    let found =
        core["resources"].as_array().unwrap().iter().find(|r| r["name"] == "configmaps").unwrap().clone();
    assert_eq!(found["shortNames"], json!(["cm"]));
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let (_, aggregated) = accepting(&server, "/apis", accept).await;
    assert_eq!(aggregated["kind"], "APIGroupDiscoveryList");
    assert_eq!(server.get("/version").await.expect(200)["minor"], "35");
    assert_eq!(server.get("/readyz").await.body, "ok");
}
