//! `ResourceQuota`: a write is charged to the quotas that see it in the transaction that stores it.
//!
//! A quota's status names the revision it was read at, so two writes can never spend the same rest; a lock a namespace
//! only keeps them from trying in vain. A write that fails charges nothing, for there is no transaction. What is given
//! back (deletes, pods that end) is counted anew by `keeper`.

mod keeper;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aphex_kinds::quota::{self, Request};
use aphex_store::{Ahead, Change, CommitError, Committed, Entry, Expect, List, Revision, Store};
use serde_json::{Value, json};
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::{Operation, Write, lookup};
use crate::codec;
use crate::object;
use crate::resource::Resource;
use crate::server::ApiServer;
use crate::status::Status;

pub use keeper::run;

/// Keys of all quotas.
const PREFIX: &str = "/registry/core/resourcequotas/";

/// What is kept of quotas between requests.
#[derive(Debug)]
pub struct Quotas {
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Namespaces to be counted anew.
    stale: mpsc::UnboundedSender<String>,
    /// The other end, until the keeper takes it.
    news: Mutex<Option<mpsc::UnboundedReceiver<String>>>,
}

impl Default for Quotas {
    fn default() -> Self {
        let (stale, news) = mpsc::unbounded_channel();
        Self { locks: Mutex::default(), stale, news: Mutex::new(Some(news)) }
    }
}

impl Quotas {
    /// One writer at a time in a namespace with quotas.
    async fn lock(&self, namespace: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody holds or waits for a lock that only the map knows.
            locks.retain(|name, lock| name == namespace || Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(namespace.to_owned()).or_default())
        };
        lock.lock_owned().await
    }

    fn count_anew(&self, namespace: &str) {
        // Without a keeper the server is on its way out.
        let _ = self.stale.send(namespace.to_owned());
    }
}

/// Why a write was not stored.
#[derive(Debug)]
pub enum Refused {
    /// A quota does not allow it.
    Quota(Status),
    /// The store did not take it.
    Store(CommitError),
}

impl From<CommitError> for Refused {
    fn from(error: CommitError) -> Self {
        Self::Store(error)
    }
}

/// Stores a change of an object, or nothing where nothing is to be stored, and charges it to the quotas that see it.
///
/// With `ahead` it answers before the change is on disk, where no quota sees it.
pub async fn commit(
    write: &Write<'_>,
    object: &Value,
    change: Change,
    ahead: bool,
) -> Result<Committed, Refused> {
    let (server, namespace) = (&write.call.server, write.call.namespace());
    if !is_counted(write, object) {
        return Ok(if ahead {
            server.store.commit_ahead(vec![change]).await?.committed
        } else {
            server.store.commit(vec![change]).await?
        });
    }
    let quotas = find(&server.store, namespace)?;
    // Most kinds are counted by no quota of their namespace: their writes wait for nobody and go to disk together.
    if !is_seen(write, object, &quotas)? {
        if ahead {
            let ahead = server.store.commit_ahead(vec![change]).await?;
            let committed = ahead.committed.clone();
            tokio::spawn(count_unseen(Arc::clone(server), namespace.to_owned(), quotas, ahead));
            return Ok(committed);
        }
        let committed = server.store.commit(vec![change]).await?;
        // A quota that came into force meanwhile may have been counted without this object.
        let now = find(&server.store, namespace)?;
        if versions(&now) != versions(&quotas) && is_seen(write, object, &now)? {
            server.quotas.count_anew(namespace);
        }
        return Ok(committed);
    }
    let _one_at_a_time = server.quotas.lock(namespace).await;
    loop {
        let mut changes = vec![change.clone()];
        changes.extend(charges(write, object)?);
        match server.store.commit(changes).await {
            Err(CommitError::Conflict { key, .. }) if key.starts_with(PREFIX) && key != change.key() => {}
            other => return Ok(other?),
        }
    }
}

/// Counts a namespace anew where a quota came into force before an object was on disk, and could be counted without it.
async fn count_unseen(server: Arc<ApiServer>, namespace: String, quotas: Vec<Entry>, ahead: Ahead) {
    let stored = ahead.on_disk().await.is_ok();
    if stored && find(&server.store, &namespace).is_ok_and(|now| versions(&now) != versions(&quotas)) {
        server.quotas.count_anew(&namespace);
    }
}

/// When each was written last.
fn versions(entries: &[Entry]) -> Vec<Revision> {
    entries.iter().map(|entry| entry.modified).collect()
}

/// Whether quotas would let a write in that stores nothing.
pub fn check(write: &Write<'_>, object: &Value) -> Result<(), Status> {
    if !is_counted(write, object) {
        return Ok(());
    }
    charges(write, object).map(drop).map_err(|refused| match refused {
        Refused::Quota(status) => status,
        Refused::Store(error) => crate::write::commit_failed(&error),
    })
}

fn request<'a>(write: &'a Write<'_>, object: &'a Value) -> Request<'a> {
    let resource = &write.call.resource;
    Request {
        group: &resource.group,
        plural: &resource.plural,
        subresource: write.call.subresource(),
        object,
        old: write.old,
        now: write.call.server.timestamp(),
    }
}

fn is_counted(write: &Write<'_>, object: &Value) -> bool {
    let resource = &write.call.resource;
    // What is about to go is not charged for its last change.
    resource.namespaced && write.operation != Operation::Delete && quota::concerns(&request(write, object))
}

/// Whether one of these quotas counts the object.
///
/// Every create in a namespace with quotas asks: metadata, the larger part of a quota, is read past.
fn is_seen(write: &Write<'_>, object: &Value, entries: &[Entry]) -> Result<bool, Refused> {
    let read = |entry: &Entry| codec::parse_content(&entry.value).map_err(Refused::Quota);
    let quotas = entries.iter().map(read).collect::<Result<Vec<Value>, Refused>>()?;
    Ok(quota::seen(&request(write, object), &quotas))
}

fn parse(entries: &[Entry]) -> Result<Vec<Value>, Refused> {
    let parsed: Result<Vec<Value>, Status> = entries.iter().map(|entry| codec::parse(&entry.value)).collect();
    parsed.map_err(Refused::Quota)
}

fn find(store: &Store, namespace: &str) -> Result<Vec<Entry>, Refused> {
    let request = List { prefix: format!("{PREFIX}{namespace}/"), ..List::default() };
    match store.list(&request) {
        Ok(page) => Ok(page.entries),
        Err(error) => Err(Refused::Quota(Status::internal(error))),
    }
}

/// The changes of quotas that a write makes.
fn charges(write: &Write<'_>, object: &Value) -> Result<Vec<Change>, Refused> {
    let server = &write.call.server;
    let entries = find(&server.store, write.call.namespace())?;
    let quotas = parse(&entries)?;
    let used = quota::charge(&request(write, object), &quotas)
        .map_err(|why| Refused::Quota(write.forbid(object, &why)))?;
    let resource = resource(server).map_err(Refused::Quota)?;
    let mut changes = Vec::new();
    for ((entry, mut quota), used) in entries.iter().zip(quotas).zip(used) {
        if let Some(used) = used {
            object::set_at(&mut quota, "status.used", used);
            changes.push(put(entry, &quota, &resource));
        }
    }
    Ok(changes)
}

fn put(entry: &Entry, quota: &Value, resource: &Resource) -> Change {
    Change::Put {
        key: entry.key.to_string(),
        payload: codec::encode(quota, resource),
        expect: Expect::Revision(entry.modified),
    }
}

fn resource(server: &ApiServer) -> Result<Arc<Resource>, Status> {
    let snapshot = server.registry.snapshot();
    snapshot.resource("", "v1", "resourcequotas").cloned().ok_or_else(Status::no_resource)
}

/// Counts what a namespace uses of each of its quotas and writes what changed.
async fn count(server: &ApiServer, namespace: &str) -> Result<(), Refused> {
    let _one_at_a_time = server.quotas.lock(namespace).await;
    let resource = resource(server).map_err(Refused::Quota)?;
    loop {
        let mut changes = Vec::new();
        for entry in find(&server.store, namespace)? {
            let mut quota = codec::parse(&entry.value).map_err(Refused::Quota)?;
            let sums = sums(server, namespace, &quota).map_err(Refused::Quota)?;
            if let Some(status) = quota::settled(&quota, sums) {
                object::map(&mut quota).insert("status".to_owned(), status);
                changes.push(put(&entry, &quota, &resource));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        match server.store.commit(changes).await {
            Err(CommitError::Conflict { .. }) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}

fn sums(
    server: &ApiServer,
    namespace: &str,
    quota: &Value,
) -> Result<serde_json::Map<String, Value>, Status> {
    let snapshot = server.registry.snapshot();
    let mut sums = serde_json::Map::new();
    for (group, plural) in quota::sources(quota) {
        let mut served = snapshot.preferred();
        let Some(resource) = served.find(|resource| {
            resource.group == group
                && resource.plural == plural
                && resource.namespaced
                && resource.is_stored()
        }) else {
            continue;
        };
        if !quota::counted(&group, &plural) {
            continue;
        }
        let measured =
            group.is_empty() && matches!(plural.as_str(), "pods" | "services" | "persistentvolumeclaims");
        let objects = if measured {
            lookup::list_of(server, resource, namespace)?
        } else {
            // Where only the number counts, no object need be read.
            vec![json!(null); server.store.count(&resource.key_prefix(Some(namespace)))]
        };
        sums.extend(quota::recount(quota, (&group, &plural), objects.iter(), server.timestamp()));
    }
    Ok(sums)
}
