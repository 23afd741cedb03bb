//! Revisioned, durable key-value log with watches: what etcd is to an API server.
//!
//! One transaction is one revision. A single writer thread checks, orders and makes durable; the
//! current state and the recent history live in memory and answer every read.
//!
//! ```text
//! commit() ──► writer (group) ──► durable log (fsync) ──► state ──► watchers ──► answer
//! ```
//!
//! Invariants: nothing is visible before it is on disk, nor acknowledged, unless who asked wants its
//! place alone ([`Store::commit_ahead`]); disk and readers have transactions in one order; a reader never waits for
//! the disk; a watcher never makes the writer wait; only `durable` knows the storage engine.
//!
//! It does not know what the values mean, except where a revision is written into them.
//! Start reading at [`Store`], then `writer`, `state` and `watch`.

mod change;
#[cfg(test)]
mod conformance;
mod durable;
mod entry;
mod log;
mod options;
mod state;
mod store;
mod watch;
mod writer;

pub use change::{Change, CommitError, Committed, Expect};
pub use durable::{OpenError, SnapshotError};
pub use entry::{Entry, Event, EventKind, Payload, Revision};
pub use log::DiskError;
pub use options::Options;
pub use state::{List, Page, ReadError};
pub use store::{Ahead, Store};
pub use watch::{Watch, WatchLost};
