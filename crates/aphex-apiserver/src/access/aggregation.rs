//! Keeps aggregated cluster roles the union of what they select, as the controller manager does elsewhere.
//!
//! A cluster role that is neither aggregated nor selected changes no union. There may be one for every tenant, so a write of
//! such a role must not lead to a look at all others.

use std::sync::Arc;

use aphex_auth::User;
use aphex_auth::rbac::aggregation::{Aggregated, Concern, aggregate};
use aphex_store::{Event, List, Revision, Watch};
use futures::StreamExt;
use serde_json::{Value, json};

use super::rbac_objects::GROUP;
use crate::request::Verb;
use crate::resource::storage_prefix;
use crate::server::ApiServer;
use crate::status::Status;
use crate::write;

/// Who writes the rules, in managed fields.
const MANAGER: &str = "clusterrole-aggregation-controller";

/// Works until the server stops.
pub(super) async fn run(server: Arc<ApiServer>) {
    let stopping = server.stopping.clone();
    while !stopping.is_cancelled() {
        let Some((mut watch, concern)) = settle(&server).await else { return };
        loop {
            let next = tokio::select! {
                () = stopping.cancelled() => return,
                next = watch.next() => next,
            };
            match next {
                Some(Ok(event)) if matters(&event, &concern) => break,
                Some(Ok(_)) => {}
                Some(Err(_)) => break,
                None => return,
            }
        }
    }
}

/// Whether an event may make another union than there was.
fn matters(event: &Event, concern: &Concern) -> bool {
    [Some(&event.entry), event.previous.as_ref()].into_iter().flatten().any(|entry| {
        let role: Result<Value, _> = serde_json::from_slice(&entry.value);
        role.is_ok_and(|role| concern.includes(&role))
    })
}

/// Writes what is not yet the union, then watches for what comes after; gives what is of concern there.
async fn settle(server: &Arc<ApiServer>) -> Option<(Watch, Concern)> {
    let (roles, revision) = cluster_roles(server)?;
    for role in aggregate(&roles) {
        let name = role.name.clone();
        if let Err(error) = store(server, role).await {
            tracing::warn!(%error, cluster_role.name = name, "an aggregated cluster role was not updated");
        }
    }
    let watch = server.store.watch(&storage_prefix(GROUP, "clusterroles"), revision);
    let watch = watch.inspect_err(|error| tracing::error!(%error, "cluster roles cannot be watched")).ok()?;
    Some((watch, Concern::of(&roles)))
}

/// All cluster roles as stored, and the revision they were read at.
pub(super) fn cluster_roles(server: &ApiServer) -> Option<(Vec<Value>, Revision)> {
    let list = List { prefix: storage_prefix(GROUP, "clusterroles"), after: None, limit: None, at: None };
    let page = server.store.list(&list);
    let page = page.inspect_err(|error| tracing::error!(%error, "cluster roles cannot be read")).ok()?;
    let roles = page.entries.iter().filter_map(|entry| serde_json::from_slice(&entry.value).ok());
    Some((roles.collect(), page.revision))
}

async fn store(server: &Arc<ApiServer>, role: Aggregated) -> Result<(), Status> {
    let applied = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterRole",
        "metadata": {"name": role.name},
        "rules": role.rules,
    });
    let user =
        User::new("system:serviceaccount:kube-system:clusterrole-aggregation-controller", ["system:masters"]);
    let call = write::internal_call(server, &user, Verb::Patch, &applied)?;
    let mut options = write::internal_options();
    MANAGER.clone_into(&mut options.field_manager);
    options.force = Some(true);
    let edit = |live: &Value| write::managed_apply(&call, &options, Some(live), &applied);
    write::modify(&call, &options, write::Change::Applied, edit).await.map(drop)
}
