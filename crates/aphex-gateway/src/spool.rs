//! Events on this replica's own disk, while the engine cannot take them.
//!
//! ```text
//! engine away -> keep (temporary name, sync, rename, sync the folder) -> 200
//!                  drain (many at once, some in order) -> the engine has the Delivery -> file removed
//! ```
//!
//! One file is one event, in its name: the order of arrival, the listener, what it has to be in order with, the time. A
//! file is removed only once its Delivery exists, so an event may be stored twice and never not at all; the Delivery's
//! name makes the second time nothing. What can never be stored is set aside as `*.bad`, and counts in the limit until
//! somebody takes it away. Submodules: `record` the bytes, `folder`
//! the files, `turns` who is next; who drains is [`crate::deliveries`].

mod folder;
mod record;
mod turns;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::deliveries::Incoming;
use crate::metrics::GatewayMetrics;
use crate::shares::{Refusal, Shares};
use crate::templates::hex;
use crate::weight::{Room, Taken};
use folder::{Folder, Left};
pub use record::RecordError;
pub(crate) use turns::PLACES;
use turns::Turns;

/// Characters that stand for an organization, as many for its listener, and for what an event has to be in order with.
const NAME: usize = 8;
/// Instead of the last of these, where there is nothing.
const ALONE: &str = "x";
/// Payloads under way from the disk are counted in units of this many bytes, and all may have this many units.
const UNIT: u64 = 1024 * 1024;
const UNITS: u32 = 64;

/// Where events wait, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder; made if it is not there, and no other process's.
    pub folder: PathBuf,
    /// How many bytes all files together may have, those that were set aside too.
    pub limit: u64,
}

impl Settings {
    /// How many bytes may wait where nobody says otherwise.
    pub const LIMIT: u64 = 512 * 1024 * 1024;
}

/// An event cannot be kept on disk, or read from there.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The folder cannot be used.
    #[error("cannot use {0} as spool folder: name another with --spool-dir")]
    Folder(PathBuf, #[source] io::Error),
    /// Another process uses the folder.
    #[error("another process uses the spool folder {0}: give each gateway one of its own with --spool-dir")]
    InUse(PathBuf),
    /// Everything that is allowed is in use.
    #[error("the spool is full: {waiting} of {limit} bytes wait for the engine")]
    Full {
        /// Bytes there are.
        waiting: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The organization has all that the others leave to it.
    #[error("{waiting} of {limit} bytes of the spool are this organization's: the rest is for others")]
    Share {
        /// Bytes that the organization has there.
        waiting: u64,
        /// Bytes that all organizations together may have.
        limit: u64,
    },
    /// A file cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// A file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// An event cannot be made into bytes.
    #[error("cannot encode the event")]
    Encode(#[source] io::Error),
    /// The work was cut short.
    #[error("the work on the spool was cut short")]
    Task(#[source] tokio::task::JoinError),
    /// A file's content is not what was written.
    #[error("{0} is damaged")]
    Broken(PathBuf, #[source] RecordError),
}

/// The name of a file says everything that is needed to drain in order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Stands for the listener, and for what it has to be in order with.
    group: String,
    /// When the event was received, in milliseconds.
    received: i64,
    bytes: u64,
}

impl Entry {
    /// What stands for the organization.
    fn organization(&self) -> &str {
        self.group.get(..NAME).unwrap_or(&self.group)
    }

    /// What stands for the listener.
    fn listener(&self) -> &str {
        self.group.get(..2 * NAME).unwrap_or(&self.group)
    }

    /// What stands for all that have to leave in order; files of an earlier release are in order by listener.
    fn sequence(&self) -> Option<&str> {
        (!self.group.ends_with(ALONE)).then_some(&self.group)
    }
}

#[derive(Debug)]
struct State {
    entries: BTreeMap<u64, Entry>,
    turns: Turns,
    /// How many bytes each organization has.
    shares: Shares,
    next: u64,
}

impl State {
    fn give_bytes_back(&mut self, entry: &Entry) {
        self.shares.give_back(entry.organization(), entry.bytes);
    }

    /// Notes a file that is there.
    fn find(&mut self, number: u64, entry: &Entry) {
        self.shares.find(entry.organization(), entry.bytes);
        self.next = self.next.max(number + 1);
    }

    fn insert(&mut self, number: u64, entry: Entry) {
        self.turns.add(number, &entry);
        self.entries.insert(number, entry);
    }

    fn remove(&mut self, number: u64) {
        if let Some(entry) = self.set_aside(number) {
            self.give_bytes_back(&entry);
        }
    }

    /// Lets an event wait no longer; its bytes stay where they are.
    fn set_aside(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.turns.remove(number, &entry);
        Some(entry)
    }
}

/// An event that was read, and the memory that it has until this is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) incoming: Incoming,
    _room: Option<OwnedSemaphorePermit>,
    _values: Taken,
}

/// The spool; cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: Folder,
    state: Mutex<State>,
    changed: Notify,
    /// Memory for payloads on their way from the disk.
    room: Arc<Semaphore>,
    metrics: GatewayMetrics,
}

impl Spool {
    /// Takes up what an earlier process left in the folder.
    pub fn open(settings: Settings, metrics: GatewayMetrics) -> Result<Self, SpoolError> {
        let folder = Folder::open(settings.folder)?;
        metrics.spool_limit(settings.limit);
        let shares = Shares::of(settings.limit);
        let mut state = State { entries: BTreeMap::new(), turns: Turns::default(), shares, next: 1 };
        let Left { events, aside } = folder.list()?;
        for (number, entry) in &aside {
            state.find(*number, entry);
        }
        if !aside.is_empty() {
            tracing::warn!(
                files = aside.len(), bytes = state.shares.taken(), folder = %folder.path().display(),
                "files that were set aside as *.bad take room in the spool: look at them, and remove them"
            );
        }
        for (number, entry) in events {
            state.find(number, &entry);
            state.insert(number, entry);
        }
        if !state.entries.is_empty() {
            tracing::info!(
                events = state.entries.len(), bytes = state.shares.taken(), folder = %folder.path().display(),
                "events of an earlier process wait in the spool"
            );
        }
        let room = Arc::new(Semaphore::new(UNITS as usize));
        let inner = Inner { folder, state: Mutex::new(state), changed: Notify::new(), room, metrics };
        Ok(Self(Arc::new(inner)))
    }

    /// Keeps an event: when this returns, a power cut does not lose it. All of a sequence leave in order.
    pub async fn keep(&self, incoming: &Incoming, sequence: Option<&str>) -> Result<(), SpoolError> {
        let head = record::Head::of(incoming);
        let (json, group) = (incoming.json.clone(), group(incoming, sequence));
        let (spool, received) = (self.clone(), incoming.received.as_millisecond());
        // A request that is given up meanwhile does not leave a file that nobody knows of.
        let write = move || {
            let bytes = record::encode(&head, &json).map_err(SpoolError::Encode)?;
            let entry = Entry { group, received, bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX) };
            let number = spool.reserve(&entry)?;
            match spool.0.folder.write(number, &entry, &bytes) {
                Ok(()) => {
                    spool.state().insert(number, entry);
                    Ok(())
                }
                Err(error) => {
                    spool.state().give_bytes_back(&entry);
                    Err(error)
                }
            }
        };
        let written = blocking(write).await;
        if written.is_ok() {
            self.0.metrics.spooled();
        }
        self.0.changed.notify_one();
        written
    }

    fn reserve(&self, entry: &Entry) -> Result<u64, SpoolError> {
        let mut state = self.state();
        state.shares.take(entry.organization(), entry.bytes).map_err(|refusal| {
            let (shares, limit) = (&state.shares, state.shares.total());
            match refusal {
                Refusal::Full => SpoolError::Full { waiting: shares.taken(), limit },
                Refusal::Share => SpoolError::Share { waiting: shares.held(entry.organization()), limit },
            }
        })?;
        state.next += 1;
        Ok(state.next - 1)
    }

    /// Whether events of the same sequence wait: a later one must not overtake them.
    pub fn holds(&self, incoming: &Incoming, sequence: &str) -> bool {
        self.state().turns.holds(&group(incoming, Some(sequence)))
    }

    /// Whether more events of the listener wait than leave at once: one more would only add to what the engine is slow at.
    pub fn is_crowded(&self, incoming: &Incoming) -> bool {
        let entry = Entry { group: group(incoming, None), received: 0, bytes: 0 };
        self.state().turns.crowds(&entry)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.state().entries.is_empty()
    }

    /// How many events wait.
    pub(crate) fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Takes the number of the next event that may leave.
    pub(crate) fn begin(&self) -> Option<u64> {
        let mut state = self.state();
        let State { entries, turns, .. } = &mut *state;
        turns.begin(Instant::now(), entries)
    }

    /// Puts an event back that was begun.
    pub(crate) fn put_back(&self, number: u64) {
        let mut state = self.state();
        let State { entries, turns, .. } = &mut *state;
        if let Some(entry) = entries.get(&number) {
            turns.put_back(number, entry);
        }
    }

    /// Lets an event rest that was begun and cannot be stored now.
    pub(crate) fn rest(&self, number: u64) {
        let mut state = self.state();
        let State { entries, turns, .. } = &mut *state;
        if let Some(entry) = entries.get(&number) {
            turns.rest(number, entry, Instant::now());
        }
    }

    /// Resolves when there may be more to begin: something was put in, or has rested.
    pub(crate) async fn more(&self) {
        let changed = self.0.changed.notified();
        let wakes = self.state().turns.wakes();
        match wakes {
            Some(at) => drop(tokio::time::timeout_at(at, changed).await),
            None => changed.await,
        }
    }

    /// Reads an event, once there is memory for it; nothing when somebody took the file away.
    pub(crate) async fn read(&self, number: u64, values: &Room) -> Result<Option<Kept>, SpoolError> {
        let Some(entry) = self.state().entries.get(&number).cloned() else { return Ok(None) };
        let (spool, looked) = (self.clone(), entry.clone());
        let size = move || spool.0.folder.unpacked(number, &looked);
        let Some(size) = blocking(size).await? else {
            self.state().remove(number);
            return Ok(None);
        };
        let units = u32::try_from(size.div_ceil(UNIT)).unwrap_or(UNITS).clamp(1, UNITS);
        // Nobody closes it.
        let room = Arc::clone(&self.0.room).acquire_many_owned(units).await.ok();
        let spool = self.clone();
        let read = move || {
            let Some(bytes) = spool.0.folder.read(number, &entry)? else {
                spool.state().remove(number);
                return Ok(None);
            };
            let file = spool.0.folder.file(number, &entry);
            match record::decode(&bytes) {
                Ok(record) => Ok(Some((record, file))),
                Err(error) => Err(SpoolError::Broken(file, error)),
            }
        };
        let Some((record, file)) = blocking(read).await? else { return Ok(None) };
        let taken = values.take(record.organization(), record.json()).await;
        let incoming =
            blocking(move || record.read().map_err(|error| SpoolError::Broken(file, error))).await?;
        Ok(Some(Kept { incoming, _room: room, _values: taken }))
    }

    /// Removes an event that the engine has.
    pub(crate) async fn remove(&self, number: u64) -> Result<(), SpoolError> {
        self.take(number, Folder::remove, State::remove).await
    }

    /// Sets an event aside that can never be stored, for somebody to look at.
    pub(crate) async fn set_aside(&self, number: u64) -> Result<(), SpoolError> {
        self.0.metrics.spool_refused();
        self.take(number, Folder::set_aside, |state, number| drop(state.set_aside(number))).await
    }

    async fn take(
        &self,
        number: u64,
        how: fn(&Folder, u64, &Entry) -> Result<(), SpoolError>,
        note: fn(&mut State, u64),
    ) -> Result<(), SpoolError> {
        let Some(entry) = self.state().entries.get(&number).cloned() else { return Ok(()) };
        let spool = self.clone();
        let take = move || {
            how(&spool.0.folder, number, &entry)?;
            note(&mut spool.state(), number);
            Ok(())
        };
        blocking(take).await
    }

    /// Tells the metrics how much waits and since when.
    pub(crate) fn measure(&self, now: Timestamp) {
        let state = self.state();
        // Numbers are given in order of arrival. This is asked after every event that leaves, so nothing looks at all.
        let oldest = state.entries.values().next().map(|entry| entry.received);
        let age = oldest.map_or(0, |oldest| (now.as_millisecond() - oldest).max(0) / 1000);
        self.0.metrics.spool(state.entries.len(), state.shares.taken(), age);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands for a listener in names of files, its organization first, and for what the event has to be in order with.
fn group(incoming: &Incoming, sequence: Option<&str>) -> String {
    let short = |name: &str| hex(name)[..NAME].to_owned();
    let sequence = sequence.map_or_else(|| ALONE.to_owned(), short);
    short(&incoming.listener_namespace) + &short(&incoming.listener) + &sequence
}

/// Works with files on a thread that may wait for them.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(SpoolError::Task(error)))
}

#[cfg(test)]
mod tests;
