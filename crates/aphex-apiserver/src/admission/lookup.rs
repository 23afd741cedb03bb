//! The objects that plugins depend on, read from the store as they are now.

use aphex_store::List;
use serde_json::Value;

use crate::codec;
use crate::resource::{Resource, storage_prefix};
use crate::server::ApiServer;
use crate::status::Status;

/// An object of a built-in kind; `namespace` is empty for those of the cluster.
pub(super) fn get(
    server: &ApiServer,
    group: &str,
    plural: &str,
    namespace: &str,
    name: &str,
) -> Option<Value> {
    let entry = server.store.get(&key(group, plural, namespace, name))?;
    codec::parse(&entry.value).ok()
}

/// The store key of an object of a built-in kind.
pub(super) fn key(group: &str, plural: &str, namespace: &str, name: &str) -> String {
    let prefix = storage_prefix(group, plural);
    if namespace.is_empty() { format!("{prefix}{name}") } else { format!("{prefix}{namespace}/{name}") }
}

/// All objects of a built-in kind in a namespace, or in the cluster where the kind has none.
pub(super) fn list(
    server: &ApiServer,
    group: &str,
    plural: &str,
    namespace: &str,
) -> Result<Vec<Value>, Status> {
    list_prefix(server, key(group, plural, namespace, ""))
}

/// All objects of a resource in a namespace, as they are stored.
pub(super) fn list_of(
    server: &ApiServer,
    resource: &Resource,
    namespace: &str,
) -> Result<Vec<Value>, Status> {
    list_prefix(server, resource.key_prefix(Some(namespace)))
}

fn list_prefix(server: &ApiServer, prefix: String) -> Result<Vec<Value>, Status> {
    let request = List { prefix, ..List::default() };
    let page = server.store.list(&request).map_err(Status::internal)?;
    page.entries.iter().map(|entry| codec::parse(&entry.value)).collect()
}
