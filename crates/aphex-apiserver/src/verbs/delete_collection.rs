//! Deleting all objects of a collection that match.

use aphex_store::List;
use bytes::Bytes;
use http::Response;

use super::delete::{Deleted, delete_one, read_options};
use super::list::{key_parts, selected};
use crate::body::Body;
use crate::call::Call;
use crate::codec;
use crate::request::{DeleteOptions, ListOptions};
use crate::respond::{self, ListMeta};
use crate::selectors::Filter;
use crate::status::Status;

/// Deletes every object of a resource in all namespaces.
pub async fn delete_all(call: &Call, options: &DeleteOptions) -> Result<(), Status> {
    delete_matching(call, options, &Filter::default(), call.resource.key_prefix(None)).await.map(drop)
}

/// Deletes what the selectors match and answers with the list of it.
pub(super) async fn delete_collection(call: &Call) -> Result<Response<Body>, Status> {
    let list = ListOptions::parse(&call.query, false)?;
    let options = read_options(call)?;
    let filter = Filter::parse(&call.resource, &list.label_selector, &list.field_selector)?;
    let prefix = call.resource.key_prefix(call.path.namespace.as_deref());
    let (items, revision) = delete_matching(call, &options, &filter, prefix).await?;
    respond::list(call, items, &ListMeta { revision, ..ListMeta::default() })
}

async fn delete_matching(
    call: &Call,
    options: &DeleteOptions,
    filter: &Filter,
    prefix: String,
) -> Result<(Vec<Bytes>, u64), Status> {
    let request = List { prefix, ..List::default() };
    let page = call.server.store.list(&request).map_err(Status::internal)?;
    let mut items: Vec<Bytes> = Vec::new();
    for entry in page.entries.iter().filter(|entry| selected(&call.resource, filter, entry)) {
        let (namespace, name) = key_parts(&call.resource, &entry.key);
        match delete_one(call, options, namespace, name).await {
            Ok(Deleted::Gone(object) | Deleted::Going(object)) => items.push(codec::to_bytes(&object)),
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    Ok((items, page.revision))
}
