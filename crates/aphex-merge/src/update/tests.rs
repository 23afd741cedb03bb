#![allow(clippy::needless_pass_by_value)] // literals read better passed as they are

use aphex_schema::builtin;
use serde_json::{Value, json};

use super::{Update, update};
use crate::{FieldSet, keep_times};

fn entry(manager: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2030-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn config_map(data: Value, managed: Option<Value>) -> Value {
    let mut object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, "data": data});
    if let Some(managed) = managed {
        object["metadata"]["managedFields"] = managed;
    }
    object
}

fn run(live: Option<&Value>, new: Value, manager: &str, subresource: &str) -> Value {
    let kind = new["kind"].as_str().unwrap().to_owned();
    let (group, version) = new["apiVersion"].as_str().unwrap().split_once('/').unwrap_or(("", "v1"));
    let schema = builtin::typed(group, version, &kind);
    let reset = FieldSet::new();
    update(Update {
        live,
        new,
        schema,
        others: &[],
        manager,
        subresource,
        now: "2031-01-01T00:00:00Z",
        reset: &reset,
    })
}

/// Managers with their fields.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries
        .into_iter()
        .map(|entry| (entry["manager"].as_str().unwrap().to_owned(), entry["fieldsV1"].clone()))
        .collect()
}

#[test]
fn the_creator_owns_what_it_set_and_structs_of_built_ins_by_their_fields_only() {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "n", "labels": {"l": "1"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "containers": [{"name": "c", "image": "i", "resources": {}, "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}}});
    let created = run(None, deployment, "k", "");
    assert_eq!(
        created["metadata"]["managedFields"],
        json!([{"manager": "k", "operation": "Update", "apiVersion": "apps/v1", "time": "2031-01-01T00:00:00Z",
          "fieldsType": "FieldsV1", "fieldsV1": {
            "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
            "f:spec": {"f:replicas": {}, "f:selector": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
                "f:template": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:containers": {
                    "k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}, "f:ports": {".": {},
                        "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}}}}}}}}}])
    );
}

#[test]
fn a_changed_field_changes_owner_and_a_removed_one_has_none() {
    let live = config_map(
        json!({"x": "1", "y": "1"}),
        Some(json!([entry("a", json!({"f:data": {".": {}, "f:x": {}, "f:y": {}}}))])),
    );
    let changed = run(Some(&live), config_map(json!({"x": "2", "y": "1"}), None), "b", "");
    assert_eq!(
        owners(&changed),
        [("a".into(), json!({"f:data": {".": {}, "f:y": {}}})), ("b".into(), json!({"f:data": {"f:x": {}}}))]
    );
    let removed = run(Some(&changed), config_map(json!({"x": "2"}), None), "c", "");
    assert_eq!(
        owners(&removed),
        [("a".into(), json!({"f:data": {}})), ("b".into(), json!({"f:data": {"f:x": {}}}))]
    );
}

#[test]
fn a_manager_has_one_entry_per_subresource_and_a_nameless_one_is_unknown() {
    let live = config_map(json!({"x": "1"}), Some(json!([entry("a", json!({"f:data": {"f:x": {}}}))])));
    let once = run(Some(&live), config_map(json!({"x": "2"}), None), "", "status");
    let entries = once["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!((&entries[0]["manager"], &entries[0]["subresource"]), (&json!("unknown"), &json!("status")));
}

#[test]
fn given_entries_replace_the_old_ones_if_they_can_be_read() {
    let mine = json!([entry("a", json!({"f:data": {"f:x": {}}}))]);
    let live = config_map(json!({"x": "1"}), Some(mine.clone()));
    let given =
        |managed: Value| owners(&run(Some(&live), config_map(json!({"x": "1"}), Some(managed)), "b", ""));
    assert_eq!(given(json!([entry("z", json!({"f:data": {}}))])), [("z".into(), json!({"f:data": {}}))]);
    assert_eq!(given(json!([])), []);
    assert_eq!(given(json!([{}])), []);
    let kept = [("a".to_owned(), json!({"f:data": {"f:x": {}}}))];
    assert_eq!(given(Value::Null), kept);
    for (field, broken) in [("operation", "Guess"), ("fieldsType", "V9"), ("apiVersion", "")] {
        let mut entry = entry("z", json!({}));
        entry[field] = json!(broken);
        assert_eq!(given(json!([entry])), kept, "{field}");
    }
    assert_eq!(given(json!([entry("z", json!({"data": {}}))])), kept);
}

#[test]
fn untracked_objects_stay_untracked() {
    let live = config_map(json!({"x": "1"}), None);
    let new = run(Some(&live), config_map(json!({"x": "2"}), None), "a", "");
    assert_eq!(new["metadata"].get("managedFields"), None);
}

#[test]
fn an_object_that_does_not_fit_loses_its_entries() {
    let live = config_map(json!({"x": "1"}), Some(json!([entry("a", json!({"f:data": {"f:x": {}}}))])));
    let new = run(Some(&live), config_map(json!({"x": ["odd"]}), None), "b", "");
    assert_eq!(new["metadata"].get("managedFields"), None);
}

#[test]
fn times_alone_do_not_make_a_change() {
    let live = config_map(json!({"x": "1"}), Some(json!([entry("a", json!({"f:data": {"f:x": {}}}))])));
    let later = |data: Value| {
        let mut new = config_map(data, Some(json!([entry("a", json!({"f:data": {"f:x": {}}}))])));
        new["metadata"]["managedFields"][0]["time"] = json!("2040-01-01T00:00:00Z");
        new
    };
    let mut same = later(json!({"x": "1"}));
    keep_times(&live, &mut same);
    assert_eq!(same, live);
    let mut other = later(json!({"x": "2"}));
    keep_times(&live, &mut other);
    assert_eq!(other, later(json!({"x": "2"})));
}
