//! What admission makes of objects, given the other objects it depends on: small plugins of kube-apiserver 1.35.
//!
//! Service accounts and classes are looked up by the API server; here they only take effect. An error is the reason
//! for a refusal.

mod account;
mod classes;
mod runtime;

use serde_json::{Value, json};

use crate::fields::{at, items, map_at, text};

pub use account::{
    forbidden_reference, is_automounted, is_mirror, mirror_refusal, mount_token, pull_secrets,
};
pub(crate) use classes::storage_class;
pub use classes::{default_ingress_class, default_storage_class, global_default, prioritise, resize_refusal};
pub use runtime::{overhead_refusal, use_runtime_class};

/// Lets a pod stay five minutes on a node that is not ready or cannot be reached (`DefaultTolerationSeconds`).
pub fn tolerate_outages(pod: &mut Value) {
    const SECONDS: u32 = 300;
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerates = items(pod, "spec.tolerations").iter().any(|toleration| {
            let about = text(toleration, "key");
            (about.is_empty() || about == key) && matches!(text(toleration, "effect"), "" | "NoExecute")
        });
        if !tolerates {
            let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS});
            push(pod, "tolerations", toleration);
        }
    }
}

/// Adds an element to a list of the spec, which is made where it is absent.
fn push(object: &mut Value, list: &str, element: Value) {
    let slot = map_at(object, "spec").entry(list).or_insert(Value::Null);
    match slot {
        Value::Array(list) => list.push(element),
        other => *other = json!([element]),
    }
}

/// The objects of a list with an annotation that says `true`, the newest first.
fn marked<'a>(objects: &'a [Value], annotations: &[&str]) -> Vec<&'a Value> {
    let says = |object: &Value, name: &str| {
        at(object, "metadata.annotations").get(name).is_some_and(|v| v == "true")
    };
    let mut found: Vec<&Value> =
        objects.iter().filter(|object| annotations.iter().any(|name| says(object, name))).collect();
    found.sort_by(|a, b| {
        let age = |object| text(object, "metadata.creationTimestamp");
        age(b).cmp(age(a)).then_with(|| text(a, "metadata.name").cmp(text(b, "metadata.name")))
    });
    found
}

#[cfg(test)]
mod tests;
