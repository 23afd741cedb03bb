use std::path::PathBuf;

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../platform/crds")
}

#[test]
fn the_committed_definitions_are_the_generated_ones() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let files = files().unwrap();
    for file in &files {
        let path = folder().join(&file.name);
        if update {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &file.text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == file.text, "{} is out of date: cargo xtask crds", path.display());
    }
    let strangers: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !files.iter().any(|file| &file.name == name))
        .collect();
    assert!(strangers.is_empty(), "nothing generates {strangers:?}");
}

fn find<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key));
            fields.values().for_each(|field| find(field, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| find(item, key, found)),
        _ => {}
    }
}

#[test]
fn every_definition_has_status_conditions_and_a_category() {
    for definition in all() {
        let kind = definition.spec.names.kind.clone();
        assert_eq!(definition.spec.names.categories, Some(vec!["aphex".to_owned()]), "{kind}");
        let version = &definition.spec.versions[0];
        // A Delivery is created with its verdict, which the engine would drop (docs/adr/0048-verdict-first.md).
        let subresource = version.subresources.as_ref().is_some_and(|s| s.status.is_some());
        assert_eq!(subresource, kind != "Delivery", "{kind}");
        let schema = serde_json::to_value(&version.schema).unwrap();
        let status = &schema["openAPIV3Schema"]["properties"]["status"]["properties"];
        assert_eq!(status["conditions"]["x-kubernetes-list-map-keys"], json!(["type"]), "{kind}");
        for field in ["phase", "message", "observedGeneration"] {
            assert!(status[field].is_object(), "{kind} has no status.{field}");
        }
    }
}

#[test]
fn short_names_are_the_published_ones() {
    let short =
        |definition: &CustomResourceDefinition| definition.spec.names.short_names.clone().unwrap_or_default();
    let names: Vec<Vec<String>> = all().iter().map(short).collect();
    assert_eq!(names, [vec!["org"], vec!["rb"], vec!["kb"], vec![], vec!["dlv"]]);
}

#[test]
fn no_field_of_ours_may_be_null() {
    let value = serde_json::to_value(all()).unwrap();
    let mut nullable = Vec::new();
    find(&value, "nullable", &mut nullable);
    assert!(nullable.is_empty());
}

#[test]
fn what_is_immutable_is_guarded_by_a_transition_rule() {
    let value = serde_json::to_value(all()).unwrap();
    let mut rules = Vec::new();
    find(&value, "x-kubernetes-validations", &mut rules);
    let messages: Vec<&str> = rules
        .iter()
        .flat_map(|list| list.as_array().unwrap())
        .filter_map(|r| r["message"].as_str())
        .collect();
    for field in ["aphexOrg", "pipelineName", "tenantName", "organization"] {
        assert!(messages.contains(&format!("{field} is immutable").as_str()), "{field}");
    }
}
