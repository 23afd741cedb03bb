//! Messages about objects that break rules.

use serde_json::Value;

static FACTS: &str = include_str!("../facts/errors.yaml");

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
