//! The `RuntimeClass` plugin: what a pod costs besides its containers, and where it can run.

use serde_json::{Value, json};

use super::push;
use crate::fields::{at, entries, has, items, map_at};
use crate::resources::{self, read, write};

/// Gives a pod the overhead and the placement of its runtime class.
pub fn use_runtime_class(pod: &mut Value, class: &Value) -> Result<(), String> {
    if has(class, "overhead") {
        let fixed = read(class, "overhead.podFixed");
        let own = read(pod, "spec.overhead");
        if !own.is_empty() && !resources::equal(&own, &fixed) {
            return Err(MISMATCH.to_owned());
        }
        map_at(pod, "spec").insert("overhead".to_owned(), write(&fixed));
    }
    for (key, wanted) in entries(class, "scheduling.nodeSelector") {
        let own = at(pod, "spec.nodeSelector").get(key).filter(|own| *own != wanted).and_then(Value::as_str);
        if let Some(own) = own {
            let wanted = wanted.as_str().unwrap_or_default();
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = \
                 {own}"
            ));
        }
        map_at(pod, "spec.nodeSelector").insert(key.to_owned(), json!(wanted));
    }
    for toleration in items(class, "scheduling.tolerations") {
        if !items(pod, "spec.tolerations").contains(toleration) {
            push(pod, "tolerations", toleration.clone());
        }
    }
    Ok(())
}

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

/// Why a pod's overhead is not what it must be; none if it is.
pub fn overhead_refusal(pod: &Value, class: Option<&Value>) -> Option<&'static str> {
    match class.filter(|class| has(class, "overhead")) {
        Some(class) => {
            let same = resources::equal(&read(pod, "spec.overhead"), &read(class, "overhead.podFixed"));
            (!same).then_some(MISMATCH)
        }
        None => has(pod, "spec.overhead")
            .then_some("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"),
    }
}
