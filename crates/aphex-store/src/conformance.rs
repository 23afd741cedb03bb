//! What every store must do, whatever it keeps its log in. Each case runs on both of ours.

mod changes;
mod durability;
mod lists;
mod model;
mod watches;

use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio_stream::StreamExt;

use crate::{Change, Entry, Event, Expect, Options, Payload, Revision, Store, Watch, WatchLost};

/// Gives a new store for each test.
trait Constructor {
    fn open(&self, options: Options) -> Store;

    fn with_defaults(&self) -> Store {
        self.open(Options::default())
    }
}

struct Memory;

impl Constructor for Memory {
    fn open(&self, options: Options) -> Store {
        Store::memory(options)
    }
}

struct Durable(TempDir);

impl Durable {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }
}

impl Constructor for Durable {
    fn open(&self, options: Options) -> Store {
        Store::open(&self.0.path().join("store.redb"), options).unwrap()
    }
}

macro_rules! conformance {
    ($($module:ident: $($case:ident)+;)+) => {
        mod memory {
            $($(#[tokio::test] async fn $case() { super::$module::$case(&super::Memory).await; })+)+
        }
        mod durable {
            $($(#[tokio::test] async fn $case() { super::$module::$case(&super::Durable::new()).await; })+)+
        }
    };
}

conformance! {
    changes:
        an_empty_store_is_at_revision_one
        a_create_expects_absence
        an_update_expects_the_revision_it_was_made_from
        a_delete_gives_the_entry_that_went
        deleting_an_absent_key_commits_nothing
        a_transaction_is_one_revision_or_nothing
        a_transaction_that_makes_no_sense_is_refused
        the_revision_is_written_into_the_value
        of_many_creates_of_one_key_one_wins
        no_update_is_lost_among_many_tasks
        a_closed_store_answers_reads_and_refuses_writes;
    lists:
        a_list_has_its_prefix_and_no_more
        pages_at_a_revision_do_not_move_while_others_write
        a_revision_to_come_cannot_be_read
        compaction_takes_the_past_and_leaves_the_present
        history_is_dropped_by_count
        history_is_dropped_by_bytes
        old_history_is_dropped_though_nobody_writes;
    watches:
        a_watch_starts_from_history_and_goes_on_live
        watches_started_while_writing_see_every_revision_once
        a_delete_event_shows_the_last_state_at_its_own_revision
        a_watch_below_compaction_is_refused
        a_watch_survives_the_compaction_of_what_it_has_not_read
        a_slow_watcher_is_dropped_and_can_resume
        progress_moves_without_events
        progress_stays_behind_events_not_taken
        closing_ends_a_watch;
}

fn payload(text: &str) -> Payload {
    Payload { bytes: Bytes::copy_from_slice(text.as_bytes()), stamp: None }
}

fn put(key: &str, text: &str, expect: Expect) -> Change {
    Change::Put { key: key.to_owned(), payload: payload(text), expect }
}

fn delete(key: &str, expect: Expect) -> Change {
    Change::Delete { key: key.to_owned(), expect }
}

async fn set(store: &Store, key: &str, text: &str) -> Revision {
    store.commit(vec![put(key, text, Expect::Anything)]).await.unwrap().revision
}

async fn remove(store: &Store, key: &str) -> Revision {
    store.commit(vec![delete(key, Expect::Anything)]).await.unwrap().revision
}

fn text(entry: &Entry) -> &str {
    str::from_utf8(&entry.value).unwrap()
}

fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.key).collect()
}

/// The next item of a watch; an error after ten seconds without one.
async fn next(watch: &mut Watch) -> Option<Result<Event, WatchLost>> {
    let item = tokio::time::timeout(Duration::from_secs(10), watch.next()).await.expect("an item in time");
    item.map(|item| item.map(|event| (*event).clone()))
}

async fn next_event(watch: &mut Watch) -> Event {
    next(watch).await.expect("an event").expect("no loss")
}

/// Waits until the condition holds; at most ten seconds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "not in time: {what}");
}
