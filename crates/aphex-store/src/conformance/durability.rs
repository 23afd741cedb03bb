//! What only the durable store promises: it comes back as it was, and says why if it cannot.

use std::path::Path;

use tempfile::TempDir;

use super::{Constructor, Durable, next_event, put, remove, set};
use crate::{Expect, List, OpenError, Options, ReadError, Store};

fn open(path: &Path) -> Result<Store, OpenError> {
    Store::open(path, Options::default())
}

#[tokio::test]
async fn a_reopened_store_is_the_same_store() {
    let subject = Durable::new();
    let store = subject.with_defaults();
    for number in 0..30 {
        set(&store, &format!("/k/{:02}", number % 7), &"v".repeat(number)).await;
        if number % 5 == 0 {
            remove(&store, &format!("/k/{:02}", (number + 3) % 7)).await;
        }
    }
    store.commit(vec![put("/x", "1", Expect::Absent), put("/y", "2", Expect::Absent)]).await.unwrap();
    store.compact(9).await.unwrap();
    let (id, revision) = (store.cluster_id().to_owned(), store.revision());
    let lists = |store: &Store| {
        let at = |at| store.list(&List { at: Some(at), ..List::default() }).unwrap().entries;
        (9..=revision).map(at).collect::<Vec<_>>()
    };
    let before = lists(&store);
    let mut watch = store.watch("", 9).unwrap();
    let mut events = Vec::new();
    while watch.waiting() > 0 {
        events.push(next_event(&mut watch).await);
    }
    store.close().await;

    let store = subject.with_defaults();
    assert_eq!((store.cluster_id(), store.revision(), store.oldest()), (&*id, revision, 9));
    assert_eq!(lists(&store), before);
    assert_eq!(store.watch("", 8).unwrap_err(), ReadError::Compacted { oldest: 9 });
    let mut watch = store.watch("", 9).unwrap();
    for event in events {
        assert_eq!(next_event(&mut watch).await, event);
    }
    assert_eq!((watch.waiting(), watch.progress()), (0, revision));
    assert_eq!(set(&store, "/z", "1").await, revision + 1);
}

#[tokio::test]
async fn a_store_lets_go_of_its_file_with_its_last_handle() {
    let subject = Durable::new();
    let path = subject.0.path().join("store.redb");
    let store = subject.with_defaults();
    set(&store, "/a", "1").await;
    drop(store);
    let reopened = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        loop {
            match open(&path) {
                Ok(store) => return store,
                Err(OpenError::Held { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!(reopened.await.unwrap().revision(), 2);
}

#[tokio::test]
async fn a_second_opener_learns_who_holds_the_store() {
    let subject = Durable::new();
    let path = subject.0.path().join("store.redb");
    let store = subject.with_defaults();
    let error = open(&path).unwrap_err();
    assert!(matches!(&error, OpenError::Held { pid, .. } if *pid == Some(std::process::id())), "{error}");
    let message = error.to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    store.close().await;
    assert_eq!(std::fs::read_dir(subject.0.path()).unwrap().count(), 1, "the note is gone");
    open(&path).unwrap();
}

#[tokio::test]
async fn a_backup_is_a_store_with_the_state_of_its_moment() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backup.redb");
    let store = Store::memory(Options::default());
    for number in 0..20 {
        set(&store, &format!("/k/{}", number % 6), &number.to_string()).await;
    }
    let before = store.list(&List::default()).unwrap();
    assert_eq!(store.snapshot_to(&path).await.unwrap(), before.revision);
    set(&store, "/late", "1").await;
    let error = store.snapshot_to(&path).await.unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");

    let restored = open(&path).unwrap();
    assert_eq!(restored.list(&List::default()).unwrap().entries, before.entries);
    assert_eq!((restored.revision(), restored.oldest()), (before.revision, before.revision));
    assert_eq!(restored.cluster_id(), store.cluster_id());
    assert_eq!(set(&restored, "/new", "1").await, before.revision + 1);
    restored.close().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the backup is left");
}

#[tokio::test]
async fn folders_are_made_and_the_file_is_for_its_owner_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("deep/er/store.redb");
    let store = open(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    store.close().await;
}

#[tokio::test]
async fn a_place_that_cannot_be_a_store_is_named() {
    let folder = TempDir::new().unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let error = open(&folder.path().join("file/store.redb")).unwrap_err();
    assert!(matches!(error, OpenError::Other { .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_store_is_called_damaged_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.redb");
    let content = b"These are the notes of last Tuesday. ".repeat(500);
    std::fs::write(&path, &content).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), content);
}

#[tokio::test]
async fn damage_anywhere_is_found_or_harmless() {
    let subject = Durable::new();
    let path = subject.0.path().join("store.redb");
    let store = subject.with_defaults();
    for number in 0..40 {
        set(&store, &format!("/k/{number}"), &"value".repeat(100)).await;
    }
    let whole = store.list(&List::default()).unwrap().entries;
    store.close().await;
    let sound = std::fs::read(&path).unwrap();
    let step = sound.len() / 24;
    let mut found = 0;
    for place in (0..sound.len() - 512).step_by(step) {
        let mut bytes = sound.clone();
        bytes[place..place + 512].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&path, bytes).unwrap();
        match open(&path) {
            Ok(store) => {
                assert_eq!(store.list(&List::default()).unwrap().entries, whole, "damage at {place}");
                store.close().await;
            }
            Err(OpenError::Damaged { .. }) => found += 1,
            Err(error) => panic!("damage at {place}: {error}"),
        }
    }
    assert!(found > 0);
    std::fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}
