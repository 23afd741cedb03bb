use aphex_schema::{Definitions, Typed, default, prune, structural};

use crate::facts;

#[test]
fn objects_are_pruned_and_defaulted_as_by_the_real_server() {
    let facts = facts::read(include_str!("facts/shaping.json"));
    let schema = structural::parse(&facts["schema"]).unwrap();
    let definitions = Definitions::none();
    let typed = Typed::new(&schema, &definitions);
    let mut differences = Vec::new();
    for case in facts["cases"].as_array().unwrap() {
        if case["code"] != 201 {
            continue;
        }
        let mut object = case["object"].clone();
        let unknown = prune::prune(&mut object, typed, prune::Options { resource: true, keep: false });
        default::apply(&mut object, typed);
        if object != case["stored"] {
            differences.push(format!("{}\n  found  {object}\n  wanted {}", case["object"], case["stored"]));
        }
        let told = case["strict"].as_str().unwrap().split_once("strict decoding error: ");
        let (found, wanted) = (prune::strict_message(&unknown), told.map_or("", |(_, fields)| fields));
        if found != wanted {
            differences.push(format!("{}\n  found  {found}\n  wanted {wanted}", case["object"]));
        }
    }
    facts::assert_all(&differences);
}
