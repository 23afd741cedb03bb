use serde_json::{Value, json};

use super::{Managed, ManagerId, entries};

fn entry(manager: &str, operation: &str, time: Option<&str>, version: &str) -> Value {
    let mut entry = json!({"manager": manager, "operation": operation, "apiVersion": version, "fieldsType": "FieldsV1",
        "fieldsV1": {format!("f:{manager}"): {}}});
    if let Some(time) = time {
        entry["time"] = json!(time);
    }
    entry
}

fn written(managed: &Managed) -> Vec<String> {
    let mut object = json!({});
    managed.encode_into(&mut object);
    let written = entries(&object).and_then(Value::as_array).cloned().unwrap_or_default();
    written.iter().map(|entry| entry["manager"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn entries_are_sorted_by_operation_time_and_manager() {
    let given = json!([
        entry("u2", "Update", Some("2030-01-01T00:00:02Z"), "v1"),
        entry("u1", "Update", Some("2030-01-01T02:00:01+02:00"), "v1"),
        entry("z", "Apply", Some("2030-01-01T00:00:09Z"), "v1"),
        entry("b", "Update", None, "v1"),
        entry("a", "Update", None, "v1"),
    ]);
    let managed = Managed::decode(Some(&given)).unwrap();
    assert_eq!(written(&managed), ["z", "a", "b", "u1", "u2"]);
}

#[test]
fn more_than_ten_updaters_become_ancient_changes_per_version() {
    let time = |second: usize| format!("2030-01-01T00:00:{second:02}Z");
    let given: Vec<Value> = (0..13)
        .map(|n| entry(&format!("m{n:02}"), "Update", Some(&time(n)), if n == 1 { "v2" } else { "v1" }))
        .chain([entry("applier", "Apply", Some(&time(0)), "v1")])
        .collect();
    let mut managed = Managed::decode(Some(&Value::from(given))).unwrap();
    managed.cap();
    // The oldest of each version opens a bucket; the ones after it fall in until ten updaters are left.
    assert_eq!(
        written(&managed),
        ["applier", "m01", "ancient-changes", "m05", "m06", "m07", "m08", "m09", "m10", "m11", "m12"]
    );
    let bucket = &managed.owners[&ManagerId::new("ancient-changes", false, "v1", "")];
    assert_eq!(bucket.set.to_value(), json!({"f:m00": {}, "f:m02": {}, "f:m03": {}, "f:m04": {}}));
}

#[test]
fn a_manager_is_described_as_conflict_messages_do() {
    let described = |applied, subresource| ManagerId::new("m", applied, "apps/v1", subresource).described();
    assert_eq!(described(true, ""), "\"m\"");
    assert_eq!(described(false, ""), "\"m\" using apps/v1");
    assert_eq!(described(false, "status"), "\"m\" with subresource \"status\" using apps/v1");
}
