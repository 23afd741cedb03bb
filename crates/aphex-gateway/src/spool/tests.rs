use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use super::*;

fn incoming(listener: &str, id: &str) -> Incoming {
    incoming_of("org-acme", listener, id)
}

fn incoming_of(organization: &str, listener: &str, id: &str) -> Incoming {
    let body = json!({ "id": id });
    Incoming {
        namespace: "acme-web".into(),
        listener_namespace: organization.into(),
        listener: listener.into(),
        delivery_id: id.into(),
        event: "push".into(),
        headers: BTreeMap::new(),
        url: "/acme".into(),
        source: "192.0.2.1".into(),
        json: body.to_string().into(),
        body,
        verified_by: Vec::new(),
        received: Timestamp::from_second(1_700_000_000).unwrap(),
    }
}

fn open(folder: &Path, limit: u64) -> Spool {
    let settings = Settings { folder: folder.to_owned(), limit };
    Spool::open(settings, GatewayMetrics::new(&aphex_runtime::Metrics::default())).unwrap()
}

/// The ids in the order in which they are drained, listener by listener.
async fn ids(spool: &Spool) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for group in spool.next(usize::MAX) {
        let mut ids = Vec::new();
        for number in group {
            ids.push(spool.read(number).await.unwrap().unwrap().delivery_id);
        }
        all.push(ids);
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_restart_finds_everything_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path, 1 << 20);
    for (listener, id) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3")] {
        spool.keep(&incoming(listener, id)).await.unwrap();
    }
    assert!(spool.holds(&incoming("a", "x")) && !spool.holds(&incoming("c", "x")));
    drop(spool);
    // A process that ended while it wrote.
    fs::write(path.join("00000000000000000009-a-1.tmp"), "half").unwrap();
    let spool = open(&path, 1 << 20);
    assert_eq!(ids(&spool).await, [vec!["a1", "a2", "a3"], vec!["b1"]]);
    spool.keep(&incoming("a", "a4")).await.unwrap();
    assert_eq!(ids(&spool).await, [vec!["a1", "a2", "a3", "a4"], vec!["b1"]], "later ones come behind");
    for number in spool.next(usize::MAX).concat() {
        spool.remove(number).await.unwrap();
    }
    assert!(spool.is_empty() && !spool.holds(&incoming("a", "x")));
    let left: Vec<_> = fs::read_dir(&path).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[tokio::test]
async fn nobody_else_reads_it_and_no_second_process_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path, 1 << 20);
    spool.keep(&incoming("a", "a1")).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let settings = Settings { folder: path, limit: 1 };
    let second = Spool::open(settings, GatewayMetrics::new(&aphex_runtime::Metrics::default()));
    assert!(matches!(second, Err(SpoolError::InUse(_))), "{second:?}");
}

#[tokio::test]
async fn what_exceeds_the_limit_is_refused_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 600);
    let mut kept = 0;
    let refused = loop {
        if let Err(error) = spool.keep(&incoming_of(&format!("org-{kept}"), "a", "more")).await {
            break error;
        }
        kept += 1;
        assert!(kept < 10, "the limit holds");
    };
    assert!(matches!(refused, SpoolError::Full { limit: 600, .. }), "{refused:?}");
    let first = spool.next(1)[0][0];
    spool.remove(first).await.unwrap();
    spool.keep(&incoming("a", "a2")).await.unwrap();
}

#[tokio::test]
async fn no_organization_fills_it_so_that_others_find_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(folder.path(), 1 << 16);
    // Each as much as it can, through two listeners.
    for organization in ["org-flood", "org-second", "org-third"] {
        let mut kept = 0;
        let refused = loop {
            let listener = ["a", "b"][kept % 2];
            if let Err(error) = spool.keep(&incoming_of(organization, listener, &format!("f{kept}"))).await {
                break error;
            }
            kept += 1;
        };
        assert!(matches!(refused, SpoolError::Share { .. }), "{refused:?}");
        assert!(kept > 5, "{organization} kept {kept}");
        // What an earlier process left counts as well.
        drop(spool);
        spool = open(folder.path(), 1 << 16);
        let again = spool.keep(&incoming_of(organization, "a", "again")).await;
        assert!(matches!(again, Err(SpoolError::Share { .. })), "{again:?}");
    }
    spool.keep(&incoming_of("org-calm", "a", "calm")).await.unwrap();
    // What has left makes room for more of it.
    for number in spool.next(10).concat() {
        spool.remove(number).await.unwrap();
    }
    spool.keep(&incoming_of("org-flood", "a", "again")).await.unwrap();
}

#[tokio::test]
async fn what_comes_late_waits_for_a_few_of_those_who_have_many() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    for number in 0..20 {
        spool.keep(&incoming("flood", &format!("f{number}"))).await.unwrap();
    }
    spool.keep(&incoming("calm", "c0")).await.unwrap();
    let mut round: Vec<usize> = spool.next(3).iter().map(Vec::len).collect();
    round.sort_unstable();
    assert_eq!(round, [1, 3]);
    assert_eq!(spool.len(), 21);
}

#[tokio::test]
async fn a_damaged_file_is_told_of_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    spool.keep(&incoming("a", "a1")).await.unwrap();
    let event = |end: &str| {
        let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        let mut found = files.filter(|path| path.to_string_lossy().ends_with(end));
        found.next()
    };
    let file = event(".event").unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let number = spool.next(usize::MAX)[0][0];
    let broken = spool.read(number).await;
    assert!(matches!(broken, Err(SpoolError::Broken(..))), "{broken:?}");
    spool.set_aside(number).await.unwrap();
    assert!(spool.is_empty() && event(".event").is_none());
    assert_eq!(fs::read(event(".bad").unwrap()).unwrap(), bytes, "nothing is lost");
    drop(spool);
    assert!(open(folder.path(), 1 << 20).is_empty());
}
