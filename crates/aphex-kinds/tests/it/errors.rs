//! Messages about objects that break rules.

use serde_json::Value;

static FACTS: &str = include_str!("../facts/errors.yaml");
static UPDATES: &str = include_str!("../facts/updates.yaml");

#[test]
fn messages_are_those_of_kubernetes() {
    let facts: Vec<Value> = serde_saphyr::from_str(FACTS).unwrap();
    let mut wrong = Vec::new();
    for fact in &facts {
        let part = |index: usize| fact["kind"][index].as_str().unwrap();
        let (group, version, kind) = (part(0), part(1), part(2));
        let mut object = fact["given"].clone();
        aphex_kinds::apply_defaults(group, version, kind, &mut object);
        aphex_kinds::prepare_create(group, kind, &mut object);
        let ours = aphex_kinds::validate_create(group, kind, &object);
        let mut ours: Vec<String> = ours.iter().map(ToString::to_string).collect();
        let mut theirs: Vec<&str> =
            fact["errors"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        ours.sort_unstable();
        ours.dedup();
        theirs.sort_unstable();
        theirs.dedup();
        if ours != theirs {
            wrong.push(format!("{kind} {}\n  ours  {ours:#?}\n  wants {theirs:#?}", fact["given"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), facts.len(), wrong.join("\n"));
}

/// Sets the value at a dotted path; null removes it.
fn change(object: &mut Value, path: &str, value: &Value) {
    let (parent, field) = path.rsplit_once('.').unwrap_or(("", path));
    let parent =
        parent.split('.').filter(|step| !step.is_empty()).fold(object, |object, step| &mut object[step]);
    match value {
        Value::Null => drop(parent.as_object_mut().unwrap().remove(field)),
        value => parent[field] = value.clone(),
    }
}

#[test]
fn what_may_not_change_does_not() {
    let facts: Vec<Value> = serde_saphyr::from_str(UPDATES).unwrap();
    let mut wrong = Vec::new();
    for fact in &facts {
        let part = |index: usize| fact["kind"][index].as_str().unwrap();
        let (group, version, kind) = (part(0), part(1), part(2));
        let old = &fact["old"];
        let mut new = old.clone();
        for (path, value) in fact["changes"].as_object().unwrap() {
            change(&mut new, path, value);
        }
        aphex_kinds::apply_defaults(group, version, kind, &mut new);
        aphex_kinds::prepare_update(group, kind, &mut new, old);
        let ours = aphex_kinds::validate_update(group, kind, "", &new, old);
        let ours: Vec<String> = ours.iter().map(ToString::to_string).collect();
        // The diff of internal types that follows some messages is Go's own.
        let theirs = fact["errors"].as_array().unwrap().iter().filter_map(Value::as_str);
        let theirs: Vec<&str> = theirs.filter_map(|text| text.lines().next()).collect();
        if ours != theirs {
            wrong.push(format!("{kind} {}\n  ours  {ours:#?}\n  wants {theirs:#?}", fact["changes"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), facts.len(), wrong.join("\n"));
}
