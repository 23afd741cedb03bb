//! Keeps the status of quotas true: what `resourcequota-controller` of kube-controller-manager does.
//!
//! It counts a namespace when a quota is made or changed and when something that quotas count goes or gets smaller;
//! growth is charged by admission. It watches everything only while there are quotas.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aphex_kinds::quota::{self, Request};
use aphex_store::{Event, EventKind, List, Watch, WatchLost};
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{PREFIX, Refused, count};
use crate::codec;
use crate::server::ApiServer;

/// Everything is counted anew that often, whatever happened (`--resource-quota-sync-period`).
const RESYNC: Duration = Duration::from_mins(5);
/// How long a count waits for more of the same, so that a thousand deletes cost few counts.
const SETTLE: Duration = Duration::from_millis(10);
/// Prefix of all keys.
const EVERYTHING: &str = "/registry/";

/// Keeps quotas true until the server stops.
pub async fn run(server: Arc<ApiServer>) {
    let news = server.quotas.news.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut news) = news else { return };
    loop {
        tokio::select! {
            () = server.stopping.cancelled() => return,
            // It ends when a watch is lost or its time is over, and starts from what is there.
            () = round(&server, &mut news) => {}
        }
    }
}

/// What is known of quotas: their names by namespace.
#[derive(Default)]
struct Known(HashMap<String, BTreeSet<String>>);

impl Known {
    fn note(&mut self, event: &Event) {
        let Some((namespace, name)) =
            event.entry.key.strip_prefix(PREFIX).and_then(|key| key.split_once('/'))
        else {
            return;
        };
        match event.kind {
            EventKind::Put => drop(self.0.entry(namespace.to_owned()).or_default().insert(name.to_owned())),
            EventKind::Delete => {
                if let Some(names) = self.0.get_mut(namespace) {
                    names.remove(name);
                    if names.is_empty() {
                        self.0.remove(namespace);
                    }
                }
            }
        }
    }
}

async fn round(server: &Arc<ApiServer>, news: &mut mpsc::UnboundedReceiver<String>) {
    let request = List { prefix: PREFIX.to_owned(), ..List::default() };
    let Ok(page) = server.store.list(&request) else { return tokio::time::sleep(SETTLE).await };
    let mut known = Known::default();
    for entry in &page.entries {
        if let Some((namespace, name)) = entry.key.strip_prefix(PREFIX).and_then(|key| key.split_once('/')) {
            known.0.entry(namespace.to_owned()).or_default().insert(name.to_owned());
        }
    }
    let mut stale: BTreeSet<String> = known.0.keys().cloned().collect();
    let end = tokio::time::Instant::now() + RESYNC;
    let mut after = page.revision;
    loop {
        // With quotas everything matters, without them only that one is made.
        let prefix = if known.0.is_empty() { PREFIX } else { EVERYTHING };
        let Ok(mut watch) = server.store.watch(prefix, after) else {
            return tokio::time::sleep(SETTLE).await;
        };
        loop {
            settle(server, &mut stale).await;
            let next = tokio::select! {
                event = watch.next() => event,
                Some(namespace) = news.recv() => { stale.insert(namespace); continue }
                () = tokio::time::sleep_until(end) => return,
            };
            if take(server, next, &mut known, &mut stale).is_err() {
                return;
            }
            tokio::time::sleep(SETTLE).await;
            if drain(server, &mut watch, &mut known, &mut stale).is_err() {
                return;
            }
            if known.0.is_empty() != (prefix == PREFIX) {
                after = watch.progress();
                break;
            }
        }
    }
}

/// The watch is over.
struct Over;

fn take(
    server: &ApiServer,
    next: Option<Result<Arc<Event>, WatchLost>>,
    known: &mut Known,
    stale: &mut BTreeSet<String>,
) -> Result<(), Over> {
    let Some(Ok(event)) = next else { return Err(Over) };
    known.note(&event);
    if let Some(namespace) = concerned(server, &event, known) {
        stale.insert(namespace.to_owned());
    }
    Ok(())
}

fn drain(
    server: &ApiServer,
    watch: &mut Watch,
    known: &mut Known,
    stale: &mut BTreeSet<String>,
) -> Result<(), Over> {
    while let Some(next) = tokio::task::unconstrained(Pin::new(&mut *watch).next()).now_or_never() {
        take(server, next, known, stale)?;
    }
    Ok(())
}

/// The namespace whose quotas an event may have made wrong.
fn concerned<'a>(server: &ApiServer, event: &'a Event, known: &Known) -> Option<&'a str> {
    let key = event.entry.key.strip_prefix(EVERYTHING)?;
    let mut parts = key.splitn(4, '/');
    let (group, plural) = (parts.next()?, parts.next()?);
    let (namespace, _) = (parts.next()?, parts.next()?);
    let group = if group == "core" { "" } else { group };
    if !known.0.contains_key(namespace) {
        return None;
    }
    let matters = match (event.kind, group, plural) {
        (EventKind::Put, "", "resourcequotas") => is_uncounted(event),
        (EventKind::Delete, group, plural) => quota::counted(group, plural),
        (EventKind::Put, "", "pods" | "services" | "persistentvolumeclaims") => {
            gives_back(server, event, plural)
        }
        (EventKind::Put, ..) => false,
    };
    (matters || event.is_create() && plural == "resourcequotas").then_some(namespace)
}

/// Whether a quota limits something that its status does not count yet.
fn is_uncounted(event: &Event) -> bool {
    let Ok(quota) = codec::parse(&event.entry.value) else { return false };
    let part = |path: &str| crate::object::at(&quota, path).and_then(Value::as_object);
    part("spec.hard") != part("status.hard") || part("status.used").is_none()
}

/// Whether an object now uses less than before.
fn gives_back(server: &ApiServer, event: &Event, plural: &str) -> bool {
    let Some(previous) = &event.previous else { return false };
    let (Ok(new), Ok(old)) = (codec::parse(&event.entry.value), codec::parse(&previous.value)) else {
        return false;
    };
    let request =
        |object| Request { group: "", plural, subresource: "", object, old: None, now: server.timestamp() };
    quota::gives_back(&request(&new), &old)
}

/// Counts what is stale; what cannot be counted stays so.
async fn settle(server: &ApiServer, stale: &mut BTreeSet<String>) {
    let mut failed = BTreeSet::new();
    for namespace in std::mem::take(stale) {
        match count(server, &namespace).await {
            Ok(()) => {}
            Err(Refused::Store(error)) => {
                tracing::warn!(namespace.name = %namespace, %error, "quotas cannot be counted; trying again");
                failed.insert(namespace);
            }
            Err(Refused::Quota(error)) => {
                tracing::warn!(namespace.name = %namespace, %error, "quotas cannot be counted; trying again");
                failed.insert(namespace);
            }
        }
    }
    *stale = failed;
}
