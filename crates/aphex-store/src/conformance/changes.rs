//! Conditional changes and transactions.

use bytes::Bytes;

use super::{Constructor, delete, put, remove, set, text};
use crate::{Change, CommitError, Expect, List, Payload};

pub(super) async fn an_empty_store_is_at_revision_one(subject: &impl Constructor) {
    let store = subject.with_defaults();
    assert_eq!(store.revision(), 1);
    assert_eq!(store.cluster_id().len(), 32);
    let page = store.list(&List::default()).unwrap();
    assert_eq!((page.entries.len(), page.revision, page.remaining), (0, 1, 0));
    let nothing = store.commit(vec![]).await.unwrap();
    assert_eq!((nothing.revision, nothing.entries.len()), (1, 0));
    assert_eq!(set(&store, "/a", "1").await, 2);
}

pub(super) async fn a_create_expects_absence(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let created = store.commit(vec![put("/a", "first", Expect::Absent)]).await.unwrap();
    let error = store.commit(vec![put("/a", "second", Expect::Absent)]).await.unwrap_err();
    let CommitError::Conflict { key, current } = error else { panic!("{error}") };
    assert_eq!((key.as_str(), current), ("/a", created.entries[0].clone()));
    assert_eq!(text(&store.get("/a").unwrap()), "first");
    remove(&store, "/a").await;
    let again = store.commit(vec![put("/a", "third", Expect::Absent)]).await.unwrap();
    assert_eq!(again.entries[0].as_ref().unwrap().created, again.revision);
}

pub(super) async fn an_update_expects_the_revision_it_was_made_from(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let created = set(&store, "/a", "1").await;
    let updated = store.commit(vec![put("/a", "2", Expect::Revision(created))]).await.unwrap();
    let entry = updated.entries[0].as_ref().unwrap();
    assert_eq!((entry.created, entry.modified), (created, updated.revision));
    for stale in [created, updated.revision + 1] {
        let error = store.commit(vec![put("/a", "3", Expect::Revision(stale))]).await.unwrap_err();
        assert!(matches!(error, CommitError::Conflict { current: Some(_), .. }), "{error}");
        let error = store.commit(vec![delete("/a", Expect::Revision(stale))]).await.unwrap_err();
        assert!(matches!(error, CommitError::Conflict { current: Some(_), .. }), "{error}");
    }
    let error = store.commit(vec![put("/b", "1", Expect::Revision(created))]).await.unwrap_err();
    assert!(matches!(error, CommitError::Conflict { current: None, .. }), "{error}");
    assert_eq!(store.revision(), updated.revision);
}

pub(super) async fn a_delete_gives_the_entry_that_went(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let created = set(&store, "/a", "1").await;
    let gone = store.commit(vec![delete("/a", Expect::Revision(created))]).await.unwrap();
    let entry = gone.entries[0].as_ref().unwrap();
    assert_eq!((text(entry), entry.modified, gone.revision), ("1", created, created + 1));
    assert_eq!(store.get("/a"), None);
}

pub(super) async fn deleting_an_absent_key_commits_nothing(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let before = set(&store, "/a", "1").await;
    let nothing = store.commit(vec![delete("/b", Expect::Anything)]).await.unwrap();
    assert_eq!((nothing.revision, nothing.entries), (before, vec![None]));
    let absent = store.commit(vec![delete("/b", Expect::Absent)]).await.unwrap();
    assert_eq!(absent.revision, before);
    assert_eq!(store.revision(), before);
    // Beside a change that counts, it is no obstacle.
    let both = vec![delete("/b", Expect::Anything), put("/c", "1", Expect::Absent)];
    assert_eq!(store.commit(both).await.unwrap().revision, before + 1);
}

pub(super) async fn a_transaction_is_one_revision_or_nothing(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let first = set(&store, "/a", "1").await;
    let changes = vec![
        put("/b", "1", Expect::Absent),
        delete("/a", Expect::Revision(first)),
        put("/c", "1", Expect::Anything),
    ];
    let done = store.commit(changes).await.unwrap();
    assert_eq!(done.revision, first + 1);
    let revisions: Vec<_> = done.entries.iter().map(|entry| entry.as_ref().unwrap().modified).collect();
    assert_eq!(revisions, [first + 1, first, first + 1]);

    let half = vec![put("/b", "2", Expect::Anything), put("/c", "2", Expect::Absent)];
    let error = store.commit(half).await.unwrap_err();
    assert!(matches!(&error, CommitError::Conflict { key, .. } if key == "/c"), "{error}");
    assert_eq!(text(&store.get("/b").unwrap()), "1");
    assert_eq!(store.revision(), first + 1);
}

pub(super) async fn a_transaction_that_makes_no_sense_is_refused(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let twice = vec![put("/a", "1", Expect::Anything), delete("/a", Expect::Anything)];
    let beyond = Payload { bytes: Bytes::from_static(b"ab"), stamp: Some(3) };
    let beyond = vec![Change::Put { key: "/a".into(), payload: beyond, expect: Expect::Anything }];
    let long = vec![put(&"k".repeat(5000), "1", Expect::Anything)];
    for changes in [twice, beyond, long] {
        let error = store.commit(changes).await.unwrap_err();
        assert!(matches!(error, CommitError::Invalid { .. }), "{error}");
    }
    assert_eq!(store.revision(), 1);
}

pub(super) async fn the_revision_is_written_into_the_value(subject: &impl Constructor) {
    let store = subject.with_defaults();
    // Over the step from one digit to two, where the bytes grow.
    for _ in 0..12 {
        let bytes = Bytes::from_static(br#"{"resourceVersion":"","x":1}"#);
        let payload = Payload { bytes, stamp: Some(20) };
        let change = Change::Put { key: "/a".into(), payload, expect: Expect::Anything };
        let done = store.commit(vec![change]).await.unwrap();
        let entry = done.entries[0].as_ref().unwrap();
        let expected = format!(r#"{{"resourceVersion":"{}","x":1}}"#, done.revision);
        assert_eq!(text(entry), expected);
        assert_eq!(&entry.value[entry.stamp.clone().unwrap()], done.revision.to_string().as_bytes());
        assert_eq!(&entry.restamped(7)[..], br#"{"resourceVersion":"7","x":1}"#);
        assert_eq!(store.get("/a").as_ref(), Some(entry));
    }
}

pub(super) async fn of_many_creates_of_one_key_one_wins(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let own = format!("/own/{number}");
                set(&store, &own, "1").await;
                store.commit(vec![put("/shared", &own, Expect::Absent)]).await
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(done) => winners.push(done.entries[0].clone().unwrap()),
            Err(CommitError::Conflict { current, .. }) => assert!(current.is_some()),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(store.get("/shared").as_ref(), winners.first());
    assert_eq!(store.count("/own/"), 64);
}

pub(super) async fn no_update_is_lost_among_many_tasks(subject: &impl Constructor) {
    const TASKS: usize = 16;
    const ROUNDS: usize = 10;
    let store = subject.with_defaults();
    set(&store, "/counter", "0").await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    loop {
                        let entry = store.get("/counter").unwrap();
                        let more = (text(&entry).parse::<usize>().unwrap() + 1).to_string();
                        let change = put("/counter", &more, Expect::Revision(entry.modified));
                        match store.commit(vec![change]).await {
                            Ok(_) => break,
                            Err(CommitError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(text(&store.get("/counter").unwrap()), (TASKS * ROUNDS).to_string());
    assert_eq!(store.revision(), 2 + (TASKS * ROUNDS) as u64);
}

pub(super) async fn a_closed_store_answers_reads_and_refuses_writes(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let revision = set(&store, "/a", "1").await;
    store.close().await;
    store.close().await;
    let error = store.commit(vec![put("/a", "2", Expect::Anything)]).await.unwrap_err();
    assert!(matches!(error, CommitError::Closed), "{error}");
    assert!(matches!(store.compact(revision).await, Err(CommitError::Closed)));
    assert_eq!(store.get("/a").unwrap().modified, revision);
}
