//! How much history a store keeps, and how far a watcher may fall behind.

use std::time::Duration;

/// Limits of a store. The defaults suit an API server on one machine.
///
/// A revision's history is dropped when it is beyond one of the two upper limits, or when it is
/// both older than `keep_for` and beyond the newest `keep_revisions`; then not at once, but within a tenth of that age.
#[derive(Clone, Debug)]
pub struct Options {
    /// Age that history reaches before it may be dropped; 5 minutes, as kube-apiserver has it.
    pub keep_for: Duration,
    /// So many of the newest revisions are kept at any age; 1,000.
    pub keep_revisions: u64,
    /// Upper limit on revisions of history; 50,000.
    pub max_revisions: u64,
    /// Upper limit on the bytes that only history holds in memory; 64 MiB.
    pub max_history_bytes: usize,
    /// Events that may wait for one watcher before it is dropped; 4,096.
    pub watch_queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_for: Duration::from_mins(5),
            keep_revisions: 1_000,
            max_revisions: 50_000,
            max_history_bytes: 64 << 20,
            watch_queue: 4_096,
        }
    }
}

impl Options {
    /// Limits under which history goes at that age and not later, as that of etcd does when it is compacted.
    pub fn keeping(age: Duration) -> Self {
        Self { keep_for: age, keep_revisions: 0, ..Self::default() }
    }
}
