use aphex_schema::rules::Rules;
use aphex_schema::{custom, structural};
use serde_json::{Value, json};

use crate::facts;

#[test]
fn what_did_not_change_may_stay_invalid_as_on_the_real_server() {
    let facts = facts::read(include_str!("facts/ratcheting.json"));
    let schema = structural::parse(&facts["schema"]).unwrap();
    let rules = Rules::compile(&schema).unwrap();
    let object = |spec: &Value| {
        let metadata = json!({ "name": "n" });
        json!({ "apiVersion": "facts.example.com/v1", "kind": "Ratchets", "metadata": metadata, "spec": spec })
    };
    let mut differences = Vec::new();
    for case in facts["cases"].as_array().unwrap() {
        let (new, old) = (object(&case["spec"]), object(&case["old"]));
        let found = facts::causes(custom::check(&new, Some(&old), &schema, &rules));
        let wanted = facts::recorded(case);
        if found != wanted {
            differences.push(format!(
                "{} <- {}\n  found  {found:?}\n  wanted {wanted:?}",
                case["spec"], case["old"]
            ));
        }
        if custom::check(&new, None, &schema, &rules).is_empty() {
            differences.push(format!("{} should be invalid when created", case["spec"]));
        }
    }
    facts::assert_all(&differences);
}
