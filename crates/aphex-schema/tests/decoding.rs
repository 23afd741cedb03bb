use aphex_schema::{builtin, decode};

use crate::facts;

/// Go's own names for strings, which no published data has.
const UNPUBLISHED: &[&str] = &["v1.DeploymentStrategyType", "[]v1.Capability", "v1.RestartPolicy"];

#[test]
fn wrong_json_types_are_refused_with_the_message_of_the_real_server() {
    let facts = facts::read(include_str!("facts/decode.json"));
    let mut differences = Vec::new();
    for case in facts.as_array().unwrap() {
        let (object, wanted) = (&case["object"], case["message"].as_str().unwrap());
        if UNPUBLISHED.iter().any(|name| wanted.ends_with(&format!("of type {name}"))) {
            continue;
        }
        let kind = object["kind"].as_str().unwrap();
        let (group, version) = (case["group"].as_str().unwrap(), case["version"].as_str().unwrap());
        let schema = builtin::typed(group, version, kind).unwrap();
        let found = match decode::check(object, schema) {
            Ok(()) => String::new(),
            Err(cause) => decode::message(kind, version, &cause),
        };
        if found != wanted {
            differences.push(format!("{object}\n  found  {found}\n  wanted {wanted}"));
        }
    }
    facts::assert_all(&differences);
}
