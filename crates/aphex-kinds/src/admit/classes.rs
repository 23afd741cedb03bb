//! Classes that objects get or name: priority, storage, ingress.

use serde_json::{Value, json};

use super::marked;
use crate::fields::{at, has, int, map_at, text};
use crate::quantity::Quantity;

/// Gives a pod the priority of a class: the one it names, or the default one.
///
/// The error is why the pod is refused.
pub fn prioritise(pod: &mut Value, class: Option<&Value>) -> Result<(), String> {
    let (value, policy) = match class {
        Some(class) => (int(class, "value"), text(class, "preemptionPolicy")),
        None => (0, "PreemptLowerPriority"),
    };
    if let Some(given) = at(pod, "spec.priority").as_i64().filter(|given| *given != value) {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        ));
    }
    let given = text(pod, "spec.preemptionPolicy").to_owned();
    if !policy.is_empty() && !given.is_empty() && given != policy {
        return Err(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        ));
    }
    let spec = map_at(pod, "spec");
    if let Some(class) = class {
        spec.insert("priorityClassName".to_owned(), json!(text(class, "metadata.name")));
    }
    spec.insert("priority".to_owned(), json!(value));
    if !policy.is_empty() {
        spec.insert("preemptionPolicy".to_owned(), json!(policy));
    }
    Ok(())
}

/// The priority class for pods that name none; of several the lowest.
pub fn global_default(classes: &[Value]) -> Option<&Value> {
    classes.iter().filter(|class| at(class, "globalDefault") == true).min_by_key(|class| int(class, "value"))
}

/// Gives an ingress without a class the default one.
pub fn default_ingress_class(ingress: &mut Value, classes: &[Value]) {
    let named = at(ingress, "metadata.annotations").get("kubernetes.io/ingress.class").is_some();
    if named || has(ingress, "spec.ingressClassName") {
        return;
    }
    if let Some(class) = marked(classes, &["ingressclass.kubernetes.io/is-default-class"]).first() {
        map_at(ingress, "spec").insert("ingressClassName".to_owned(), json!(text(class, "metadata.name")));
    }
}

/// Gives a volume claim without a class the default one.
pub fn default_storage_class(claim: &mut Value, classes: &[Value]) {
    const DEFAULT: &[&str] =
        &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let named = at(claim, "metadata.annotations").get("volume.beta.kubernetes.io/storage-class").is_some();
    if named || has(claim, "spec.storageClassName") {
        return;
    }
    if let Some(class) = marked(classes, DEFAULT).first() {
        map_at(claim, "spec").insert("storageClassName".to_owned(), json!(text(class, "metadata.name")));
    }
}

/// Why a claim may not grow; none if it does not, or its class lets it (`PersistentVolumeClaimResize`).
pub fn resize_refusal(
    claim: &Value,
    old: &Value,
    class: impl Fn(&str) -> Option<Value>,
) -> Option<&'static str> {
    let size = |claim| Quantity::of(at(claim, "spec.resources.requests.storage")).map_or(0, Quantity::nanos);
    if size(claim) <= size(old) {
        return None;
    }
    if text(old, "status.phase") != "Bound" {
        return Some("Only bound persistent volume claims can be expanded");
    }
    let grows = |class: Value| at(&class, "allowVolumeExpansion") == true;
    let name = storage_class(claim);
    let allowed = !name.is_empty() && name == storage_class(old) && class(name).is_some_and(grows);
    (!allowed).then_some(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
         resize",
    )
}

/// The storage class of a claim, or "".
pub(crate) fn storage_class(claim: &Value) -> &str {
    let annotated = at(claim, "metadata.annotations").get("volume.beta.kubernetes.io/storage-class");
    annotated.and_then(Value::as_str).unwrap_or_else(|| text(claim, "spec.storageClassName"))
}
