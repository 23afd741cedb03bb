//! Objects that go away by themselves: Events, an hour after they were last written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aphex_store::{Change, Entry, Expect, List};
use jiff::Timestamp;
use serde_json::Value;

use crate::codec;
use crate::object;
use crate::resource::Resource;
use crate::server::ApiServer;

const EVERY: Duration = Duration::from_mins(1);
/// Removals per transaction, so that a burst does not hold up other writers.
const BATCH: usize = 100;

/// Removes what has outlived its time, until the server stops.
pub async fn run(server: Arc<ApiServer>) {
    // When each revision of a key was first seen here; after a restart the object's own times must do.
    let mut seen: HashMap<Arc<str>, (u64, Timestamp)> = HashMap::new();
    loop {
        tokio::select! {
            () = server.stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let snapshot = server.registry.snapshot();
        let expiring = snapshot.preferred().filter(|resource| resource.strategy.ttl_seconds.is_some());
        // Two resources may be views of the same objects; one pass over those is enough.
        let mut prefixes: Vec<Arc<Resource>> = Vec::new();
        for resource in expiring {
            if !prefixes.iter().any(|known| known.storage.prefix == resource.storage.prefix) {
                prefixes.push(Arc::clone(resource));
            }
        }
        for resource in prefixes {
            sweep(&server, &resource, &mut seen).await;
        }
    }
}

async fn sweep(server: &ApiServer, resource: &Resource, seen: &mut HashMap<Arc<str>, (u64, Timestamp)>) {
    let request = List { prefix: resource.storage.prefix.clone(), ..List::default() };
    let Ok(page) = server.store.list(&request) else { return };
    let now = server.timestamp();
    let ttl = i64::try_from(resource.strategy.ttl_seconds.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
    let known: HashMap<Arc<str>, (u64, Timestamp)> = page
        .entries
        .iter()
        .map(|entry| {
            let known = seen.get(&entry.key).copied().filter(|(revision, _)| *revision == entry.modified);
            let state = known.unwrap_or_else(|| (entry.modified, written_at(entry).unwrap_or(now).min(now)));
            (Arc::clone(&entry.key), state)
        })
        .collect();
    *seen = known;
    let expired: Vec<&Entry> = page
        .entries
        .iter()
        .filter(|entry| seen.get(&entry.key).is_some_and(|(_, at)| now.as_second() - at.as_second() > ttl))
        .collect();
    for batch in expired.chunks(BATCH) {
        let remove = |entry: &&Entry| Change::Delete {
            key: entry.key.to_string(),
            expect: Expect::Revision(entry.modified),
        };
        if let Err(error) = server.store.commit(batch.iter().map(remove).collect()).await {
            tracing::debug!(%error, "expired objects stay until the next pass");
        }
    }
}

/// The newest time that an Event carries.
fn written_at(entry: &Entry) -> Option<Timestamp> {
    let object = codec::parse(&entry.value).ok()?;
    let times = ["lastTimestamp", "eventTime", "series.lastObservedTime", "metadata.creationTimestamp"];
    times.iter().filter_map(|path| object::at(&object, path)?.as_str()?.parse().ok()).max().or_else(|| {
        let fields = object::meta(&object, "managedFields").and_then(Value::as_array)?;
        fields.iter().filter_map(|entry| entry["time"].as_str()?.parse().ok()).max()
    })
}
