//! Whether an apply would change anything.
//!
//! It would not when everything wanted is there (what the server or others added does not matter) and is our field
//! manager's, and when that owns nothing that is no longer wanted, which only an apply can give up. A list without keys
//! is owned as one: whoever else changes something in it owns it all from then on, and what we want no longer of it
//! shows in the mark that each object carries of what was applied last ([`super::Manifest::marked`]).

use aphex_api::labels::FIELD_MANAGER;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Map, Value};

/// Whether applying `wanted` over `live` would change nothing.
pub(super) fn is_up_to_date(wanted: &Value, live: &DynamicObject) -> bool {
    let Ok(mut object) = serde_json::to_value(live) else { return false };
    // Items of a list of built-in objects do not name their kind; the key under which they were found does.
    for field in ["apiVersion", "kind"] {
        if let Some(value) = wanted.get(field) {
            object[field] = value.clone();
        }
    }
    let applied = live.managed_fields().iter().find(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    });
    let Some(Value::Object(owned)) =
        applied.and_then(|entry| entry.fields_v1.as_ref()).map(|fields| &fields.0)
    else {
        return false;
    };
    covers(&object, wanted) && owned_is_wanted(owned, wanted) && wanted_is_owned(wanted, owned, &[])
}

/// Whether everything in `wanted` is in `live`.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| match live.get(name) {
                Some(live) => covers(live, wanted),
                None => is_empty(wanted),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        _ => live == wanted,
    }
}

/// Whether a value is one that a typed object leaves out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether everything in a field set (`FieldsV1`, KEP-555) is in `wanted`.
fn owned_is_wanted(owned: &Map<String, Value>, wanted: &Value) -> bool {
    owned.iter().all(|(element, below)| {
        let Some(found) = step(element, wanted) else { return false };
        match below {
            Value::Object(below) => owned_is_wanted(below, found),
            _ => true,
        }
    })
}

/// What no field manager owns: it tells which object it is.
const IDENTITY: [&[&str]; 4] =
    [&["apiVersion"], &["kind"], &["metadata", "name"], &["metadata", "namespace"]];

/// Whether everything in `wanted` is in a field set.
fn wanted_is_owned(wanted: &Value, owned: &Map<String, Value>, path: &[&str]) -> bool {
    match wanted {
        Value::Object(fields) => fields.iter().all(|(name, value)| {
            let path = [path, &[name.as_str()]].concat();
            if is_empty(value) || IDENTITY.contains(&path.as_slice()) {
                return true;
            }
            owned.get(&format!("f:{name}")).is_some_and(|below| is_owned(value, below, &path))
        }),
        Value::Array(items) => items.iter().all(|item| {
            let leads_here =
                |element: &str| step(element, wanted).is_some_and(|found| std::ptr::eq(found, item));
            owned.iter().any(|(element, below)| leads_here(element) && is_owned(item, below, path))
        }),
        _ => true,
    }
}

/// Whether a value is owned by the node of a field set that it leads to; one without branches owns all below it.
fn is_owned(value: &Value, node: &Value, path: &[&str]) -> bool {
    match node {
        Value::Object(branches) if branches.keys().any(|element| element != ".") => {
            wanted_is_owned(value, branches, path)
        }
        _ => true,
    }
}

/// The value that one element of a field path leads to.
fn step<'a>(element: &str, value: &'a Value) -> Option<&'a Value> {
    let (kind, rest) = element.split_once(':').unwrap_or((element, ""));
    match kind {
        "." => Some(value),
        "f" => value.get(rest),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
            // A key that the server defaulted (a port's protocol) is not in what we wrote.
            let matches =
                |item: &&Value| keys.iter().all(|(name, key)| item.get(name).is_none_or(|have| have == key));
            value.as_array()?.iter().find(matches)
        }
        "v" => {
            let wanted: Value = serde_json::from_str(rest).ok()?;
            value.as_array()?.iter().find(|item| **item == wanted)
        }
        "i" => value.as_array()?.get(rest.parse::<usize>().ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(extra: &Value, owned: &Value) -> DynamicObject {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Thing",
            "metadata": {
                "name": "a",
                "labels": { "x": "1", "theirs": "2" },
                "managedFields": [
                    { "manager": "someone", "operation": "Update", "fieldsV1": { "f:spec": { "f:theirs": {} } } },
                    { "manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": owned },
                ],
            },
            "spec": { "list": [{ "name": "n", "protocol": "TCP" }], "theirs": true },
        });
        for (key, value) in extra.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn wanted() -> Value {
        json!({ "metadata": { "name": "a", "labels": { "x": "1" } }, "spec": { "list": [{ "name": "n" }], "none": [] } })
    }

    fn owned() -> Value {
        json!({ "f:metadata": { "f:labels": { "f:x": {} } }, "f:spec": { "f:list": { "k:{\"name\":\"n\"}": { ".": {}, "f:name": {} } } } })
    }

    #[test]
    fn what_others_added_does_not_matter() {
        assert!(is_up_to_date(&wanted(), &live(&json!({}), &owned())));
    }

    #[test]
    fn an_item_of_a_list_need_not_name_its_kind() {
        let mut wanted = wanted();
        wanted["kind"] = json!("Thing");
        let mut object = live(&json!({}), &owned());
        object.types = None;
        assert!(is_up_to_date(&wanted, &object));
    }

    #[test]
    fn a_changed_a_missing_and_a_longer_value_do() {
        let mut other = wanted();
        other["metadata"]["labels"]["x"] = json!("3");
        assert!(!is_up_to_date(&other, &live(&json!({}), &owned())));
        let mut more = wanted();
        more["spec"]["more"] = json!(1);
        assert!(!is_up_to_date(&more, &live(&json!({}), &owned())));
        let longer = json!({ "list": [{ "name": "n" }, { "name": "m" }] });
        assert!(!is_up_to_date(&wanted(), &live(&longer, &owned())));
    }

    #[test]
    fn a_field_of_ours_that_is_no_longer_wanted_does() {
        let mut more = owned();
        more["f:spec"]["f:theirs"] = json!({});
        assert!(!is_up_to_date(&wanted(), &live(&json!({}), &more)));
        let mut label = owned();
        label["f:metadata"]["f:labels"]["f:theirs"] = json!({});
        assert!(!is_up_to_date(&wanted(), &live(&json!({}), &label)));
        let mut item = owned();
        item["f:spec"]["f:list"]["k:{\"name\":\"gone\"}"] = json!({});
        assert!(!is_up_to_date(&wanted(), &live(&json!({}), &item)));
    }

    #[test]
    fn what_is_not_ours_any_more_does() {
        // Somebody opened a list without keys, and owns it since.
        let mut given_up = owned();
        given_up["f:spec"] = json!({ "f:list": {} });
        let open = json!({ "peers": [{ "podSelector": {}, "namespaceSelector": {} }] });
        let mut wanted = wanted();
        wanted["spec"]["peers"] = json!([{ "podSelector": {}, "port": 1 }]);
        assert!(!is_up_to_date(&wanted, &live(&open, &given_up)));
        let same = json!({ "peers": [{ "podSelector": {}, "namespaceSelector": {}, "port": 1 }] });
        assert!(!is_up_to_date(&wanted, &live(&same, &given_up)), "what is wanted is there, and more");
        given_up["f:spec"]["f:peers"] = json!({});
        assert!(is_up_to_date(&wanted, &live(&same, &given_up)), "only the server can have added to ours");
    }

    #[test]
    fn an_object_that_we_never_applied_is_not_up_to_date() {
        let mut object = live(&json!({}), &owned());
        object.metadata.managed_fields = None;
        assert!(!is_up_to_date(&wanted(), &object));
    }
}
