//! Custom resource definitions: served at once, checked as declared, removed with everything of theirs.

use serde_json::{Value, json};

use crate::support::{APPLY, MERGE, Server, names};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn definition(plural: &str, kind: &str) -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "x-kubernetes-validations": [{"rule": "self.size >= oldSelf.size", "message": "size cannot shrink"}],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "color": {"type": "string", "default": "red"},
                "replicas": {"type": "integer"},
            },
        },
        "status": {"type": "object", "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}}},
    }});
    let scale = json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"});
    json!({
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [
                {
                    "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}, "scale": scale},
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                },
                {
                    "name": "v1beta1", "served": true, "storage": false,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                },
            ],
        },
    })
}

fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

async fn serving() -> Server {
    let server = Server::start().await;
    server.post(DEFINITIONS, &definition("widgets", "Widget")).await.expect(201);
    server
}

#[tokio::test]
async fn a_kind_is_served_as_soon_as_its_definition_is_answered() {
    let server = serving().await;
    let created = server.post(WIDGETS, &widget("a", &json!({"size": 1, "nope": 1}))).await.expect(201);
    assert_eq!(created["spec"], json!({"size": 1, "color": "red"}), "defaulted and pruned");
    assert_eq!(created["metadata"]["generation"], 1);
    let other = server.get("/apis/example.com/v1beta1/namespaces/default/widgets/a").await.expect(200);
    assert_eq!(other["apiVersion"], "example.com/v1beta1");
    let list = server.get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dred")).await.expect(200);
    assert_eq!(names(&list), ["a"]);
}

#[tokio::test]
async fn schema_and_rules_are_enforced() {
    let server = serving().await;
    let missing = server.post(WIDGETS, &widget("a", &json!({}))).await;
    assert!(missing.message().contains("spec.size: Required value"), "{}", missing.message());
    server.post(WIDGETS, &widget("a", &json!({"size": 3}))).await.expect(201);
    let shrunk = server.patch(&format!("{WIDGETS}/a"), MERGE, &json!({"spec": {"size": 2}})).await;
    assert_eq!(shrunk.code, 422);
    assert!(shrunk.message().ends_with("size cannot shrink"), "{}", shrunk.message());
    let unversioned = server.put(&format!("{WIDGETS}/a"), &widget("a", &json!({"size": 4}))).await;
    assert!(unversioned.message().ends_with("must be specified for an update"));
}

#[tokio::test]
async fn a_definition_is_refused_for_rules_that_cannot_hold_or_cost_too_much() {
    let server = Server::start().await;
    let rule = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations/0/rule";
    let field = "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule";
    let mut wrong = definition("widgets", "Widget");
    wrong.pointer_mut(rule).unwrap().clone_from(&json!("self.sise > 1"));
    let refused = server.post(DEFINITIONS, &wrong).await;
    assert_eq!(refused.code, 422);
    assert!(refused.message().contains(field), "{}", refused.message());
    assert!(refused.message().contains("undefined field 'sise'"), "{}", refused.message());
    server.post(DEFINITIONS, &definition("widgets", "Widget")).await.expect(201);
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let mut dear = server.get(&path).await.expect(200);
    dear.pointer_mut(rule).unwrap().clone_from(&json!("self.color.contains(self.color)"));
    let refused = server.put(&path, &dear).await;
    assert_eq!(refused.code, 422);
    let words = "estimated rule cost exceeds budget by factor of more than 100x";
    assert!(refused.message().contains(&format!("{field}: Forbidden: {words}")), "{}", refused.message());
}

#[tokio::test]
async fn status_and_spec_have_their_own_endpoints() {
    let server = serving().await;
    server.post(WIDGETS, &widget("a", &json!({"size": 1}))).await.expect(201);
    let both = json!({"spec": {"size": 5}, "status": {"phase": "Ready"}});
    let status = server.patch(&format!("{WIDGETS}/a/status"), MERGE, &both).await.expect(200);
    assert_eq!((&status["spec"]["size"], &status["status"]["phase"]), (&json!(1), &json!("Ready")));
    let main =
        server.patch(&format!("{WIDGETS}/a"), MERGE, &json!({"status": {"phase": "Lost"}})).await.expect(200);
    assert_eq!(main["status"]["phase"], "Ready");
    let scaled = server
        .patch(&format!("{WIDGETS}/a/scale"), MERGE, &json!({"spec": {"replicas": 4}}))
        .await
        .expect(200);
    assert_eq!(scaled["spec"]["replicas"], 4);
    assert_eq!(server.get(&format!("{WIDGETS}/a")).await.expect(200)["spec"]["replicas"], 4);
}

#[tokio::test]
async fn a_default_added_later_shows_in_older_objects() {
    let server = serving().await;
    server.post(WIDGETS, &widget("a", &json!({"size": 1}))).await.expect(201);
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let mut changed = server.get(&path).await.expect(200);
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["shape"] =
        json!({"type": "string", "default": "round"});
    server.put(&path, &changed).await.expect(200);
    assert_eq!(server.get(&format!("{WIDGETS}/a")).await.expect(200)["spec"]["shape"], "round");
    assert_eq!(server.get(WIDGETS).await.expect(200)["items"][0]["spec"]["shape"], "round");
}

#[tokio::test]
async fn a_kind_that_is_taken_is_not_served() {
    let server = serving().await;
    let second = server.post(DEFINITIONS, &definition("gadgets", "Widget")).await.expect(201);
    let conditions = second["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "NamesAccepted" && c["status"] == "False"));
    assert_eq!(server.get("/apis/example.com/v1/gadgets").await.code, 404);
    server.delete(&format!("{DEFINITIONS}/widgets.example.com"), &Value::Null).await.expect(200);
    server.until("/apis/example.com/v1/gadgets", 200).await;
}

#[tokio::test]
async fn a_definition_goes_after_its_objects() {
    let server = serving().await;
    let held = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "finalizers": ["example.com/x"]}, "spec": {"size": 1}});
    server.post(WIDGETS, &held).await.expect(201);
    let path = format!("{DEFINITIONS}/widgets.example.com");
    server.delete(&path, &Value::Null).await.expect(200);
    let refused = server.post(WIDGETS, &widget("b", &json!({"size": 1}))).await;
    assert_eq!((refused.code, refused.body["reason"].as_str().unwrap()), (405, "MethodNotAllowed"));
    assert_eq!(server.get(&path).await.code, 200, "an object still holds it");
    server
        .patch(&format!("{WIDGETS}/a"), MERGE, &json!({"metadata": {"finalizers": null}}))
        .await
        .expect(200);
    server.until(&path, 404).await;
    // The kind stops being served a moment after its definition is gone, as with Kubernetes' own informers.
    server.until(WIDGETS, 404).await;
}

#[tokio::test]
async fn apply_merges_by_the_schema_of_the_kind() {
    let server = serving().await;
    let path = format!("{WIDGETS}/a?fieldManager=one");
    server.patch(&path, APPLY, &widget("a", &json!({"size": 1}))).await.expect(201);
    let unknown = server.patch(&path, APPLY, &widget("a", &json!({"size": 1, "nope": 2}))).await;
    assert!(unknown.message().ends_with(".spec.nope: field not declared in schema"), "{}", unknown.message());
}
