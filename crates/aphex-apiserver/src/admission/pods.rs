//! Plugins about pods: `LimitRanger`, `ServiceAccount`, `Priority`, `DefaultTolerationSeconds`, `RuntimeClass`.

use std::time::Duration;

use aphex_kinds::{admit, default_limits, limit_refusal};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{Operation, Write, lookup};
use crate::object;
use crate::status::Status;
use crate::uid;

const DEFAULT_ACCOUNT: &str = "default";
/// How long a pod waits for the account that every namespace gets shortly after it was made.
const PATIENCE: Duration = Duration::from_secs(1);
const SCHEDULING: &str = "scheduling.k8s.io";

/// Waits until the account that a new pod will get exists, or long enough.
pub async fn await_account(write: &Write<'_>, object: &Value) {
    let named = text(object, "spec.serviceAccountName");
    let wanted = named.is_empty() || named == DEFAULT_ACCOUNT;
    if !(write.is_create() && write.is_whole() && write.is_of("", "pods") && wanted) {
        return;
    }
    let store = &write.call.server.store;
    let key = lookup::key("", "serviceaccounts", write.call.namespace(), DEFAULT_ACCOUNT);
    let before = store.revision();
    if store.get(&key).is_some() {
        return;
    }
    if let Ok(mut watch) = store.watch(&key, before) {
        // Whatever comes of it, the plugin looks again.
        let _ = tokio::time::timeout(PATIENCE, watch.next()).await;
    }
}

/// Gives a pod what the namespace and the cluster have for it.
pub(super) fn mutate(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    if write.operation == Operation::Update {
        if write.is_whole() {
            keep_priority(write, pod);
            admit::tolerate_outages(pod);
        } else if write.call.subresource() == "resize" {
            limits(write, pod)?;
        }
        return Ok(());
    }
    if !write.is_create() || !write.is_whole() {
        return Ok(());
    }
    limits(write, pod)?;
    account(write, pod)?;
    let class = priority_class(write, pod)?;
    admit::prioritise(pod, class.as_ref()).map_err(|why| write.forbid(pod, &why))?;
    admit::tolerate_outages(pod);
    if let Some(class) = runtime_class(write, pod)? {
        admit::use_runtime_class(pod, &class).map_err(|why| write.forbid(pod, &why))?;
    }
    Ok(())
}

/// Refuses a pod, or a volume claim, that breaks a rule of its namespace.
pub(super) fn check(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    if write.is_of("", "pods") {
        let resized = write.call.subresource() == "resize";
        if write.is_create() && write.is_whole() || write.operation == Operation::Update && resized {
            bounds(write, "pods", object)?;
        }
        check_account(write, object)?;
        if write.is_create() && write.is_whole() {
            let class = runtime_class(write, object)?;
            if let Some(why) = admit::overhead_refusal(object, class.as_ref()) {
                return Err(write.forbid(object, why));
            }
        }
    } else if write.is_of("", "persistentvolumeclaims") && write.is_whole() {
        bounds(write, "persistentvolumeclaims", object)?;
    }
    Ok(())
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object::at(object, path).and_then(Value::as_str).unwrap_or_default()
}

fn ranges(write: &Write<'_>) -> Result<Vec<Value>, Status> {
    lookup::list(&write.call.server, "", "limitranges", write.call.namespace())
}

fn limits(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    for range in ranges(write)? {
        default_limits(&range, pod);
    }
    Ok(())
}

fn bounds(write: &Write<'_>, plural: &str, object: &Value) -> Result<(), Status> {
    if write.old.is_some_and(object::is_deleting) {
        return Ok(());
    }
    match ranges(write)?.iter().find_map(|range| limit_refusal(range, plural, object)) {
        Some(why) => Err(write.forbid(object, &why)),
        None => Ok(()),
    }
}

fn find_account(write: &Write<'_>, pod: &Value) -> Result<Value, Status> {
    let (namespace, name) = (write.call.namespace(), text(pod, "spec.serviceAccountName"));
    lookup::get(&write.call.server, "", "serviceaccounts", namespace, name).ok_or_else(|| {
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        );
        write.forbid(pod, &why)
    })
}

fn account(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    if admit::is_mirror(pod) {
        return check_account(write, pod);
    }
    if text(pod, "spec.serviceAccountName").is_empty() {
        object::set_at(pod, "spec.serviceAccountName", json!(DEFAULT_ACCOUNT));
        // The old name of the field is still written for old clients.
        object::set_at(pod, "spec.serviceAccount", json!(DEFAULT_ACCOUNT));
    }
    let account = find_account(write, pod)?;
    if admit::is_automounted(pod, &account) {
        admit::mount_token(pod, &uid::generated_name("kube-api-access-"));
    }
    admit::pull_secrets(pod, &account);
    check_account(write, pod)
}

fn check_account(write: &Write<'_>, pod: &Value) -> Result<(), Status> {
    let ephemeral = write.operation == Operation::Update && write.call.subresource() == "ephemeralcontainers";
    let new = write.is_create() && write.is_whole();
    if !(ephemeral || new) {
        return Ok(());
    }
    if !ephemeral && admit::is_mirror(pod) {
        return admit::mirror_refusal(pod).map_or(Ok(()), |why| Err(write.forbid(pod, why)));
    }
    if text(pod, "spec.serviceAccountName").is_empty() {
        let (namespace, name) = (write.call.namespace(), object::name(pod));
        return Err(write.forbid(pod, &format!("no service account specified for pod {namespace}/{name}")));
    }
    let account = find_account(write, pod)?;
    match admit::forbidden_reference(pod, &account, ephemeral) {
        Some(why) => Err(write.forbid(pod, &why)),
        None => Ok(()),
    }
}

/// The class that a new pod names, or the cluster's default.
fn priority_class(write: &Write<'_>, pod: &Value) -> Result<Option<Value>, Status> {
    let (server, name) = (&write.call.server, text(pod, "spec.priorityClassName"));
    if name.is_empty() {
        let classes = lookup::list(server, SCHEDULING, "priorityclasses", "")?;
        return Ok(admit::global_default(&classes).cloned());
    }
    let class = lookup::get(server, SCHEDULING, "priorityclasses", "", name);
    let why = || format!("no PriorityClass with name {name} was found");
    class.map(Some).ok_or_else(|| write.forbid(pod, &why()))
}

/// A pod that is updated by someone who does not know its priority keeps it.
fn keep_priority(write: &Write<'_>, pod: &mut Value) {
    let Some(old) = write.old else { return };
    for path in ["spec.priority", "spec.preemptionPolicy"] {
        if object::at(pod, path).is_none()
            && let Some(value) = object::at(old, path)
        {
            object::set_at(pod, path, value.clone());
        }
    }
}

fn runtime_class(write: &Write<'_>, pod: &Value) -> Result<Option<Value>, Status> {
    let name = text(pod, "spec.runtimeClassName");
    if name.is_empty() {
        return Ok(None);
    }
    let class = lookup::get(&write.call.server, "node.k8s.io", "runtimeclasses", "", name);
    let why = || format!("pod rejected: RuntimeClass \"{name}\" not found");
    class.map(Some).ok_or_else(|| write.forbid(pod, &why()))
}
