//! Defaults and table rows of objects of every kind.

use jiff::Timestamp;
use serde_json::Value;

static FACTS: &str = include_str!("../facts/objects.yaml");

/// Every object of the fixture with its group, version and kind.
fn facts() -> Vec<(String, String, String, Value)> {
    let facts: Vec<Value> = serde_saphyr::from_str(FACTS).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |fact: &Value, i: usize| text(&fact["kind"][i]);
    facts.into_iter().map(|fact| (name(&fact, 0), name(&fact, 1), name(&fact, 2), fact)).collect()
}

#[test]
fn objects_are_completed_as_kubernetes_completes_them() {
    let mut wrong = Vec::new();
    for (group, version, kind, fact) in facts() {
        let mut object = fact["given"].clone();
        aphex_kinds::apply_defaults(&group, &version, &kind, &mut object);
        if kind != "Node" {
            // The API server drops the status that a caller sends, except a node's.
            object.as_object_mut().unwrap().remove("status");
        }
        aphex_kinds::prepare_create(&group, &kind, &mut object);
        let stored = &fact["stored"];
        if object != *stored {
            wrong.push(format!("{kind}:\n  ours  {object}\n  wants {stored}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn table_rows_are_those_of_kubernetes() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut wrong = Vec::new();
    for (group, _, kind, fact) in facts() {
        let ours = aphex_kinds::cells(&group, &kind, &fact["stored"], now);
        assert_eq!(ours.len(), aphex_kinds::columns(&group, &kind).len(), "{kind}");
        for (index, (ours, theirs)) in ours.iter().zip(fact["cells"].as_array().unwrap()).enumerate() {
            // Null marks what an allocator decides; events were recorded later than they happened.
            let varies = theirs.is_null() || kind == "Event" && matches!(index, 0 | 7);
            if !varies && ours != theirs {
                wrong.push(format!("{kind} column {index}: ours {ours}, wants {theirs}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_wrong_with_what_kubernetes_stored() {
    let mut wrong = Vec::new();
    for (group, _, kind, fact) in facts() {
        let stored = &fact["stored"];
        let errors = aphex_kinds::validate_create(&group, &kind, stored);
        let changed = aphex_kinds::validate_update(&group, &kind, "", stored, stored);
        wrong.extend(errors.iter().chain(&changed).map(|error| format!("{kind}: {error}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
