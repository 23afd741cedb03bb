//! Transactions that are answered before they are on disk, on a disk that a test holds back.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use crate::log::{Batch, DiskError, Log};
use crate::state::State;
use crate::{Change, CommitError, Expect, Options, Payload, Store};

/// Keys of each batch that went to disk.
type Written = Arc<Mutex<Vec<Vec<String>>>>;

/// A disk that writes when it is told to, and fails when it is told that.
struct Held {
    orders: Receiver<bool>,
    written: Written,
}

impl Log for Held {
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), DiskError> {
        if self.orders.recv() == Ok(true) {
            let keys = batch.events.iter().map(|event| event.entry.key.to_string()).collect();
            self.written.lock().unwrap().push(keys);
            return Ok(());
        }
        Err(DiskError { operation: "write", source: "the disk is broken".into() })
    }
}

fn held() -> (Store, Sender<bool>, Written) {
    let (order, orders) = channel();
    let written = Written::default();
    let log = Held { orders, written: Arc::clone(&written) };
    let (store, started) = Store::start(State::empty(), "id".to_owned(), Box::new(log), Options::default());
    started.unwrap();
    (store, order, written)
}

fn create(key: &str) -> Vec<Change> {
    let payload = Payload { bytes: Bytes::from_static(b"1"), stamp: None };
    vec![Change::Put { key: key.to_owned(), payload, expect: Expect::Absent }]
}

/// What goes on while the disk is held back has to get along without it.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it waits for the disk")
}

#[tokio::test]
async fn what_is_committed_ahead_is_on_disk_before_what_follows_and_unseen_until_then() {
    let (store, order, written) = held();
    let first = soon(store.commit_ahead(create("/run"))).await.unwrap();
    assert_eq!(first.committed.entries[0].as_ref().map(|entry| &*entry.key), Some("/run"));
    assert_eq!((store.get("/run"), store.revision() < first.committed.revision), (None, true));

    let second = tokio::spawn({
        let store = store.clone();
        async move { store.commit(create("/delivery")).await }
    });
    order.send(true).unwrap();
    let revision = soon(first.on_disk()).await.unwrap().revision;
    assert!(store.get("/run").is_some());
    order.send(true).unwrap();
    assert!(soon(second).await.unwrap().unwrap().revision > revision);
    assert_eq!(written.lock().unwrap().concat(), ["/run", "/delivery"]);
}

#[tokio::test]
async fn what_conflicts_is_told_once_it_can_be_seen_with_what() {
    let (store, order, _) = held();
    let first = soon(store.commit_ahead(create("/run"))).await.unwrap();
    let again = store.commit_ahead(create("/run"));
    tokio::pin!(again);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut again).await;
    assert!(early.is_err(), "the disk has not taken the other: {early:?}");
    order.send(true).unwrap();
    let refused = soon(again).await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })), "{refused:?}");
    assert!(store.get("/run").is_some());
    soon(first.on_disk()).await.unwrap();
}

#[tokio::test]
async fn nothing_is_acknowledged_any_more_once_something_committed_ahead_is_lost() {
    let (store, order, _) = held();
    let first = soon(store.commit_ahead(create("/run"))).await.unwrap();
    order.send(false).unwrap();
    let lost = soon(first.on_disk()).await;
    assert!(matches!(lost, Err(CommitError::Failed(_))), "{lost:?}");
    for refused in [
        soon(store.commit(create("/delivery"))).await.map(drop),
        soon(store.commit_ahead(create("/other"))).await.map(drop),
    ] {
        assert!(matches!(refused, Err(CommitError::Failed(_))), "{refused:?}");
    }
    assert_eq!(store.get("/run"), None);
}
