//! Random operations on the store and on a plain map; they must never differ.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use tokio_stream::StreamExt;

use super::{delete, put, text};
use crate::durable::{Durable, Loaded};
use crate::{Change, CommitError, Event, EventKind, Expect, List, Options, ReadError, Revision, Store};

const KEYS: usize = 6;

#[derive(Clone, Debug)]
enum Wish {
    Anything,
    Absent,
    Current,
    Stale,
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(usize, Option<u16>, Wish)>),
    Compact(u8),
    List { prefix: usize, after: Option<usize>, limit: Option<usize>, back: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let wish = prop_oneof![
        3 => Just(Wish::Anything), 1 => Just(Wish::Absent), 3 => Just(Wish::Current), 1 => Just(Wish::Stale)
    ];
    let change = (0..KEYS, prop::option::weighted(0.7, any::<u16>()), wish);
    let list = (0..4_usize, prop::option::of(0..KEYS), prop::option::of(0..4_usize), 0..12_u64);
    prop_oneof![
        6 => prop::collection::vec(change, 1..4).prop_map(Step::Commit),
        1 => any::<u8>().prop_map(Step::Compact),
        3 => list.prop_map(|(prefix, after, limit, back)| Step::List { prefix, after, limit, back }),
    ]
}

fn key(number: usize) -> String {
    ["/a", "/a/b", "/a/c", "/ab", "/b/a", "/b/b"][number].to_owned()
}

/// Key to (value, created, modified).
type Content = BTreeMap<String, (String, Revision, Revision)>;

/// The content at every revision, the first at index 0.
struct Model {
    revisions: Vec<Content>,
    oldest: Revision,
}

impl Model {
    fn newest(&self) -> Revision {
        self.revisions.len() as Revision
    }

    fn at(&self, revision: Revision) -> &Content {
        &self.revisions[usize::try_from(revision).unwrap().saturating_sub(1)]
    }

    /// The transaction's revision, or the key it fails at.
    fn commit(&mut self, changes: &[Change]) -> Result<Revision, String> {
        let mut content = self.at(self.newest()).clone();
        let revision = self.newest() + 1;
        let mut changed = false;
        for change in changes {
            let holds = match (change.expect(), content.get(change.key())) {
                (Expect::Anything, _) | (Expect::Absent, None) => true,
                (Expect::Revision(wanted), Some((_, _, modified))) => wanted == *modified,
                _ => false,
            };
            if !holds {
                return Err(change.key().to_owned());
            }
            match change {
                Change::Put { key, payload, .. } => {
                    let created = content.get(key).map_or(revision, |(_, created, _)| *created);
                    let value = String::from_utf8(payload.bytes.to_vec()).unwrap();
                    content.insert(key.clone(), (value, created, revision));
                    changed = true;
                }
                Change::Delete { key, .. } => changed |= content.remove(key).is_some(),
            }
        }
        if changed {
            self.revisions.push(content);
        }
        Ok(self.newest())
    }
}

fn changes(model: &Model, wishes: Vec<(usize, Option<u16>, Wish)>) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (number, value, wish) in wishes {
        let key = key(number);
        if changes.iter().any(|change| change.key() == key) {
            continue;
        }
        let current = model.at(model.newest()).get(&key).map(|(_, _, modified)| *modified);
        let expect = match wish {
            Wish::Anything => Expect::Anything,
            Wish::Absent => Expect::Absent,
            Wish::Current => current.map_or(Expect::Absent, Expect::Revision),
            Wish::Stale => Expect::Revision(current.unwrap_or(2) - 1),
        };
        changes.push(match value {
            Some(value) => put(&key, &value.to_string(), expect),
            None => delete(&key, expect),
        });
    }
    changes
}

fn compare_list(store: &Store, model: &Model, request: &List) {
    let at = request.at.unwrap_or(model.newest());
    let page = store.list(request);
    if at < model.oldest {
        assert_eq!(page.unwrap_err(), ReadError::Compacted { oldest: model.oldest });
        return;
    }
    let page = page.unwrap();
    let expected: Vec<_> = model
        .at(at)
        .iter()
        .filter(|(key, _)| key.starts_with(&request.prefix))
        .filter(|(key, _)| request.after.as_ref().is_none_or(|after| *key > after))
        .collect();
    let shown = request.limit.unwrap_or(usize::MAX).min(expected.len());
    let entries: Vec<_> = page
        .entries
        .iter()
        .map(|entry| (entry.key.to_string(), (text(entry).to_owned(), entry.created, entry.modified)))
        .collect();
    let first: Vec<_> =
        expected[..shown].iter().map(|(key, value)| ((*key).clone(), (*value).clone())).collect();
    assert_eq!(entries, first);
    assert_eq!((page.remaining, page.revision), (expected.len() - shown, at));
}

/// Replays the events since compaction on the content at that time: it must become the newest.
async fn compare_history(store: &Store, model: &Model) {
    let after = model.oldest.max(1);
    let mut content = model.at(after).clone();
    let mut watch = store.watch("", after).unwrap();
    let mut last = after;
    while watch.waiting() > 0 {
        let event: Event = (*watch.next().await.unwrap().unwrap()).clone();
        assert!(event.revision == last || event.revision == last + 1);
        if event.revision > last {
            assert_eq!(&content, model.at(last));
        }
        last = event.revision;
        let entry = &event.entry;
        let held = content.get(&*entry.key).map(|held| held.2);
        assert_eq!(event.previous.as_ref().map(|previous| previous.modified), held);
        match event.kind {
            EventKind::Put => {
                let value = (text(entry).to_owned(), entry.created, entry.modified);
                content.insert(entry.key.to_string(), value);
            }
            EventKind::Delete => drop(content.remove(&*entry.key)),
        }
    }
    assert_eq!(last, model.newest());
    assert_eq!(&content, model.at(last));
}

async fn run(store: &Store, steps: Vec<Step>) -> Model {
    let mut model = Model { revisions: vec![Content::new()], oldest: 0 };
    for step in steps {
        match step {
            Step::Commit(wishes) => {
                let changes = changes(&model, wishes);
                match (store.commit(changes.clone()).await, model.commit(&changes)) {
                    (Ok(done), Ok(revision)) => assert_eq!(done.revision, revision),
                    (Err(CommitError::Conflict { key, .. }), Err(expected)) => assert_eq!(key, expected),
                    (store, model) => panic!("the store says {store:?}, the model {model:?}"),
                }
            }
            Step::Compact(part) => {
                let before = model.newest() * u64::from(part) / 255;
                store.compact(before).await.unwrap();
                model.oldest = model.oldest.max(before);
            }
            Step::List { prefix, after, limit, back } => {
                let at = (back > 0).then(|| model.newest().saturating_sub(back - 1).max(1));
                let prefix = ["", "/a", "/a/", "/b/"][prefix].to_owned();
                compare_list(store, &model, &List { prefix, after: after.map(key), limit, at });
            }
        }
    }
    compare_history(store, &model).await;
    model
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A disk in memory that outlives the store on it.
#[derive(Debug, Clone)]
struct Kept(std::sync::Arc<InMemoryBackend>);

impl redb::StorageBackend for Kept {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

fn open(disk: &Kept) -> Store {
    let (durable, Loaded { state, cluster_id }) = Durable::open_backend(disk.clone()).unwrap();
    Store::start(state, cluster_id, Box::new(durable), Options::default()).0
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn the_memory_store_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        runtime().block_on(async {
            run(&Store::memory(Options::default()), steps).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn the_durable_store_does_so_too_and_comes_back_so(steps in prop::collection::vec(step(), 1..40)) {
        runtime().block_on(async {
            let disk = Kept(std::sync::Arc::new(InMemoryBackend::new()));
            let store = open(&disk);
            let model = run(&store, steps).await;
            store.close().await;
            let store = open(&disk);
            assert_eq!((store.revision(), store.oldest()), (model.newest(), model.oldest));
            compare_list(&store, &model, &List::default());
            compare_history(&store, &model).await;
        });
    }
}
