use aphex_schema::{Definitions, Path, Typed, default, prune, structural, validate};
use serde_json::{Value, json};

use crate::facts;

#[test]
fn objects_are_refused_with_the_causes_of_the_real_server() {
    let facts = facts::read(include_str!("facts/validation.json"));
    let schema = structural::parse(&facts["schema"]).unwrap();
    let definitions = Definitions::none();
    let typed = Typed::new(&schema, &definitions);
    let mut differences = Vec::new();
    for case in facts["cases"].as_array().unwrap() {
        if case["code"] == 400 {
            continue;
        }
        let mut object =
            json!({ "apiVersion": "facts.example.com/v1", "kind": "Values", "metadata": { "name": "n" } });
        match case.get("spec") {
            Some(spec) => object["spec"] = spec.clone(),
            None => object.as_object_mut().unwrap().extend(case["object"].as_object().unwrap().clone()),
        }
        let sent: Value = object.clone();
        prune::prune(&mut object, typed, prune::Options { resource: true, keep: false });
        default::apply(&mut object, typed);
        let mut errors = validate::validate(&object, typed, &Path::root());
        errors.extend(validate::embedded_resources(&object, typed, &Path::root(), false));
        errors.extend(validate::list_types(&object, typed, &Path::root()));
        let (found, wanted) = (facts::causes(errors), facts::recorded(case));
        if found != wanted {
            differences.push(format!("{}\n  found  {found:?}\n  wanted {wanted:?}", sent["spec"]));
        }
    }
    facts::assert_all(&differences);
}
