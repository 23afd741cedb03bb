//! Subresources of pods that change one part of the spec: the rest stays as it is, whatever was sent.
//!
//! `dropNonEphemeralContainerUpdates` and `dropNonResizeUpdates` in Kubernetes' `pkg/registry/core/pod/strategy.go`.

use serde_json::{Map, Value};

use crate::object;

/// Undoes what `ephemeralcontainers` cannot change.
pub(super) fn only_ephemeral_containers(new: &mut Value, live: &Value) {
    let wanted = object::at(new, "spec.ephemeralContainers").cloned();
    keep(new, live);
    if let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) {
        object::put(spec, "ephemeralContainers", wanted);
    }
}

/// Undoes what `resize` cannot change; containers that came, went or moved are left for validation to refuse.
pub(super) fn only_resources(new: &mut Value, live: &Value) {
    const LISTS: [&str; 2] = ["containers", "initContainers"];
    let list = |pod: &Value, name: &str| pod["spec"][name].as_array().cloned().unwrap_or_default();
    if LISTS.iter().any(|name| list(new, name).len() != list(live, name).len()) {
        return;
    }
    let resized = LISTS.map(|name| resized(&list(new, name), &list(live, name)));
    keep(new, live);
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for (name, containers) in LISTS.into_iter().zip(resized) {
        object::put(spec, name, (!containers.is_empty()).then_some(Value::Array(containers)));
    }
}

/// The live containers with the resources of new ones of the same names; the new ones if a name differs.
fn resized(new: &[Value], live: &[Value]) -> Vec<Value> {
    if new.iter().zip(live).any(|(new, live)| new["name"] != live["name"]) {
        return new.to_vec();
    }
    let merge = |(new, live): (&Value, &Value)| {
        let mut merged = live.clone();
        for field in ["resources", "resizePolicy"] {
            object::put(object::map(&mut merged), field, new.get(field).cloned());
        }
        merged
    };
    new.iter().zip(live).map(merge).collect()
}

/// The live object, with what a write says of versions and managers.
fn keep(new: &mut Value, live: &Value) {
    let said: Map<String, Value> = ["resourceVersion", "managedFields"]
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), object::meta(new, field)?.clone())))
        .collect();
    *new = live.clone();
    for field in ["resourceVersion", "managedFields"] {
        object::set_meta(new, field, said.get(field).cloned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        json!({
            "metadata": {"name": "p", "labels": {"a": "b"}, "resourceVersion": "7"},
            "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "i", "resources": {}}]},
            "status": {"phase": "Running"},
        })
    }

    #[test]
    fn ephemeral_containers_come_without_the_rest_of_the_pod() {
        let mut new = json!({"metadata": {"name": "p", "resourceVersion": "5"}, "spec": {"ephemeralContainers": [{"name": "e"}]}});
        only_ephemeral_containers(&mut new, &live());
        let mut wanted = live();
        wanted["metadata"]["resourceVersion"] = json!("5");
        wanted["spec"]["ephemeralContainers"] = json!([{"name": "e"}]);
        assert_eq!(new, wanted);
    }

    #[test]
    fn a_resize_changes_resources_and_nothing_else() {
        let mut new = live();
        new["spec"]["containers"][0] =
            json!({"name": "c", "image": "other", "resources": {"limits": {"cpu": "1"}}});
        new["metadata"]["labels"] = json!({});
        only_resources(&mut new, &live());
        let mut wanted = live();
        wanted["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}});
        assert_eq!(new, wanted);
        let mut renamed = live();
        renamed["spec"]["containers"][0]["name"] = json!("d");
        only_resources(&mut renamed, &live());
        assert_eq!(renamed["spec"]["containers"][0]["name"], "d");
    }
}
