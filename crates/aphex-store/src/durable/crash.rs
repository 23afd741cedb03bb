//! Power loss and failing disks, simulated below the storage engine.
//!
//! A store runs on a disk that keeps unsynced writes apart. When the power goes, some of their
//! 512-byte sectors have reached the platter and some have not, in any order. Whatever was
//! acknowledged must be there when the store is opened on what is left.

mod disk;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_stream::StreamExt;

use self::disk::{Disk, Trouble};
use super::{Durable, OpenFailure};
use crate::durable::Loaded;
use crate::{Change, CommitError, Entry, Event, EventKind, Expect, List, Options, Payload, Revision, Store};

const SEEDS: usize = 60;
const CRASHES: usize = 3;
const KEYS: usize = 12;

fn open(disk: &Disk) -> Result<Store, OpenFailure> {
    let (durable, Loaded { state, cluster_id }) = Durable::open_backend(disk.clone())?;
    Ok(Store::start(state, cluster_id, Box::new(durable), Options::default()).0)
}

fn change(key: &str, value: Option<&str>) -> Change {
    let (key, expect) = (key.to_owned(), Expect::Anything);
    match value {
        None => Change::Delete { key, expect },
        Some(value) => {
            let payload = Payload { bytes: Bytes::copy_from_slice(value.as_bytes()), stamp: None };
            Change::Put { key, payload, expect }
        }
    }
}

/// Keys and their new values; none for a delete.
type Changes = BTreeMap<String, Option<String>>;

/// What clients asked for, and what they were told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<Revision, Changes>,
    /// Answered before they were on disk.
    ahead: BTreeMap<Revision, Changes>,
    compacted: Revision,
    refused: usize,
    asked: HashSet<(String, Option<String>)>,
}

fn random_changes(random: &mut StdRng) -> Changes {
    let one = |random: &mut StdRng| {
        // A value of its own each time, of up to a few pages.
        let size = [8, 100, 1_500, 9_000][random.random_range(0..4)];
        let value = format!("{:016x}{}", random.random::<u64>(), "v".repeat(size));
        (format!("/k/{}", random.random_range(0..KEYS)), random.random_bool(0.8).then_some(value))
    };
    (0..random.random_range(1..4)).map(|_| one(random)).collect()
}

/// One client: transactions on random keys until the store takes no more.
async fn work(store: Store, told: Arc<Mutex<Told>>, mut random: StdRng) {
    for _ in 0..25 {
        let wanted = random_changes(&mut random);
        told.lock().unwrap().asked.extend(wanted.clone());
        let changes = wanted.iter().map(|(key, value)| change(key, value.as_deref())).collect();
        let ahead = random.random_bool(0.4);
        let answer = if ahead {
            store.commit_ahead(changes).await.map(|ahead| ahead.committed)
        } else {
            store.commit(changes).await
        };
        {
            let mut told = told.lock().unwrap();
            let Ok(done) = answer else {
                told.refused += 1;
                return;
            };
            // A delete of an absent key changes nothing and has no event.
            let changed = wanted.into_iter().zip(&done.entries).filter(|(_, entry)| entry.is_some());
            let changed: Changes = changed.map(|(change, _)| change).collect();
            if !changed.is_empty() {
                let answered = if ahead { &mut told.ahead } else { &mut told.acknowledged };
                let before = answered.insert(done.revision, changed);
                assert!(before.is_none(), "revision {} was given twice", done.revision);
            }
        }
        if random.random_bool(0.04) {
            let before = store.revision().saturating_sub(5);
            if store.compact(before).await.is_ok() {
                let mut told = told.lock().unwrap();
                told.compacted = told.compacted.max(before);
            }
        }
    }
}

async fn history(store: &Store) -> BTreeMap<Revision, Vec<Arc<Event>>> {
    let mut watch = store.watch("", store.oldest()).unwrap();
    let mut history: BTreeMap<Revision, Vec<Arc<Event>>> = BTreeMap::new();
    while watch.waiting() > 0 {
        let event = watch.next().await.unwrap().unwrap();
        history.entry(event.revision).or_default().push(event);
    }
    history
}

fn changes_of(events: &[Arc<Event>]) -> Changes {
    let value = |event: &Event| {
        (event.kind == EventKind::Put).then(|| String::from_utf8(event.entry.value.to_vec()).unwrap())
    };
    events.iter().map(|event| (event.entry.key.to_string(), value(event))).collect()
}

/// What the store held when it was last looked at.
#[derive(Default)]
struct Known {
    revision: Revision,
    content: BTreeMap<String, String>,
}

impl Known {
    fn take_in(&mut self, revision: Revision, changes: Changes) {
        assert!(revision > self.revision, "revision {revision} came after {}", self.revision);
        self.revision = revision;
        for (key, value) in changes {
            match value {
                Some(value) => self.content.insert(key, value),
                None => self.content.remove(&key),
            };
        }
    }
}

/// Everything acknowledged is there, in its order, and nothing that nobody asked for.
async fn check(store: &Store, mut told: Told, known: &mut Known) {
    // What was answered ahead of the disk is on it when anything later was acknowledged; else it may be gone.
    if let Some((newest, _)) = told.acknowledged.last_key_value() {
        let certain = told.ahead.range(..newest).map(|(revision, changes)| (*revision, changes.clone()));
        let certain: Vec<_> = certain.collect();
        told.acknowledged.extend(certain);
    }
    let history = history(store).await;
    assert!(store.oldest() >= told.compacted, "compaction was acknowledged and is undone");
    for (revision, changes) in told.acknowledged {
        if revision > store.oldest() {
            let found = history.get(&revision).map(|events| changes_of(events));
            assert_eq!(found.as_ref(), Some(&changes), "revision {revision} was acknowledged");
        }
        known.take_in(revision, changes);
    }
    // What had no answer may have been done, after all that had one.
    let late = known.revision + 1;
    for (revision, events) in history.range(late..) {
        let changes = changes_of(events);
        let asked = changes.iter().all(|change| told.asked.contains(&own(change)));
        assert!(asked, "revision {revision} came from nowhere");
        known.take_in(*revision, changes);
    }
    assert_eq!(store.revision(), known.revision.max(1));
    let current = store.list(&List::default()).unwrap().entries;
    let text = |entry: &Entry| String::from_utf8(entry.value.to_vec()).unwrap();
    let current = current.iter().map(|entry| (entry.key.to_string(), text(entry)));
    assert_eq!(current.collect::<BTreeMap<_, _>>(), known.content);
}

fn own((key, value): (&String, &Option<String>)) -> (String, Option<String>) {
    (key.clone(), value.clone())
}

fn random_trouble(random: &mut StdRng) -> Trouble {
    match random.random_range(0..4) {
        0 | 1 => Trouble::Power(random.random_range(1..600)),
        2 => Trouble::Sync(random.random_range(1..40)),
        _ => Trouble::Write(random.random_range(1..300)),
    }
}

/// Several lives of one store, each ended by some trouble. Gives how many commits were
/// acknowledged and how many refused.
async fn lives(seed: u64) -> (usize, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut platter, mut known) = (Vec::new(), Known::default());
    let (mut acknowledged, mut refused) = (0, 0);
    for _ in 0..CRASHES {
        let trouble = random_trouble(&mut random);
        let disk = Disk::new(platter, trouble, random.random());
        let told = Arc::new(Mutex::new(Told::default()));
        // With trouble during the opening there is no store this time.
        if let Ok(store) = open(&disk) {
            let clients = (0..random.random_range(1..6)).map(|_| {
                let random = StdRng::seed_from_u64(random.random());
                tokio::spawn(work(store.clone(), Arc::clone(&told), random))
            });
            for client in clients.collect::<Vec<_>>() {
                client.await.unwrap();
            }
            if trouble == Trouble::Never || random.random_bool(0.3) {
                store.close().await;
            }
            platter = disk.unplug();
            store.close().await;
        } else {
            platter = disk.unplug();
        }
        let told = std::mem::take(&mut *told.lock().unwrap());
        let store = open(&Disk::new(platter.clone(), Trouble::Never, 0)).expect("what is left is a store");
        acknowledged += told.acknowledged.len();
        refused += told.refused;
        check(&store, told, &mut known).await;
        store.close().await;
    }
    (acknowledged, refused)
}

#[test]
fn no_acknowledged_commit_is_lost_to_power_or_disk() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut acknowledged, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        let lived = std::panic::catch_unwind(|| runtime.block_on(lives(seed as u64)));
        let Ok(counts) = lived else { panic!("seed {seed}") };
        acknowledged += counts.0;
        refused += counts.1;
    }
    // The test tests something: many commits went through and many met the trouble.
    assert!(acknowledged > 20 * SEEDS, "{acknowledged} acknowledged");
    assert!(refused > SEEDS, "{refused} refused");
}

#[tokio::test]
async fn after_a_failed_sync_writes_are_refused_and_reads_go_on() {
    for sync in 5..15 {
        let disk = Disk::new(Vec::new(), Trouble::Sync(sync), sync as u64);
        let store = open(&disk).unwrap();
        let mut last = None;
        let failure = loop {
            let number = last.as_ref().map_or(0, |entry: &Entry| entry.modified);
            match store.commit(vec![change("/a", Some(&number.to_string()))]).await {
                Ok(done) => last = done.entries[0].clone(),
                Err(error) => break error,
            }
        };
        assert!(matches!(failure, CommitError::Failed(_)), "{failure}");
        assert!(failure.to_string().contains("restart"), "{failure}");
        let revision = store.revision();
        assert_eq!(store.get("/a"), last);
        assert_eq!(store.list(&List::default()).unwrap().revision, revision);
        for _ in 0..2 {
            let again = store.commit(vec![change("/b", Some("1"))]).await.unwrap_err();
            assert!(matches!(again, CommitError::Failed(_)), "{again}");
            assert!(matches!(store.compact(revision).await, Err(CommitError::Failed(_))));
        }
        assert_eq!((store.revision(), store.get("/b")), (revision, None));
        let platter = disk.unplug();
        store.close().await;
        let store = open(&Disk::new(platter, Trouble::Never, 0)).unwrap();
        assert!(store.revision() == revision || store.revision() == revision + 1);
        assert_eq!(store.list(&List { at: Some(revision), ..List::default() }).unwrap().entries.pop(), last);
    }
}
