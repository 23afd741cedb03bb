use serde_json::{Value, json};

use super::*;
use crate::model::{ListKind, MapKind, Structure, Type};

fn schema(kind: &str) -> Typed<'static> {
    typed("", "v1", kind).unwrap()
}

#[test]
fn every_shipped_file_is_readable() {
    assert!(definitions().get(OBJECT_META).is_some());
    assert_eq!(resources().first().map(|group| group.name.as_str()), Some(""));
    assert!(openapi_v3_paths().contains(&"apis/apps/v1".to_owned()));
}

#[test]
fn every_discovered_kind_that_can_be_written_has_a_schema() {
    for group in resources() {
        for version in &group.versions {
            for resource in &version.resources {
                if resource.verbs.iter().any(|verb| verb == "create" || verb == "update") {
                    let (mut g, mut v) = (&group.name, &version.version);
                    if !resource.version.is_empty() {
                        (g, v) = (&resource.group, &resource.version);
                    }
                    assert!(typed(g, v, &resource.kind).is_some(), "{g}/{v} {}", resource.kind);
                }
            }
        }
    }
}

#[test]
fn resources_that_need_a_kubelet_are_not_discovered() {
    let core = &resources()[0].versions[0].resources;
    assert!(core.iter().any(|resource| resource.name == "pods/status"));
    assert!(!core.iter().any(|resource| resource.name == "pods/exec"));
    assert!(!openapi_v3_paths().is_empty());
    let document: Value = serde_json::from_slice(&openapi_v3("api/v1").unwrap()).unwrap();
    assert!(document["paths"].get("/api/v1/namespaces/{namespace}/pods/{name}/exec").is_none());
    assert!(document["paths"].get("/api/v1/namespaces/{namespace}/pods/{name}/status").is_some());
}

#[test]
fn special_definitions_get_their_meaning() {
    let port = schema("Service").property("spec").unwrap().property("ports").unwrap().items().unwrap();
    assert!(port.property("targetPort").unwrap().schema().int_or_string);
    let limits = schema("LimitRange").property("spec").unwrap().property("limits").unwrap().items().unwrap();
    let quantity = limits.property("max").unwrap().property("cpu").unwrap().schema();
    assert_eq!((quantity.kind, quantity.one_of.len()), (None, 0));
    let meta = object_meta().unwrap();
    let entry = meta.property("managedFields").unwrap().items().unwrap();
    assert!(entry.property("fieldsV1").unwrap().schema().preserve_unknown);
    assert_eq!(meta.property("creationTimestamp").unwrap().schema().format.as_deref(), Some("date-time"));
}

#[test]
fn merge_information_survives() {
    let containers = schema("Pod").property("spec").unwrap().property("containers").unwrap();
    assert_eq!(containers.structure(), Structure::List(ListKind::Map(&["name".to_owned()])));
    assert_eq!(containers.schema().patch_merge_key.as_deref(), Some("name"));
    let volumes = schema("Pod").property("spec").unwrap().property("volumes").unwrap();
    assert_eq!(volumes.schema().patch_strategy, ["merge", "retainKeys"]);
    let selector = schema("Service").property("spec").unwrap().property("selector").unwrap();
    assert_eq!(selector.structure(), Structure::Map(MapKind::Atomic));
}

#[test]
fn a_reference_keeps_the_patch_strategy_beside_it() {
    let spec = typed("apps", "v1", "Deployment").unwrap().property("spec").unwrap();
    let strategy = spec.property("strategy").unwrap();
    assert_eq!(strategy.schema().patch_strategy, ["retainKeys"]);
    assert_eq!(strategy.property("type").unwrap().schema().kind, Some(Type::String));
}

#[test]
fn a_document_holds_what_its_paths_refer_to() {
    let document: Value = serde_json::from_slice(&openapi_v3("apis/apps/v1").unwrap()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    assert!(deployment["description"].as_str().is_some_and(|text| text.starts_with("Deployment enables")));
    let get = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["get"];
    assert_eq!(get["x-kubernetes-action"], "get");
    assert_eq!(
        get["responses"]["200"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/io.k8s.api.apps.v1.Deployment"
    );
    assert!(openapi_v3("apis/none/v1").is_none());
}

#[test]
fn version_two_has_plain_references_and_body_parameters() {
    let document: Value = serde_json::from_slice(&openapi_v2()).unwrap();
    let definitions = &document["definitions"];
    let strategy = &definitions["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"];
    assert_eq!(strategy["$ref"], "#/definitions/io.k8s.api.apps.v1.DeploymentStrategy");
    assert_eq!(strategy["x-kubernetes-patch-strategy"], "retainKeys");
    let int_or_string = &definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"];
    assert_eq!(
        (&int_or_string["type"], &int_or_string["format"]),
        (&json!("string"), &json!("int-or-string"))
    );
    let put = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["put"];
    assert_eq!(
        put["parameters"][0],
        json!({
            "name": "body", "in": "body", "required": true,
            "schema": { "$ref": "#/definitions/io.k8s.api.core.v1.ConfigMap" },
        })
    );
    assert!(!document.to_string().contains("#/components/"));
}
