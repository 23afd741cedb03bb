//! Lists, pages, older revisions and their end by compaction.

use std::time::Duration;

use super::{Constructor, keys, remove, set, until};
use crate::{Entry, List, Options, ReadError, Revision, Store};

fn list_at(store: &Store, prefix: &str, at: Revision) -> Result<Vec<Entry>, ReadError> {
    let request = List { prefix: prefix.to_owned(), at: Some(at), ..List::default() };
    store.list(&request).map(|page| page.entries)
}

pub(super) async fn a_list_has_its_prefix_and_no_more(subject: &impl Constructor) {
    let store = subject.with_defaults();
    for key in ["/a", "/a/", "/a/b", "/a/ö", "/ab", "/b/1", "/b/2", "/b/3"] {
        set(&store, key, key).await;
    }
    let list = |prefix: &str, after: Option<&str>, limit| {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        store.list(&List { prefix, after, limit, at: None }).unwrap()
    };
    assert_eq!(keys(&list("/a/", None, None).entries), ["/a/", "/a/b", "/a/ö"]);
    assert_eq!(list("", None, None).entries.len(), 8);
    let page = list("/b/", None, Some(1));
    assert_eq!((keys(&page.entries), page.remaining, page.revision), (vec!["/b/1"], 2, 9));
    let page = list("/b/", Some("/b/1"), Some(2));
    assert_eq!((keys(&page.entries), page.remaining), (vec!["/b/2", "/b/3"], 0));
    assert_eq!(list("/b/", Some("/b/11"), Some(5)).entries.len(), 2);
    assert_eq!(list("/b/", Some("/a"), Some(0)).remaining, 3);
    assert!(list("/b/", Some("/c"), None).entries.is_empty());
    assert_eq!((store.count("/a"), store.count("/b/"), store.count("/c")), (5, 3, 0));
}

pub(super) async fn pages_at_a_revision_do_not_move_while_others_write(subject: &impl Constructor) {
    let store = subject.with_defaults();
    for number in 0..60 {
        set(&store, &format!("/k/{:03}", number * 10), "before").await;
    }
    remove(&store, "/k/100").await;
    set(&store, "/other", "1").await;
    let whole = store.list(&List { prefix: "/k/".into(), ..List::default() }).unwrap();

    let mut seen = Vec::new();
    let mut step = 0;
    loop {
        let after = seen.last().map(|entry: &Entry| entry.key.to_string());
        let request = List { prefix: "/k/".into(), after, limit: Some(7), at: Some(whole.revision) };
        let page = store.list(&request).unwrap();
        assert_eq!(page.revision, whole.revision);
        seen.extend(page.entries);
        assert_eq!(seen.len() + page.remaining, whole.entries.len());
        if page.remaining == 0 {
            break;
        }
        // Before, on and after the place that the reader has reached.
        for place in [step, 300, 590 - step] {
            set(&store, &format!("/k/{place:03}"), "after").await;
            set(&store, &format!("/k/{:03}", place + 5), "new").await;
            remove(&store, &format!("/k/{:03}", (place + 20) % 600)).await;
        }
        set(&store, "/k/100", "back").await;
        step += 50;
    }
    assert_eq!(seen, whole.entries);
    let now = store.list(&List { prefix: "/k/".into(), ..List::default() }).unwrap();
    assert_ne!(now.entries, whole.entries);
}

pub(super) async fn a_revision_to_come_cannot_be_read(subject: &impl Constructor) {
    let store = subject.with_defaults();
    let revision = set(&store, "/a", "1").await;
    assert_eq!(list_at(&store, "", revision + 1), Err(ReadError::Future { current: revision }));
    assert_eq!(store.watch("", revision + 1).unwrap_err(), ReadError::Future { current: revision });
}

pub(super) async fn compaction_takes_the_past_and_leaves_the_present(subject: &impl Constructor) {
    let store = subject.with_defaults();
    for number in 0..10 {
        set(&store, "/a", &number.to_string()).await;
    }
    let gone = remove(&store, "/a").await;
    set(&store, "/b", "1").await;
    store.compact(6).await.unwrap();
    assert_eq!(store.oldest(), 6);
    assert_eq!(list_at(&store, "", 5), Err(ReadError::Compacted { oldest: 6 }));
    let at = list_at(&store, "", 6).unwrap();
    assert_eq!((&at[0].value[..], at[0].modified), (&b"4"[..], 6));
    assert_eq!(list_at(&store, "", gone - 1).unwrap()[0].modified, gone - 1);
    assert!(list_at(&store, "", gone).unwrap().is_empty());
    // Back is no way, and there is no future to compact.
    store.compact(3).await.unwrap();
    assert_eq!(store.oldest(), 6);
    store.compact(u64::MAX).await.unwrap();
    assert_eq!((store.oldest(), store.revision()), (gone + 1, gone + 1));
    assert_eq!(keys(&list_at(&store, "", gone + 1).unwrap()), ["/b"]);
    assert_eq!(set(&store, "/c", "1").await, gone + 2);
}

pub(super) async fn history_is_dropped_by_count(subject: &impl Constructor) {
    let options = Options { max_revisions: 10, ..Options::default() };
    let store = subject.open(options);
    for number in 0..40 {
        set(&store, "/a", &number.to_string()).await;
    }
    // The newest ten and the group that was just written.
    assert_eq!(store.oldest(), store.revision() - 11);
    assert!(list_at(&store, "", store.revision() - 10).is_ok());
}

pub(super) async fn history_is_dropped_by_bytes(subject: &impl Constructor) {
    let store = subject.open(Options { max_history_bytes: 100_000, ..Options::default() });
    let large = "x".repeat(20_000);
    for _ in 0..20 {
        set(&store, "/a", &large).await;
    }
    let kept = store.revision() - store.oldest();
    assert!((3..=6).contains(&kept), "{kept} revisions kept");
}

pub(super) async fn old_history_is_dropped_though_nobody_writes(subject: &impl Constructor) {
    let options = Options { keep_for: Duration::ZERO, keep_revisions: 5, ..Options::default() };
    let store = subject.open(options);
    for number in 0..40 {
        set(&store, "/a", &number.to_string()).await;
    }
    until("only five revisions are kept", || store.oldest() == store.revision() - 5).await;
    assert_eq!(store.revision(), 41);
}
