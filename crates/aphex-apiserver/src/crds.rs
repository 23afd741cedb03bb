//! Custom resource definitions: from an object that describes a kind to a kind that is served.
//!
//! [`refresh`] reads all definitions after every change of one, settles whose names are accepted and replaces
//! the custom part of the registry; a definition is served before the write that made it is answered. Conversion
//! between versions is None: `apiVersion` changes and nothing else.

mod compile;
mod names;
mod removal;
mod validate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aphex_store::{Change, CommitError, Entry, Expect, List, Revision};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub use compile::Version;
pub use removal::{finish_deletions, mark_terminating};
pub use validate::{validate, validate_update};

use crate::codec;
use crate::object;
use crate::resource::Resource;
use crate::server::ApiServer;
use crate::status::Status;
use crate::write;

const GROUP: &str = "apiextensions.k8s.io";
const PREFIX: &str = "/registry/apiextensions.k8s.io/customresourcedefinitions/";

/// What is kept of definitions between changes.
#[derive(Debug, Default)]
pub struct Definitions {
    /// The revision whose definitions are served; held while they are read again.
    served: tokio::sync::Mutex<Revision>,
    /// What was read last, by key, with its revision: only what changed is parsed again.
    read: Mutex<Known>,
    compiled: Mutex<HashMap<String, Compiled>>,
}

/// Parsed definitions and their revisions by key.
type Known = HashMap<Arc<str>, (Revision, Arc<Value>)>;

/// One definition, compiled.
#[derive(Clone, Debug)]
struct Compiled {
    uid: String,
    generation: i64,
    terminating: bool,
    versions: Arc<Vec<Version>>,
}

/// Whether a resource is that of definitions.
pub fn is_definition(resource: &Resource) -> bool {
    resource.custom().is_none() && resource.group == GROUP && resource.plural == "customresourcedefinitions"
}

/// Fills in what a definition leaves out.
pub fn default(definition: &mut Value) {
    let text =
        |path: &str| object::at(definition, path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = text("spec.names.kind");
    let missing = |path: &str| text(path).is_empty();
    let mut fill = Vec::new();
    if missing("spec.names.singular") && !kind.is_empty() {
        fill.push(("spec.names.singular", kind.to_lowercase()));
    }
    if missing("spec.names.listKind") && !kind.is_empty() {
        fill.push(("spec.names.listKind", format!("{kind}List")));
    }
    if missing("spec.conversion.strategy") {
        fill.push(("spec.conversion.strategy", "None".to_owned()));
    }
    for (path, value) in fill {
        object::set_at(definition, path, Value::String(value));
    }
}

/// Brings the status of a definition that is about to be stored up to date.
pub fn settle(server: &ApiServer, definition: &mut Value) {
    let others = read_all(server).unwrap_or_default();
    settle_among(definition, others.iter().map(|(_, other)| &**other), &server.now());
}

fn settle_among<'a>(definition: &mut Value, others: impl IntoIterator<Item = &'a Value>, now: &str) {
    let stored = storage_version(definition).to_owned();
    let mut versions = object::strings(object::at(definition, "status.storedVersions"));
    if !versions.contains(&stored) {
        versions.push(stored);
    }
    object::set_at(definition, "status.storedVersions", json!(versions));
    names::settle(definition, others, now);
}

/// The name of the version that objects are stored in.
fn storage_version(definition: &Value) -> &str {
    let versions = object::at(definition, "spec.versions").and_then(Value::as_array);
    let storage = versions.into_iter().flatten().find(|version| version["storage"] == true);
    storage.and_then(|version| version["name"].as_str()).unwrap_or_default()
}

/// What tells in discovery that objects are stored in another version than before (`StorageVersionHash` in
/// k8s.io/apiserver/pkg/endpoints/discovery); empty when that version is not served.
fn storage_version_hash(definition: &Value) -> String {
    let version = storage_version(definition);
    let versions = object::at(definition, "spec.versions").and_then(Value::as_array);
    let served = |one: &Value| one["name"] == version && one["served"] == true;
    if !versions.into_iter().flatten().any(served) {
        return String::new();
    }
    let (group, kind) = (text(definition, "spec.group"), text(definition, "spec.names.kind"));
    let sum = digest(&SHA256, format!("{group}/{version}/{kind}").as_bytes());
    STANDARD.encode(&sum.as_ref()[..8])
}

fn text<'a>(definition: &'a Value, path: &str) -> &'a str {
    object::at(definition, path).and_then(Value::as_str).unwrap_or_default()
}

fn read_all(server: &ApiServer) -> Result<Vec<(Entry, Arc<Value>)>, Status> {
    let request = List { prefix: PREFIX.to_owned(), ..List::default() };
    let page = server.store.list(&request).map_err(Status::internal)?;
    let mut read = server.crds.read.lock().unwrap_or_else(PoisonError::into_inner);
    let mut known = HashMap::with_capacity(page.entries.len());
    let mut all = Vec::with_capacity(page.entries.len());
    for entry in page.entries {
        let definition = match read.get(&entry.key) {
            Some((revision, definition)) if *revision == entry.modified => Arc::clone(definition),
            _ => Arc::new(codec::parse(&entry.value)?),
        };
        known.insert(Arc::clone(&entry.key), (entry.modified, Arc::clone(&definition)));
        all.push((entry, definition));
    }
    *read = known;
    Ok(all)
}

/// Serves what the definitions say, at least those that were stored before the call.
///
/// Callers that waited for each other share one reading.
pub async fn refresh(server: &Arc<ApiServer>) -> Result<(), Status> {
    let wanted = server.store.revision();
    let mut served = server.crds.served.lock().await;
    if *served >= wanted {
        return Ok(());
    }
    loop {
        let revision = server.store.revision();
        let mut all = read_all(server)?;
        // Whoever was accepted first keeps the name.
        all.sort_by_key(|(entry, _)| entry.created);
        if publish_statuses(server, &all).await? {
            serve(server, &all);
            *served = revision;
            return Ok(());
        }
    }
}

/// Writes statuses that changed because another definition came or went. False: something moved, read again.
async fn publish_statuses(server: &Arc<ApiServer>, all: &[(Entry, Arc<Value>)]) -> Result<bool, Status> {
    let mut changes = Vec::new();
    let snapshot = server.registry.snapshot();
    let resource =
        snapshot.resource(GROUP, "v1", "customresourcedefinitions").ok_or_else(Status::no_resource)?;
    let heads: Vec<Value> = all.iter().map(|(_, definition)| head(definition)).collect();
    for ((entry, definition), head) in all.iter().zip(&heads) {
        let mut settled = head.clone();
        settle_among(&mut settled, &heads, &server.now());
        if settled["status"] != definition["status"] {
            let mut definition = Value::clone(definition);
            definition["status"] = settled["status"].take();
            let payload = codec::encode(&definition, resource);
            let expect = Expect::Revision(entry.modified);
            changes.push(Change::Put { key: entry.key.to_string(), payload, expect });
        }
    }
    if changes.is_empty() {
        return Ok(true);
    }
    match server.store.commit(changes).await {
        Ok(_) | Err(CommitError::Conflict { .. }) => Ok(false),
        Err(error) => Err(write::commit_failed(&error)),
    }
}

/// A definition without its schemas: all that names are settled by.
fn head(definition: &Value) -> Value {
    let versions = object::at(definition, "spec.versions").and_then(Value::as_array);
    let version = |version: &Value| json!({ "name": version["name"], "storage": version["storage"] });
    json!({
        "metadata": { "name": object::name(definition) },
        "spec": {
            "group": definition["spec"]["group"],
            "names": definition["spec"]["names"],
            "versions": versions.into_iter().flatten().map(version).collect::<Vec<_>>(),
        },
        "status": definition["status"],
    })
}

/// Hands the established definitions to the registry.
fn serve(server: &ApiServer, all: &[(Entry, Arc<Value>)]) {
    let mut compiled = server.crds.compiled.lock().unwrap_or_else(PoisonError::into_inner);
    let mut known = HashMap::new();
    let mut resources = Vec::new();
    for (entry, definition) in all {
        if !names::is_established(definition) {
            continue;
        }
        let name = object::name(definition).to_owned();
        let (uid, generation) = (object::uid(definition), object::generation(definition));
        let terminating = object::is_deleting(definition);
        let current = compiled
            .get(&name)
            .filter(|c| c.uid == uid && c.generation == generation && c.terminating == terminating)
            .cloned();
        let current = current.unwrap_or_else(|| Compiled {
            uid: uid.to_owned(),
            generation,
            terminating,
            versions: Arc::new(compile::versions(definition, entry.modified)),
        });
        resources.extend(current.versions.iter().map(|version| compile::resource(definition, version)));
        known.insert(name, current);
    }
    *compiled = known;
    drop(compiled);
    server.registry.set_custom(resources);
}
