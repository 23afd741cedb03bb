//! Which names a definition gets: `pkg/controller/status/naming_controller.go` of apiextensions-apiserver.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::object;

/// Settles `status.acceptedNames` and the conditions NamesAccepted and Established.
pub(super) fn settle<'a>(definition: &mut Value, others: impl IntoIterator<Item = &'a Value>, now: &str) {
    let taken = taken(definition, others);
    let requested = object::at(definition, "spec.names").cloned().unwrap_or_else(|| json!({}));
    let mut accepted = object::at(definition, "status.acceptedNames").cloned().unwrap_or_else(|| json!({}));
    let conflict = accept(&requested, &mut accepted, &taken);
    for field in ["plural", "kind"] {
        if accepted.get(field).is_none() {
            accepted[field] = json!("");
        }
    }
    object::set_at(definition, "status.acceptedNames", accepted);
    let established = is_established(definition);
    match conflict {
        None => {
            condition(definition, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now);
            if !established {
                let message = "the initial names have been accepted";
                condition(definition, "Established", "True", "InitialNamesAccepted", message, now);
            }
        }
        Some((reason, message)) => {
            condition(definition, "NamesAccepted", "False", reason, &message, now);
            if !established {
                let message = "not all names are accepted";
                condition(definition, "Established", "False", "NotAccepted", message, now);
            }
        }
    }
}

/// Whether a definition is served.
pub(super) fn is_established(definition: &Value) -> bool {
    let conditions = object::at(definition, "status.conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| c["type"] == "Established" && c["status"] == "True")
}

/// Names that other definitions of the group hold: resource names and kinds.
fn taken<'a>(
    definition: &Value,
    others: impl IntoIterator<Item = &'a Value>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let group = object::at(definition, "spec.group");
    let own = object::name(definition);
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    let same_group = |o: &&Value| object::at(o, "spec.group") == group && object::name(o) != own;
    for other in others.into_iter().filter(same_group) {
        let Some(names) = object::at(other, "status.acceptedNames") else { continue };
        let text = |field: &str| names[field].as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        resources.extend(["plural", "singular"].into_iter().filter_map(text));
        resources.extend(object::strings(names.get("shortNames")));
        kinds.extend(["kind", "listKind"].into_iter().filter_map(text));
    }
    (resources, kinds)
}

/// Takes over every requested name that is free; the last one that is not is the conflict to report.
fn accept(
    requested: &Value,
    accepted: &mut Value,
    (resources, kinds): &(BTreeSet<String>, BTreeSet<String>),
) -> Option<(&'static str, String)> {
    let mut conflict = None;
    let in_use = |name: &str| format!("{name:?} is already in use");
    let fields = [
        ("plural", "PluralConflict", resources),
        ("singular", "SingularConflict", resources),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ];
    for (field, reason, taken) in fields {
        let name = requested[field].as_str().unwrap_or_default();
        if taken.contains(name) {
            conflict = Some((reason, in_use(name)));
        } else {
            object::put(object::map(accepted), field, requested.get(field).cloned());
        }
    }
    let short = object::strings(requested.get("shortNames"));
    let clashes: Vec<String> =
        short.iter().filter(|name| resources.contains(*name)).map(|n| in_use(n)).collect();
    if clashes.is_empty() {
        let value = (!short.is_empty()).then(|| json!(short));
        object::put(object::map(accepted), "shortNames", value);
    } else {
        conflict = Some(("ShortNamesConflict", clashes.join(", ")));
    }
    object::put(object::map(accepted), "categories", requested.get("categories").cloned());
    conflict
}

/// Sets a condition; its time moves only with its status.
pub(super) fn condition(
    definition: &mut Value,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: &str,
) {
    let mut conditions =
        object::at(definition, "status.conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let place = conditions.iter().position(|condition| condition["type"] == kind);
    let since = place
        .map(|place| &conditions[place])
        .filter(|condition| condition["status"] == status)
        .and_then(|condition| condition["lastTransitionTime"].as_str())
        .unwrap_or(now);
    let new = json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    });
    match place {
        Some(place) => conditions[place] = new,
        None => conditions.push(new),
    }
    object::set_at(definition, "status.conditions", Value::Array(conditions));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str, plural: &str, kind: &str) -> Value {
        json!({
            "metadata": {"name": name},
            "spec": {"group": "g", "names": {"plural": plural, "singular": plural, "kind": kind, "listKind": format!("{kind}List")}},
        })
    }

    #[test]
    fn free_names_are_accepted_and_the_definition_established() {
        let mut first = definition("a.g", "a", "A");
        settle(&mut first, &[], "t1");
        assert!(is_established(&first));
        assert_eq!(first["status"]["acceptedNames"]["kind"], "A");
        let before = first.clone();
        settle(&mut first, &[], "t2");
        assert_eq!(first, before, "nothing changed, so no time moves");
    }

    #[test]
    fn a_taken_kind_keeps_a_definition_from_being_served() {
        let mut first = definition("a.g", "a", "A");
        settle(&mut first, &[], "t1");
        let mut second = definition("b.g", "b", "A");
        settle(&mut second, &[first], "t2");
        assert!(!is_established(&second));
        let conditions = second["status"]["conditions"].as_array().unwrap();
        assert_eq!(conditions[0]["reason"], "ListKindConflict");
        assert_eq!(conditions[0]["message"], "\"AList\" is already in use");
    }
}
