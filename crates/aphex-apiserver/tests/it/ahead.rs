//! Creates whose answer need not wait for the disk (`Prefer: commit=ahead`).

use std::time::Duration;

use aphex_apiserver::{ApiServer, Config};
use aphex_store::{Options, Store};
use futures::future::join_all;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Answer, CONFIG_MAPS, JSON, Server};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

async fn create(server: &Server, path: &str, name: &str) -> Answer {
    let object = json!({ "metadata": { "name": name } });
    let request = Request::builder().method(Method::POST).uri(path).header("content-type", JSON);
    server.ask(request.header("prefer", "respond-async, commit=ahead"), &object.to_string()).await
}

async fn quota(server: &Server, most: &str) {
    let quota = json!({ "metadata": { "name": "q" }, "spec": { "hard": { "configmaps": most } } });
    server.post(QUOTAS, &quota).await.expect(201);
}

async fn until_used(server: &Server, most: &str, used: &str) {
    let wanted = json!({ "hard": { "configmaps": most }, "used": { "configmaps": used } });
    let status = || async { server.get(&format!("{QUOTAS}/q")).await.expect(200)["status"].clone() };
    let reached = async {
        while status().await != wanted {
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(10), reached).await;
    assert!(reached.is_ok(), "the quota says {}", status().await);
}

fn without_stamps(mut object: Value) -> Value {
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    object
}

#[tokio::test]
async fn what_is_created_ahead_is_what_a_create_makes() {
    let server = Server::start().await;
    let ahead = create(&server, CONFIG_MAPS, "a").await.expect(201);
    let plain = server.post(CONFIG_MAPS, &json!({ "metadata": { "name": "b" } })).await.expect(201);
    // The later one was answered, so the earlier one is there.
    let there = server.get(&format!("{CONFIG_MAPS}/a")).await.expect(200);
    assert_eq!(there, ahead);
    let renamed = |object: Value| {
        let mut object = without_stamps(object);
        object["metadata"]["name"] = json!("x");
        object
    };
    assert_eq!(renamed(ahead), renamed(plain));
    let again = create(&server, CONFIG_MAPS, "a").await;
    assert_eq!((again.code, &again.body["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(create(&server, CONFIG_MAPS, "A B").await.code, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_created_ahead_never_exceeds_a_quota() {
    let server = Server::start().await;
    quota(&server, "7").await;
    until_used(&server, "7", "0").await;
    let names: Vec<String> = (0..40).map(|number| format!("m{number}")).collect();
    let answers = join_all(names.iter().map(|name| create(&server, CONFIG_MAPS, name))).await;
    let codes: Vec<u16> = answers.iter().map(|answer| answer.code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 7, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 403).count(), 33, "{codes:?}");
    until_used(&server, "7", "7").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_created_ahead_while_a_quota_is_made_is_counted() {
    // On a real disk, for that long an object is answered for and cannot be counted.
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store.redb"), Options::default()).unwrap();
    let server = Server(ApiServer::start(Config::new(store)).await.unwrap());
    let makers = join_all((0..8).map(|maker| {
        let server = &server;
        async move {
            for number in 0..25 {
                create(server, CONFIG_MAPS, &format!("m{maker}-{number}")).await.expect(201);
            }
        }
    }));
    let later = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        quota(&server, "500").await;
    };
    tokio::join!(makers, later);
    until_used(&server, "500", "200").await;
}
