//! Compares two values and tells where they differ.

use std::collections::BTreeSet;

use serde_json::Value;

/// One place where the embedded engine and the real one said different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// A path like `/body/metadata/name`; an item of a list is found by its name, `/items/web`, else by its number.
    pub(crate) at: String,
    /// What the embedded engine said; nothing when it said nothing.
    pub(crate) ours: Option<String>,
    /// What the real one said.
    pub(crate) theirs: Option<String>,
}

/// Every difference.
pub(crate) fn compare(ours: &Value, theirs: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("", Some(ours), Some(theirs), &mut found);
    found
}

fn walk(at: &str, ours: Option<&Value>, theirs: Option<&Value>, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                walk(&format!("{at}/{}", escaped(key)), a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => lists(at, a, b, found),
        (a, b) if a == b => {}
        (a, b) => {
            let shown = |value: &Value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            found.push(Difference { at: at.to_owned(), ours: a.map(shown), theirs: b.map(shown) });
        }
    }
}

fn lists(at: &str, a: &[Value], b: &[Value], found: &mut Vec<Difference>) {
    let (Some(names), Some(others)) = (names(a), names(b)) else {
        for number in 0..a.len().max(b.len()) {
            walk(&format!("{at}/{number}"), a.get(number), b.get(number), found);
        }
        return;
    };
    let both: Vec<&String> = names.iter().filter(|name| others.contains(name)).collect();
    let others_of_both: Vec<&String> = others.iter().filter(|name| names.contains(name)).collect();
    if both != others_of_both {
        let shown = |names: &[&String]| Some(format!("{names:?}"));
        found.push(Difference {
            at: format!("{at}/order"),
            ours: shown(&both),
            theirs: shown(&others_of_both),
        });
    }
    for name in names.iter().chain(&others).collect::<BTreeSet<_>>() {
        let of = |names: &[String], items: &'_ [Value]| {
            names.iter().position(|known| known == name).and_then(|at| items.get(at).cloned())
        };
        walk(&format!("{at}/{}", escaped(name)), of(&names, a).as_ref(), of(&others, b).as_ref(), found);
    }
}

/// The items' names, when each has one of its own.
fn names(items: &[Value]) -> Option<Vec<String>> {
    const PLACES: [&str; 6] =
        ["/metadata/name", "/name", "/resource", "/subresource", "/groupVersion", "/version"];
    let name = |item: &Value| {
        if let Value::String(text) = item {
            return Some(text.clone());
        }
        PLACES.iter().find_map(|place| item.pointer(place).and_then(Value::as_str)).map(str::to_owned)
    };
    let names: Vec<String> = items.iter().map(name).collect::<Option<_>>()?;
    let distinct = names.iter().collect::<BTreeSet<_>>().len() == names.len();
    (distinct && !names.is_empty()).then_some(names)
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[test]
fn differences_are_told_by_place() {
    use serde_json::json;
    let ours = json!({ "a": 1, "items": [{ "name": "x", "v": 1 }, { "name": "y" }] });
    let theirs = json!({ "a": 1, "items": [{ "name": "y" }, { "name": "x", "v": 2 }], "b": true });
    let found: Vec<String> = compare(&ours, &theirs).into_iter().map(|found| found.at).collect();
    assert_eq!(found, ["/b", "/items/order", "/items/x/v"]);
    assert_eq!(compare(&ours, &ours), []);
}
