use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Note {
    text: String,
    until: Timestamp,
}

impl Record for Note {
    const KIND: &'static str = "note";
}

impl Expires for Note {
    fn expires(&self) -> Timestamp {
        self.until
    }
}

fn note(text: &str, until: i64) -> Note {
    Note { text: text.to_owned(), until: Timestamp::from_second(until).unwrap() }
}

#[tokio::test]
async fn records_and_their_key_outlive_a_restart_and_no_value_is_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path()).await.unwrap();
    storage.put("one", &note("hunter2-in-clear", 5)).await.unwrap();
    storage.close().await;
    let mode = std::fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = std::fs::read(folder.path().join(STORE_FILE)).unwrap();
    assert!(!bytes.windows(8).any(|window| window == b"hunter2-"));
    let again = Storage::open(folder.path()).await.unwrap();
    assert_eq!(again.get::<Note>("one").unwrap().unwrap().value, note("hunter2-in-clear", 5));
}

#[tokio::test]
async fn a_missing_or_foreign_key_is_told_and_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    Storage::open(folder.path()).await.unwrap().close().await;
    let key = folder.path().join(KEY_FILE);
    std::fs::write(&key, [7; 32]).unwrap();
    assert!(matches!(Storage::open(folder.path()).await, Err(StorageError::Sealed { .. })));
    std::fs::write(&key, [7; 5]).unwrap();
    assert!(matches!(Storage::open(folder.path()).await, Err(StorageError::KeyDamaged { .. })));
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(Storage::open(folder.path()).await, Err(StorageError::KeyMissing { .. })));
}

#[tokio::test]
async fn a_value_does_not_open_under_another_id() {
    let storage = Storage::memory().unwrap();
    storage.put("one", &note("a", 5)).await.unwrap();
    let sealed = storage.store.get("note/one").unwrap().value;
    assert!(storage.seal.open("note/one", &sealed).is_ok());
    assert!(storage.seal.open("note/two", &sealed).is_err());
}

#[tokio::test]
async fn of_two_writers_that_read_the_same_one_wins() {
    let storage = Storage::memory().unwrap();
    storage.create("one", &note("a", 5)).await.unwrap();
    assert!(matches!(storage.create("one", &note("b", 5)).await, Err(StorageError::Conflict { .. })));
    let mut stored = storage.get::<Note>("one").unwrap().unwrap();
    stored.value.text = "c".to_owned();
    storage.replace(&stored).await.unwrap();
    assert!(matches!(storage.replace(&stored).await, Err(StorageError::Conflict { .. })));
}

#[tokio::test]
async fn of_many_that_take_a_record_one_gets_it() {
    let storage = Storage::memory().unwrap();
    storage.put("code", &note("once", 5)).await.unwrap();
    let takers: Vec<_> = (0..20)
        .map(|_| {
            let storage = storage.clone();
            tokio::spawn(async move { storage.take::<Note>("code").await.unwrap() })
        })
        .collect();
    let mut got = 0;
    for taker in takers {
        got += usize::from(taker.await.unwrap().is_some());
    }
    assert_eq!(got, 1);
}

#[tokio::test]
async fn a_sweep_drops_what_is_over_and_nothing_else() {
    let storage = Storage::memory().unwrap();
    storage.put("old", &note("a", 10)).await.unwrap();
    storage.put("new", &note("b", 11)).await.unwrap();
    assert_eq!(storage.sweep::<Note>(Timestamp::from_second(10).unwrap()).await.unwrap(), 1);
    let left: Vec<String> = storage.list::<Note>().unwrap().into_iter().map(|stored| stored.id).collect();
    assert_eq!(left, ["new"]);
}
