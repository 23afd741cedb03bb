//! The end of a definition: first every object of its kind, then the definition itself.
//!
//! `pkg/controller/finalizer/crd_finalizer.go` of apiextensions-apiserver.

use std::sync::Arc;
use std::time::Duration;

use aphex_auth::User;
use aphex_store::{Change, Entry, Expect};
use serde_json::{Value, json};

use super::{GROUP, names, read_all, refresh};
use crate::codec;
use crate::object;
use crate::request::{DeleteOptions, Verb};
use crate::server::ApiServer;
use crate::status::Status;
use crate::verbs;
use crate::write;

const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
/// Objects with finalizers keep a definition; how often to look whether they have gone.
const AGAIN: Duration = Duration::from_millis(200);

/// Makes a definition wait for its objects.
pub fn mark_terminating(definition: &mut Value) {
    let mut finalizers = object::finalizers(definition);
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    object::set_meta(definition, "finalizers", Some(json!(finalizers)));
}

/// Ends definitions that are being deleted, until the server stops.
pub async fn finish_deletions(server: Arc<ApiServer>) {
    let mut changes = server.registry.changes();
    loop {
        let waiting = match pass(&server).await {
            Ok(waiting) => waiting,
            Err(status) => {
                tracing::warn!(error = %status, "definitions that are being deleted have to wait");
                true
            }
        };
        tokio::select! {
            () = server.stopping.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN), if waiting => {}
        }
    }
}

/// One look at all definitions; true if one of them still has objects.
async fn pass(server: &Arc<ApiServer>) -> Result<bool, Status> {
    let mut waiting = false;
    for (entry, definition) in read_all(server)? {
        let held = object::finalizers(&definition).iter().any(|finalizer| finalizer == FINALIZER);
        if object::is_deleting(&definition) && held {
            // Each on its own: a definition that has to wait must not hold up the others.
            let emptied = empty(server, &definition).await?;
            waiting |= !emptied;
            if emptied {
                release(server, &entry, Value::clone(&definition)).await?;
                refresh(server).await?;
            }
        }
    }
    Ok(waiting)
}

/// Deletes every object of the kind; true when none is left.
async fn empty(server: &Arc<ApiServer>, definition: &Value) -> Result<bool, Status> {
    let text = |path: &str| object::at(definition, path).and_then(Value::as_str).unwrap_or_default();
    let (group, plural) = (text("spec.group"), text("spec.names.plural"));
    let snapshot = server.registry.snapshot();
    let Some(resource) = snapshot.preferred().find(|r| r.group == group && r.plural == plural) else {
        return Ok(true);
    };
    let user = User::new("system:apiserver", ["system:masters"]);
    let head = json!({"apiVersion": resource.api_version(), "kind": resource.kind});
    let call = write::internal_call(server, &user, Verb::DeleteCollection, &head)?;
    verbs::delete_all(&call, &DeleteOptions::default()).await?;
    Ok(server.store.count(&resource.storage.prefix) == 0)
}

/// Takes the finalizer away, and the definition with it unless somebody else holds it.
async fn release(server: &Arc<ApiServer>, entry: &Entry, mut definition: Value) -> Result<(), Status> {
    let mut finalizers = object::finalizers(&definition);
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    let (key, expect) = (entry.key.to_string(), Expect::Revision(entry.modified));
    let change = if finalizers.is_empty() {
        Change::Delete { key, expect }
    } else {
        object::set_meta(&mut definition, "finalizers", Some(json!(finalizers)));
        let message = "removed all instances";
        names::condition(
            &mut definition,
            "Terminating",
            "False",
            "InstanceDeletionCompleted",
            message,
            &server.now(),
        );
        let snapshot = server.registry.snapshot();
        let resource =
            snapshot.resource(GROUP, "v1", "customresourcedefinitions").ok_or_else(Status::no_resource)?;
        Change::Put { key, payload: codec::encode(&definition, resource), expect }
    };
    // A lost race shows in the next pass.
    match server.store.commit(vec![change]).await {
        Ok(_) | Err(aphex_store::CommitError::Conflict { .. }) => Ok(()),
        Err(error) => Err(write::commit_failed(&error)),
    }
}
