//! Cells of volumes, claims and what they are made by.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Cell::{self, Age, Bool, Made, Name, Or, Text};
use super::UNSET;
use crate::fields::{at, has, items, text, texts};

pub(super) const CLAIM: &[Cell] = &[
    Name,
    Made(phase),
    Text("spec.volumeName"),
    Made(|claim, _| bound(claim, || json!(size(claim, "status.capacity")))),
    Made(|claim, _| bound(claim, || json!(access_modes(claim, "status.accessModes")))),
    Made(|claim, _| class(claim)),
    Or("spec.volumeAttributesClassName", UNSET),
    Age,
    Or("spec.volumeMode", UNSET),
];

pub(super) const VOLUME: &[Cell] = &[
    Name,
    Made(|volume, _| json!(size(volume, "spec.capacity"))),
    Made(|volume, _| json!(access_modes(volume, "spec.accessModes"))),
    Text("spec.persistentVolumeReclaimPolicy"),
    Made(phase),
    Made(|volume, _| claim_of(volume)),
    Made(|volume, _| class(volume)),
    Or("spec.volumeAttributesClassName", UNSET),
    Text("status.reason"),
    Age,
    Or("spec.volumeMode", UNSET),
];

pub(super) const CLASS: &[Cell] = &[
    Made(|class, _| class_name(class)),
    Text("provisioner"),
    Or("reclaimPolicy", "Delete"),
    Or("volumeBindingMode", "Immediate"),
    Bool("allowVolumeExpansion"),
    Age,
];

pub(super) const DRIVER: &[Cell] = &[
    Name,
    Made(|driver, _| json!(at(driver, "spec.attachRequired").as_bool().unwrap_or(true))),
    Bool("spec.podInfoOnMount"),
    Bool("spec.storageCapacity"),
    Made(|driver, _| audiences(driver)),
    Bool("spec.requiresRepublish"),
    Made(|driver, _| json!(non_empty(&texts(driver, "spec.volumeLifecycleModes").join(","), super::NONE))),
    Age,
];

fn non_empty<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

fn phase(object: &Value, _: Timestamp) -> Value {
    if has(object, "metadata.deletionTimestamp") {
        return json!("Terminating");
    }
    json!(text(object, "status.phase"))
}

/// A cell that only a claim with a volume has.
fn bound(claim: &Value, cell: impl FnOnce() -> Value) -> Value {
    if text(claim, "spec.volumeName").is_empty() { json!("") } else { cell() }
}

fn size<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).get("storage").and_then(Value::as_str).unwrap_or("0")
}

fn access_modes(object: &Value, path: &str) -> String {
    const MODES: &[(&str, &str)] = &[
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let given = texts(object, path);
    let short = MODES.iter().filter(|(mode, _)| given.contains(mode)).map(|(_, short)| *short);
    short.collect::<Vec<_>>().join(",")
}

/// The storage class; an annotation of older times goes first.
fn class(object: &Value) -> Value {
    let annotation = at(object, "metadata.annotations").get("volume.beta.kubernetes.io/storage-class");
    annotation.cloned().unwrap_or_else(|| json!(text(object, "spec.storageClassName")))
}

fn claim_of(volume: &Value) -> Value {
    let claim = at(volume, "spec.claimRef");
    if claim.is_null() {
        return json!("");
    }
    json!(format!("{}/{}", text(claim, "namespace"), text(claim, "name")))
}

fn class_name(class: &Value) -> Value {
    const MARKS: &[&str] =
        &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let annotations = at(class, "metadata.annotations");
    let default = MARKS.iter().any(|mark| annotations.get(*mark).is_some_and(|value| value == "true"));
    let name = text(class, "metadata.name");
    json!(if default { format!("{name} (default)") } else { name.to_owned() })
}

fn audiences(driver: &Value) -> Value {
    if !has(driver, "spec.tokenRequests") {
        return json!(UNSET);
    }
    let requests = items(driver, "spec.tokenRequests").iter();
    json!(requests.map(|request| text(request, "audience")).collect::<Vec<_>>().join(","))
}
