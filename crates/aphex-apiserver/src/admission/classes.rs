//! Plugins about classes: `DefaultStorageClass`, `DefaultIngressClass`, `PersistentVolumeClaimResize` and what
//! `Priority` has to say of priority classes.

use aphex_kinds::admit;
use serde_json::{Value, json};

use super::{Operation, Write, lookup};
use crate::object;
use crate::status::Status;

/// Gives new claims and ingresses the default class.
pub(super) fn mutate(write: &Write<'_>, object: &mut Value) -> Result<(), Status> {
    if !write.is_create() || !write.is_whole() {
        return Ok(());
    }
    let server = &write.call.server;
    if write.is_of("", "persistentvolumeclaims") {
        let classes = lookup::list(server, "storage.k8s.io", "storageclasses", "")?;
        admit::default_storage_class(object, &classes);
    } else if write.is_of("networking.k8s.io", "ingresses") {
        let classes = lookup::list(server, "networking.k8s.io", "ingressclasses", "")?;
        admit::default_ingress_class(object, &classes);
    }
    Ok(())
}

/// Refuses a second default priority class, and claims that grow though their class does not let them.
pub(super) fn check(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    if !write.is_whole() {
        return Ok(());
    }
    if write.is_of("scheduling.k8s.io", "priorityclasses") && object["globalDefault"] == json!(true) {
        return check_default(write, object);
    }
    if let (Some(old), true) = (write.old, write.is_of("", "persistentvolumeclaims")) {
        let server = &write.call.server;
        let class = |name: &str| lookup::get(server, "storage.k8s.io", "storageclasses", "", name);
        if let Some(why) = admit::resize_refusal(object, old, class) {
            return Err(write.forbid(object, why));
        }
    }
    Ok(())
}

fn check_default(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    let classes = lookup::list(&write.call.server, "scheduling.k8s.io", "priorityclasses", "")?;
    let Some(default) = admit::global_default(&classes).map(object::name) else { return Ok(()) };
    if write.operation == Operation::Update && default == object::name(object) {
        return Ok(());
    }
    let why = format!("PriorityClass {default} is already marked as default. Only one default can exist");
    Err(write.forbid(object, &why))
}
