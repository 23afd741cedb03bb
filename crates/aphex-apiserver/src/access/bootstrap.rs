//! The default roles and bindings, brought into the store when a server starts: in one transaction, and only what
//! is missing. On a settled store nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use aphex_auth::bootstrap::{self as defaults, Reconciled};
use aphex_auth::rbac::aggregation::aggregate;
use aphex_merge::{FieldSet, Update};
use aphex_store::{Change, Entry, Expect};
use serde_json::{Value, json};

use super::aggregation;
use super::rbac_objects::GROUP;
use crate::registry::Snapshot;
use crate::resource::Resource;
use crate::server::ApiServer;
use crate::status::Status;
use crate::{codec, metadata, object, write};

/// One object to be written.
struct Draft {
    resource: Arc<Resource>,
    object: Value,
    expect: Expect,
    /// The object is a new one: it needs a uid and the rest of what a create fills in.
    new: bool,
}

/// Creates the default roles and bindings, then keeps aggregated roles complete in the background.
pub async fn bootstrap(server: &Arc<ApiServer>) -> Result<(), Status> {
    let snapshot = server.registry.snapshot();
    let mut drafts = BTreeMap::new();
    for wanted in defaults::objects() {
        draft(server, &snapshot, wanted, &mut drafts)?;
    }
    complete_aggregated(server, &snapshot, &mut drafts)?;
    let now = server.now();
    let changes: Vec<Change> = drafts.into_iter().map(|(key, draft)| change(key, draft, &now)).collect();
    if !changes.is_empty() {
        tracing::debug!(objects = changes.len(), "writing default roles and bindings");
        server.store.commit(changes).await.map_err(|error| write::commit_failed(&error))?;
    }
    tokio::spawn(aggregation::run(Arc::clone(server)));
    Ok(())
}

fn resource_of(snapshot: &Snapshot, kind: &str) -> Result<Arc<Resource>, Status> {
    snapshot.by_kind(GROUP, "v1", kind).cloned().ok_or_else(Status::no_resource)
}

/// Notes what has to be done about one default object.
fn draft(
    server: &ApiServer,
    snapshot: &Snapshot,
    wanted: &Value,
    drafts: &mut BTreeMap<String, Draft>,
) -> Result<(), Status> {
    let resource = resource_of(snapshot, object::kind(wanted))?;
    let key = resource.key(object::namespace(wanted), object::name(wanted));
    let entry = server.store.get(&key);
    let existing = entry.as_ref().map(|entry| codec::read(&resource, entry)).transpose()?;
    let (object, new) = match defaults::reconcile(existing.as_ref(), wanted) {
        Reconciled::Nothing => return Ok(()),
        Reconciled::Update(object) => (object, false),
        Reconciled::Create(object) | Reconciled::Recreate(object) => (object, true),
    };
    drafts.insert(key, Draft { resource, object, expect: expectation(entry.as_ref()), new });
    Ok(())
}

fn expectation(entry: Option<&Entry>) -> Expect {
    entry.map_or(Expect::Absent, |entry| Expect::Revision(entry.modified))
}

/// Gives aggregated roles their rules in the same transaction, so that no request ever sees them empty.
fn complete_aggregated(
    server: &ApiServer,
    snapshot: &Snapshot,
    drafts: &mut BTreeMap<String, Draft>,
) -> Result<(), Status> {
    let resource = resource_of(snapshot, "ClusterRole")?;
    let mut roles = BTreeMap::new();
    for role in aggregation::cluster_roles(server).map(|(roles, _)| roles).unwrap_or_default() {
        roles.insert(resource.key("", object::name(&role)), role);
    }
    for (key, draft) in drafts.iter().filter(|(_, draft)| draft.resource.kind == resource.kind) {
        roles.insert(key.clone(), draft.object.clone());
    }
    for aggregated in aggregate(roles.values()) {
        let key = resource.key("", &aggregated.name);
        if !drafts.contains_key(&key) {
            let Some(entry) = server.store.get(&key) else { continue };
            let (object, expect) = (codec::read(&resource, &entry)?, Expect::Revision(entry.modified));
            let resource = Arc::clone(&resource);
            drafts.insert(key.clone(), Draft { resource, object, expect, new: false });
        }
        let Some(draft) = drafts.get_mut(&key) else { continue };
        object::map(&mut draft.object).insert("rules".to_owned(), json!(aggregated.rules));
    }
    Ok(())
}

fn change(key: String, draft: Draft, now: &str) -> Change {
    let Draft { resource, mut object, expect, new } = draft;
    if new {
        metadata::prepare_create(&resource, &mut object, now);
        object = aphex_merge::update(Update {
            live: None,
            new: object,
            schema: resource.typed(),
            others: &[],
            manager: "kube-apiserver",
            subresource: "",
            now,
            reset: &FieldSet::new(),
        });
    }
    Change::Put { key, payload: codec::encode(&object, &resource), expect }
}
