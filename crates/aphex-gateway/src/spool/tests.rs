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

/// Has everything leave, as many at once as may; gives the ids in waves.
async fn waves(spool: &Spool) -> Vec<Vec<String>> {
    let mut waves = Vec::new();
    while !spool.is_empty() {
        let numbers: Vec<u64> = std::iter::from_fn(|| spool.begin()).collect();
        assert!(!numbers.is_empty(), "something can leave");
        let mut ids = Vec::new();
        for number in numbers {
            ids.push(spool.read(number, &Room::default()).await.unwrap().unwrap().incoming.delivery_id);
            spool.remove(number).await.unwrap();
        }
        waves.push(ids);
    }
    waves
}

#[tokio::test]
async fn a_restart_finds_everything_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let mut spool = open(&path, 1 << 20);
    for (sequence, id) in
        [(Some("main"), "m1"), (None, "a1"), (Some("main"), "m2"), (Some("next"), "n1"), (None, "a2")]
    {
        spool.keep(&incoming("a", id), sequence).await.unwrap();
    }
    for _ in 0..2 {
        assert!(spool.holds(&incoming("a", "x"), "main") && spool.holds(&incoming("a", "x"), "next"));
        assert!(!spool.holds(&incoming("b", "x"), "main") && !spool.holds(&incoming("a", "x"), "other"));
        drop(spool);
        // A process that ended while it wrote.
        fs::write(path.join("00000000000000000009-a-1.tmp"), "half").unwrap();
        spool = open(&path, 1 << 20);
    }
    spool.keep(&incoming("a", "m3"), Some("main")).await.unwrap();
    assert_eq!(waves(&spool).await, [vec!["m1", "a1", "n1", "a2"], vec!["m2"], vec!["m3"]]);
    assert!(!spool.holds(&incoming("a", "x"), "main"));
    let left: Vec<_> = fs::read_dir(&path).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[tokio::test]
async fn a_restart_keeps_the_order_of_a_sequence_whatever_order_the_folder_has() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    let ids: Vec<String> = (0..40).map(|number| format!("m{number}")).collect();
    for id in &ids {
        spool.keep(&incoming("a", id), Some("main")).await.unwrap();
    }
    drop(spool);
    let left = waves(&open(folder.path(), 1 << 20)).await;
    assert_eq!(left.concat(), ids);
}

#[tokio::test]
async fn what_an_earlier_release_left_leaves_in_order_by_listener() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    for (listener, id) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        spool.keep(&incoming(listener, id), None).await.unwrap();
    }
    drop(spool);
    // Its names ended with the listener.
    for file in fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap().to_string_lossy().replace("x-", "-");
        fs::rename(&file, file.with_file_name(name)).unwrap();
    }
    assert_eq!(waves(&open(folder.path(), 1 << 20)).await, [vec!["a1", "b1"], vec!["a2"]]);
}

#[tokio::test]
async fn payloads_on_their_way_have_so_much_memory_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    let mut large = incoming("a", "large");
    large.json = json!({ "text": "x".repeat(10 << 20) }).to_string().into();
    spool.keep(&large, None).await.unwrap();
    spool.keep(&incoming("a", "small"), None).await.unwrap();
    let room = || spool.0.room.available_permits();
    let large = spool.read(spool.begin().unwrap(), &Room::default()).await.unwrap();
    assert_eq!(room(), 64 - 11, "what it is unpacked counts, in mebibytes");
    let small = spool.read(spool.begin().unwrap(), &Room::default()).await.unwrap();
    assert_eq!(room(), 64 - 12);
    drop((large, small));
    assert_eq!(room(), 64);
}

#[tokio::test]
async fn nobody_else_reads_it_and_no_second_process_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path, 1 << 20);
    spool.keep(&incoming("a", "a1"), None).await.unwrap();
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
        if let Err(error) = spool.keep(&incoming_of(&format!("org-{kept}"), "a", "more"), None).await {
            break error;
        }
        kept += 1;
        assert!(kept < 10, "the limit holds");
    };
    assert!(matches!(refused, SpoolError::Full { limit: 600, .. }), "{refused:?}");
    let first = spool.begin().unwrap();
    spool.remove(first).await.unwrap();
    spool.keep(&incoming("a", "a2"), None).await.unwrap();
}

#[tokio::test]
async fn its_limit_is_told_beside_what_waits() {
    let (folder, metrics) = (tempfile::tempdir().unwrap(), aphex_runtime::Metrics::default());
    let settings = Settings { folder: folder.path().to_owned(), limit: 4321 };
    let spool = Spool::open(settings, GatewayMetrics::new(&metrics)).unwrap();
    spool.keep(&incoming("a", "a1"), None).await.unwrap();
    spool.measure(Timestamp::from_second(1_700_000_007).unwrap());
    let (told, waiting) = (metrics.render(), spool.state().shares.taken());
    for line in [
        "aphex_gateway_spool_limit_bytes 4321\n",
        &format!("aphex_gateway_spool_bytes {waiting}\n"),
        "aphex_gateway_spool_oldest_seconds 7\n",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
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
            let event = incoming_of(organization, listener, &format!("f{kept}"));
            if let Err(error) = spool.keep(&event, None).await {
                break error;
            }
            kept += 1;
        };
        assert!(matches!(refused, SpoolError::Share { .. }), "{refused:?}");
        assert!(kept > 5, "{organization} kept {kept}");
        // What an earlier process left counts as well.
        drop(spool);
        spool = open(folder.path(), 1 << 16);
        let again = spool.keep(&incoming_of(organization, "a", "again"), None).await;
        assert!(matches!(again, Err(SpoolError::Share { .. })), "{again:?}");
    }
    spool.keep(&incoming_of("org-calm", "a", "calm"), None).await.unwrap();
    // What has left makes room for more of it.
    for number in std::iter::from_fn(|| spool.begin()).collect::<Vec<_>>() {
        spool.remove(number).await.unwrap();
    }
    spool.keep(&incoming_of("org-flood", "a", "again"), None).await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_told_of_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), 1 << 20);
    spool.keep(&incoming("a", "a1"), None).await.unwrap();
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
    let number = spool.begin().unwrap();
    let broken = spool.read(number, &Room::default()).await;
    assert!(matches!(broken, Err(SpoolError::Broken(..))), "{broken:?}");
    spool.set_aside(number).await.unwrap();
    assert!(spool.is_empty() && event(".event").is_none());
    assert_eq!(fs::read(event(".bad").unwrap()).unwrap(), bytes, "nothing is lost");
    // It takes room in the limit as long as it is there, and its number is nobody else's.
    let taken = u64::try_from(bytes.len()).unwrap();
    assert_eq!(spool.state().shares.taken(), taken);
    drop(spool);
    let spool = open(folder.path(), 1 << 20);
    assert!(spool.is_empty());
    assert_eq!(spool.state().shares.taken(), taken);
    assert_eq!(spool.state().next, 2);
    drop(spool);
    fs::remove_file(event(".bad").unwrap()).unwrap();
    assert_eq!(open(folder.path(), 1 << 20).state().shares.taken(), 0);
}
