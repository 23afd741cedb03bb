//! What is special about namespaces: who makes the first ones, when nothing may be put into one, how one ends.
//!
//! Emptying a terminating namespace is a controller's work; here it only stops being usable.

use std::sync::Arc;

use aphex_auth::User;
use serde_json::{Value, json};

use crate::codec;
use crate::object;
use crate::server::ApiServer;
use crate::status::Status;
use crate::write;

/// Namespaces that every cluster has.
const INITIAL: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];
/// Namespaces that cannot be deleted (`NamespaceLifecycle` admission).
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];
/// Label that every namespace carries with its own name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Creates the namespaces that every cluster has.
pub async fn bootstrap(server: &Arc<ApiServer>) -> Result<(), Status> {
    for name in INITIAL {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        write::ensure(server, &User::new("system:apiserver", ["system:masters"]), namespace).await?;
    }
    Ok(())
}

/// The name label of a namespace whose name the client chose.
pub fn default(namespace: &mut Value) {
    if object::meta_str(namespace, "generateName").is_empty() {
        label(namespace);
    }
}

fn label(namespace: &mut Value) {
    let name = object::name(namespace).to_owned();
    if name.is_empty() {
        return;
    }
    let labels = object::map(object::meta_map(namespace).entry("labels").or_insert_with(|| json!({})));
    labels.insert(NAME_LABEL.to_owned(), Value::String(name));
}

/// The finalizer in the spec and the phase of a new namespace.
pub fn prepare_create(namespace: &mut Value) {
    label(namespace);
    object::set_at(namespace, "status.phase", json!("Active"));
    let mut finalizers = object::strings(object::at(namespace, "spec.finalizers"));
    if !finalizers.iter().any(|finalizer| finalizer == "kubernetes") {
        finalizers.push("kubernetes".to_owned());
    }
    object::set_at(namespace, "spec.finalizers", json!(finalizers));
}

/// An update keeps the spec's finalizers and the phase.
pub fn prepare_update(namespace: &mut Value, old: &Value) {
    object::copy(namespace, old, "spec");
    object::copy(namespace, old, "status");
}

/// Whether nothing keeps the namespace any more.
pub fn is_finished(namespace: &Value) -> bool {
    object::strings(object::at(namespace, "spec.finalizers")).is_empty()
}

/// Refuses to create something in a namespace that is absent or terminating.
pub fn check_create(
    server: &ApiServer,
    group: &str,
    plural: &str,
    name: &str,
    ns: &str,
) -> Result<(), Status> {
    let Some(entry) = server.store.get(&format!("/registry/core/namespaces/{ns}")) else {
        return Err(Status::not_found("", "namespaces", ns));
    };
    if codec::phase(&entry.value)? != "Terminating" {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {ns} because it is being terminated");
    Err(Status::forbidden(group, plural, name, &why).because(
        "NamespaceTerminating",
        format!("namespace {ns} is being terminated"),
        "metadata.namespace",
    ))
}

/// Refuses to delete the namespaces that a cluster cannot do without.
pub fn check_delete(name: &str) -> Result<(), Status> {
    if IMMORTAL.contains(&name) {
        return Err(Status::forbidden("", "namespaces", name, "this namespace may not be deleted"));
    }
    Ok(())
}
