//! The handle that everybody holds: reads answered at once, writes sent to the writer.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::oneshot;

use crate::change::{Change, CommitError, Committed};
use crate::durable::{Durable, Loaded, OpenError, Snapshot, SnapshotError};
use crate::entry::{Entry, Revision};
use crate::log::{Forgetful, Log};
use crate::options::Options;
use crate::state::{List, Page, ReadError, State};
use crate::watch::{Hub, Watch};
use crate::writer::{Request, Writer};

/// A revisioned key-value store. Clones are handles to the same store.
///
/// The writer ends, and the store's file is let go, on [`Store::close`] or with the last handle.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    writer: Sender<Request>,
}

/// A transaction whose place is certain and that may not be on disk yet.
#[derive(Debug)]
pub struct Ahead {
    /// What it changes.
    pub committed: Committed,
    on_disk: oneshot::Receiver<Result<Committed, CommitError>>,
}

impl Ahead {
    /// Waits until it is on disk and visible.
    pub async fn on_disk(self) -> Result<Committed, CommitError> {
        self.on_disk.await.unwrap_or(Err(CommitError::Closed))
    }
}

/// What readers and the writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
    pub(crate) hub: Arc<Hub>,
    cluster_id: String,
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Snapshot {
        let state = self.read();
        let entries = state.current.values().cloned().collect();
        Snapshot { entries, revision: state.revision, cluster_id: self.cluster_id.clone() }
    }
}

impl Store {
    /// A store that lives as long as the process.
    pub fn memory(options: Options) -> Self {
        let cluster_id = new_cluster_id();
        // Without a thread to write, the requests' receiver is gone: commits answer `Closed`.
        let (store, started) = Self::start(State::empty(), cluster_id, Box::new(Forgetful), options);
        if let Err(error) = started {
            tracing::error!(%error, "the store's writer thread could not be started");
        }
        store
    }

    /// Opens the store in this file, or creates it. Reads the whole store into memory.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let (durable, loaded) = Durable::open(path)?;
        let Loaded { state, cluster_id } = loaded;
        let (store, started) = Self::start(state, cluster_id, Box::new(durable), options);
        started.map_err(|source| OpenError::Other { path: path.to_owned(), source: Box::new(source) })?;
        Ok(store)
    }

    pub(crate) fn start(
        state: State,
        cluster_id: String,
        log: Box<dyn Log>,
        options: Options,
    ) -> (Self, std::io::Result<()>) {
        let hub = Arc::new(Hub::new(options.watch_queue, state.revision));
        let shared = Arc::new(Shared { state: RwLock::new(state), hub, cluster_id });
        let (requests, inbox) = std::sync::mpsc::channel();
        let writer = Writer::new(Arc::clone(&shared), log, inbox, options);
        let thread = std::thread::Builder::new().name("aphex-store".to_owned());
        let started = thread.spawn(move || writer.run()).map(drop);
        (Self { shared, writer: requests }, started)
    }

    /// Random identity that the store keeps over restarts; 32 hexadecimal digits.
    pub fn cluster_id(&self) -> &str {
        &self.shared.cluster_id
    }

    /// The newest revision. All of it is durable.
    pub fn revision(&self) -> Revision {
        self.shared.read().revision
    }

    /// The oldest revision that can be read at or watched from.
    pub fn oldest(&self) -> Revision {
        self.shared.read().compacted
    }

    /// What a key holds. Sees every acknowledged commit.
    pub fn get(&self, key: &str) -> Option<Entry> {
        self.shared.read().current.get(key).cloned()
    }

    /// Entries under a prefix, in pages and at older revisions if so asked.
    pub fn list(&self, request: &List) -> Result<Page, ReadError> {
        self.shared.read().list(request)
    }

    /// How many keys a prefix has now.
    pub fn count(&self, prefix: &str) -> usize {
        self.shared.read().count(prefix)
    }

    /// Commits a transaction: all changes at one revision, or none.
    ///
    /// Answers when it is on disk and visible. A caller that stops waiting does not undo it.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<Committed, CommitError> {
        self.ask(|answer| Request::Commit { changes, answer }).await
    }

    /// Orders a transaction, and answers once its place is certain, before it is on disk and visible.
    ///
    /// Whatever is asked for after this answer and acknowledged as on disk has the transaction on disk before it. So one who
    /// goes on to a second transaction, and tells nobody of the first until that is acknowledged, waits for the disk once.
    /// A transaction that does not go through answers as [`Store::commit`] does, with what it met on disk.
    pub async fn commit_ahead(&self, changes: Vec<Change>) -> Result<Ahead, CommitError> {
        let (answer, on_disk) = oneshot::channel();
        let committed = self.ask(|place| Request::CommitAhead { changes, place, answer }).await?;
        Ok(Ahead { committed, on_disk })
    }

    /// Events after a revision of keys with the prefix; [`Page::revision`] joins a list and a watch.
    pub fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, ReadError> {
        let state = self.shared.read();
        let backlog = state.events_after(prefix, after)?;
        Ok(self.shared.hub.add(prefix, after, state.revision, backlog))
    }

    /// Drops the history below a revision. Reads and watches from below it answer `Compacted`.
    pub async fn compact(&self, before: Revision) -> Result<(), CommitError> {
        self.ask(|answer| Request::Compact { before, answer }).await
    }

    /// Writes a backup, a store file with the state as of now and no history. Gives its revision.
    ///
    /// Readers and the writer go on meanwhile; the file must not exist.
    pub async fn snapshot_to(&self, path: &Path) -> Result<Revision, SnapshotError> {
        let snapshot = self.shared.snapshot();
        let revision = snapshot.revision;
        let target = path.to_owned();
        let written = tokio::task::spawn_blocking(move || snapshot.write(&target)).await;
        written.unwrap_or_else(|error| Err(SnapshotError::new(path, Box::new(error))))?;
        Ok(revision)
    }

    /// Finishes what was asked, ends the watches and lets go of the file. Reads go on.
    pub async fn close(&self) {
        let closed: Result<(), CommitError> = self.ask(|answer| Request::Close { answer }).await;
        if closed.is_err() {
            tracing::debug!("the store was closed before");
        }
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, CommitError>>) -> Request,
    ) -> Result<T, CommitError> {
        let (answer, answered) = oneshot::channel();
        self.writer.send(request(answer)).map_err(|_| CommitError::Closed)?;
        answered.await.unwrap_or(Err(CommitError::Closed))
    }
}

pub(crate) fn new_cluster_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
