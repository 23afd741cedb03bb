//! Watches: history, live events, loss and progress.

use super::{Constructor, delete, next, next_event, put, remove, set, text, until};
use crate::{EventKind, Expect, Options, ReadError, WatchLost};

pub(super) async fn a_watch_starts_from_history_and_goes_on_live(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let first = set(&store, "/a/1", "1").await;
    set(&store, "/b/1", "1").await;
    let second = set(&store, "/a/1", "2").await;
    let mut watch = store.watch("/a/", first).unwrap();
    let mut whole = store.watch("/a/", 0).unwrap();
    set(&store, "/ab", "1").await;
    let third = set(&store, "/a/2", "3").await;

    let event = next_event(&mut watch).await;
    assert_eq!((event.kind, event.revision, text(&event.entry)), (EventKind::Put, second, "2"));
    assert_eq!(text(event.previous.as_ref().unwrap()), "1");
    assert!(!event.is_create());
    let event = next_event(&mut watch).await;
    assert_eq!((event.revision, text(&event.entry), event.is_create()), (third, "3", true));
    for expected in [first, second, third] {
        assert_eq!(next_event(&mut whole).await.revision, expected);
    }
    assert_eq!((watch.waiting(), whole.waiting()), (0, 0));
}

pub(super) async fn watches_started_while_writing_see_every_revision_once(subject: &impl Constructor) {
    const COMMITS: u64 = 400;
    let store = subject.with_defaults();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..COMMITS / 4 {
                    set(&store, &format!("/k/{writer}"), &number.to_string()).await;
                }
            })
        })
        .collect();
    let mut watchers = Vec::new();
    while store.revision() < COMMITS {
        let after = store.revision() * (watchers.len() as u64 % 4) / 3;
        let after = after.clamp(1, store.revision());
        let mut watch = store.watch("/k/", after).unwrap();
        watchers.push(tokio::spawn(async move {
            for expected in after + 1..=COMMITS + 1 {
                assert_eq!(next_event(&mut watch).await.revision, expected, "watch after {after}");
            }
        }));
        tokio::task::yield_now().await;
        let target = (store.revision() + 20).min(COMMITS);
        until("more commits", || store.revision() >= target).await;
    }
    for task in writers.into_iter().chain(watchers) {
        task.await.unwrap();
    }
}

pub(super) async fn a_delete_event_shows_the_last_state_at_its_own_revision(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let change = crate::Change::Put {
        key: "/a".into(),
        payload: crate::Payload { bytes: bytes::Bytes::from_static(b"<>last"), stamp: Some(1) },
        expect: Expect::Absent,
    };
    let created = store.commit(vec![change]).await.unwrap().revision;
    let gone = remove(&store, "/a").await;
    let mut watch = store.watch("/a", created).unwrap();
    let event = next_event(&mut watch).await;
    assert_eq!((event.kind, event.revision), (EventKind::Delete, gone));
    assert_eq!(text(&event.entry), format!("<{gone}>last"));
    assert_eq!((event.entry.created, event.entry.modified), (created, gone));
    assert_eq!(text(event.previous.as_ref().unwrap()), format!("<{created}>last"));
}

pub(super) async fn a_watch_below_compaction_is_refused(subject: &impl Constructor) {
    let store = subject.with_defaults();
    for number in 0..5 {
        set(&store, "/a", &number.to_string()).await;
    }
    store.compact(4).await.unwrap();
    assert_eq!(store.watch("/a", 3).unwrap_err(), ReadError::Compacted { oldest: 4 });
    let mut watch = store.watch("/a", 4).unwrap();
    assert_eq!(next_event(&mut watch).await.revision, 5);
}

pub(super) async fn a_watch_survives_the_compaction_of_what_it_has_not_read(subject: &impl Constructor) {
    let store = subject.with_defaults();
    set(&store, "/a", "1").await;
    let mut watch = store.watch("/a", 1).unwrap();
    let newest = set(&store, "/a", "2").await;
    store.compact(newest).await.unwrap();
    assert_eq!(next_event(&mut watch).await.revision, newest - 1);
    assert_eq!(next_event(&mut watch).await.revision, newest);
}

pub(super) async fn a_slow_watcher_is_dropped_and_can_resume(subject: &impl Constructor) {
    let store = subject.open(Options { watch_queue: 4, ..Options::default() });
    let mut slow = store.watch("/a/", 1).unwrap();
    let mut elsewhere = store.watch("/b/", 1).unwrap();
    for number in 0..20 {
        set(&store, &format!("/a/{number}"), "1").await;
    }
    for expected in 2..6 {
        assert_eq!(next_event(&mut slow).await.revision, expected);
    }
    // The last event might have had companions in its transaction, so it is to be seen again.
    assert_eq!(next(&mut slow).await, Some(Err(WatchLost { delivered: 4 })));
    assert_eq!(next(&mut slow).await, None);
    assert_eq!(slow.progress(), 4);
    let mut resumed = store.watch("/a/", 4).unwrap();
    for expected in 5..22 {
        assert_eq!(next_event(&mut resumed).await.revision, expected);
    }
    let other = set(&store, "/b/1", "1").await;
    assert_eq!(next_event(&mut elsewhere).await.revision, other);
}

pub(super) async fn progress_moves_without_events(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let mut watch = store.watch("/a/", 1).unwrap();
    assert_eq!(watch.progress(), 1);
    let revision = set(&store, "/b", "1").await;
    until("progress to the other key's revision", || watch.progress() == revision).await;
    let revision = set(&store, "/a/1", "1").await;
    assert_eq!(next_event(&mut watch).await.revision, revision);
    until("progress to the event's revision", || watch.progress() == revision).await;
}

pub(super) async fn progress_stays_behind_events_not_taken(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let mut watch = store.watch("/a/", 1).unwrap();
    let pair = vec![put("/a/1", "1", Expect::Absent), put("/a/2", "1", Expect::Absent)];
    let pair = store.commit(pair).await.unwrap().revision;
    let both = vec![delete("/a/1", Expect::Anything), put("/b", "1", Expect::Absent)];
    let last = store.commit(both).await.unwrap().revision;
    assert_eq!(watch.progress(), 1);
    next_event(&mut watch).await;
    assert_eq!(watch.progress(), pair - 1, "one of two events of the transaction is waiting");
    next_event(&mut watch).await;
    assert_eq!(watch.progress(), pair - 1);
    next_event(&mut watch).await;
    assert_eq!(watch.progress(), last);
    // The same when the events come from history.
    let mut late = store.watch("/a/", 1).unwrap();
    next_event(&mut late).await;
    assert_eq!(late.progress(), pair - 1);
}

pub(super) async fn closing_ends_a_watch(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let mut watch = store.watch("/a", 1).unwrap();
    let revision = set(&store, "/a", "1").await;
    store.close().await;
    assert_eq!(next_event(&mut watch).await.revision, revision);
    assert_eq!(next(&mut watch).await, None);
    let mut late = store.watch("/a", 1).unwrap();
    assert_eq!(next_event(&mut late).await.revision, revision);
    assert_eq!(next(&mut late).await, None);
}
