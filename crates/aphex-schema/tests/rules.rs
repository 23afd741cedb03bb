use aphex_schema::rules::Rules;
use aphex_schema::{Definitions, Typed, custom, default, prune, structural};
use serde_json::{Value, json};

use crate::facts;

#[test]
fn rules_fail_with_the_causes_of_the_real_server() {
    let facts = facts::read(include_str!("facts/rules.json"));
    let schema = structural::parse(&facts["schema"]).unwrap();
    let rules = Rules::compile(&schema).unwrap();
    let definitions = Definitions::none();
    let prepare = |case: &Value, spec: &str| {
        let name = case.get("name").cloned().unwrap_or(json!("n"));
        let mut object =
            json!({ "apiVersion": "facts.example.com/v1", "kind": "Rules", "metadata": { "name": name } });
        object["spec"] = case.get(spec)?.clone();
        let typed = Typed::new(&schema, &definitions);
        prune::prune(&mut object, typed, prune::Options { resource: true, keep: false });
        default::apply(&mut object, typed);
        Some(object)
    };
    let mut differences = Vec::new();
    for case in facts["cases"].as_array().unwrap() {
        let object = prepare(case, "spec").unwrap();
        let old = prepare(case, "old");
        let found = facts::causes(custom::check(&object, old.as_ref(), &schema, &rules));
        let wanted = facts::recorded(case);
        if found != wanted {
            differences.push(format!(
                "{} <- {}\n  found  {found:?}\n  wanted {wanted:?}",
                case["spec"], case["old"]
            ));
        }
    }
    facts::assert_all(&differences);
}
