//! Garbage collection by owner references.
//!
//! Watches the metadata of every kind that can be deleted, keeps the graph of owners and dependents, and
//! deletes what no longer has an owner. Semantics follow k8s.io/kubernetes/pkg/controller/garbagecollector:
//! an owner counts as absent only after a read from the server, never from the cache alone.

mod graph;
mod process;
mod seen;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Kind};
use graph::{Graph, Node, Uid};
use process::Processor;
use seen::Seen;

/// How many objects are looked at at the same time.
const CONCURRENCY: usize = 16;
/// Longest wait before an object whose handling failed is looked at again.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// News from a watch.
enum News {
    Seen(Node),
    Gone(Uid),
    /// A complete list ended; what it did not have is gone.
    Listed(Arc<Kind>, HashSet<Uid>),
}

/// Collects garbage until the token is cancelled.
pub async fn run(client: Client, catalog: Catalog, stop: CancellationToken) {
    let (sender, news) = mpsc::channel(1024);
    let processor = Processor::new(client.clone(), catalog.clone());
    tokio::join!(watch_all(client, catalog, sender, stop.clone()), collect(processor, news, stop));
}

/// Keeps one metadata watch a kind.
async fn watch_all(client: Client, catalog: Catalog, sender: mpsc::Sender<News>, stop: CancellationToken) {
    let mut kinds = catalog.subscribe();
    let mut watches: HashMap<(String, String), (Kind, CancellationToken)> = HashMap::new();
    loop {
        let wanted: Vec<Kind> =
            kinds.borrow_and_update().iter().filter(|kind| collectable(kind)).cloned().collect();
        watches.retain(|_, (kind, token)| {
            let keep = wanted.contains(kind);
            if !keep {
                token.cancel();
            }
            keep
        });
        for kind in wanted {
            let key = (kind.resource.group.clone(), kind.resource.kind.clone());
            watches.entry(key).or_insert_with(|| {
                let token = stop.child_token();
                let of = Arc::new(kind.clone());
                tokio::spawn(watch(client.clone(), of, sender.clone(), token.clone()));
                (kind, token)
            });
        }
        tokio::select! {
            changed = kinds.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Events have no owners worth following and are many.
fn collectable(kind: &Kind) -> bool {
    kind.resource.kind != "Event"
}

async fn watch(client: Client, kind: Arc<Kind>, sender: mpsc::Sender<News>, stop: CancellationToken) {
    let objects: Api<Seen> = Api::all_with(client, &kind.resource);
    let mut events = watcher(objects, watcher::Config::default()).default_backoff().boxed();
    let mut listed = HashSet::new();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = stop.cancelled() => None,
        };
        let Some(event) = event else { break };
        let news = match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                None
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed.extend(object.metadata.uid.clone());
                Node::of(&kind, &object.metadata).map(News::Seen)
            }
            Ok(watcher::Event::InitDone) => {
                Some(News::Listed(Arc::clone(&kind), std::mem::take(&mut listed)))
            }
            Ok(watcher::Event::Apply(object)) => Node::of(&kind, &object.metadata).map(News::Seen),
            Ok(watcher::Event::Delete(object)) => object.metadata.uid.map(News::Gone),
            Err(error) => {
                tracing::debug!(kind = %kind.resource.kind, %error, "watch interrupted");
                None
            }
        };
        if let Some(news) = news
            && sender.send(news).await.is_err()
        {
            return;
        }
    }
    // The kind is no longer served: all its objects are gone.
    let _ = sender.send(News::Listed(kind, HashSet::new())).await;
}

/// Takes in news and looks at what they touch.
async fn collect(processor: Processor, mut news: mpsc::Receiver<News>, stop: CancellationToken) {
    let graph = Arc::new(Mutex::new(Graph::default()));
    let mut queue: Vec<Uid> = Vec::new();
    let mut queued: HashSet<Uid> = HashSet::new();
    let mut active: HashSet<Uid> = HashSet::new();
    let mut failures: HashMap<Uid, u32> = HashMap::new();
    let mut running = FuturesUnordered::new();
    let mut retries = FuturesUnordered::new();
    loop {
        while running.len() < CONCURRENCY {
            let Some(at) = queue.iter().position(|uid| !active.contains(uid)) else { break };
            let uid = queue.remove(at);
            queued.remove(&uid);
            active.insert(uid.clone());
            let (processor, graph) = (processor.clone(), Arc::clone(&graph));
            running.push(async move {
                let outcome = processor.look(&graph, &uid).await;
                (uid, outcome)
            });
        }
        let touched = tokio::select! {
            next = news.recv() => match next { Some(next) => take_in(&graph, next), None => return },
            Some((uid, outcome)) = running.next(), if !running.is_empty() => {
                active.remove(&uid);
                match outcome {
                    Ok(again) => { failures.remove(&uid); again }
                    Err(error) => {
                        tracing::debug!(%uid, %error, "garbage collection failed; trying again");
                        let count = failures.entry(uid.clone()).or_default();
                        *count += 1;
                        let wait = Duration::from_millis(50 << (*count).min(8)).min(LONGEST_RETRY);
                        retries.push(async move { tokio::time::sleep(wait).await; uid });
                        Vec::new()
                    }
                }
            }
            Some(uid) = retries.next(), if !retries.is_empty() => vec![uid],
            () = stop.cancelled() => return,
        };
        for uid in touched {
            if queued.insert(uid.clone()) {
                queue.push(uid);
            }
        }
    }
}

fn take_in(graph: &Mutex<Graph>, news: News) -> Vec<Uid> {
    let mut graph = graph.lock().unwrap_or_else(PoisonError::into_inner);
    match news {
        News::Seen(node) => graph.upsert(node),
        News::Gone(uid) => graph.remove(&uid),
        News::Listed(kind, seen) => {
            let absent = graph.absent(&kind, &seen);
            absent.iter().flat_map(|uid| graph.remove(uid)).collect()
        }
    }
}
