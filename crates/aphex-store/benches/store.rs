//! Prints what a store does in a second: durable commits, lists, gets, watch fan-out, opening.
//!
//! `cargo bench -p aphex-store`; the numbers are of the disk under the system's temporary folder.

use std::error::Error;
use std::time::{Duration, Instant};

use aphex_store::{Change, Expect, List, Options, Payload, Store};
use bytes::Bytes;
use tokio_stream::StreamExt;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SECONDS: u64 = 2;
const OBJECTS: usize = 10_000;

fn main() -> Outcome<()> {
    // Only on `cargo bench`: tests of all targets run this program too, without the flag.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for writers in [1, 16, 64, 256] {
        let folder = tempfile::tempdir()?;
        let store = Store::open(&folder.path().join("store.redb"), Options::default())?;
        let (commits, took) = runtime.block_on(write(&store, writers))?;
        report(&format!("durable commits of 1 kB, {writers} writers"), commits, took);
        runtime.block_on(store.close());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.redb");
    let store = Store::open(&path, Options::default())?;
    runtime.block_on(fill(&store))?;
    read(&store)?;
    runtime.block_on(fan_out(&store))?;
    runtime.block_on(store.close());
    let started = Instant::now();
    let store = Store::open(&path, Options::default())?;
    report("entries loaded by opening the file", store.count(""), started.elapsed());
    runtime.block_on(store.close());
    Ok(())
}

fn change(key: String) -> Change {
    let payload = Payload { bytes: Bytes::from(vec![b'x'; 1024]), stamp: Some(512) };
    Change::Put { key, payload, expect: Expect::Anything }
}

async fn write(store: &Store, writers: usize) -> Outcome<(usize, Duration)> {
    let started = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut commits = 0;
            while started.elapsed().as_secs() < SECONDS {
                store.commit(vec![change(format!("/objects/{writer}/{commits}"))]).await?;
                commits += 1;
            }
            Outcome::Ok(commits)
        })
    });
    let mut commits = 0;
    for task in tasks.collect::<Vec<_>>() {
        commits += task.await??;
    }
    Ok((commits, started.elapsed()))
}

async fn fill(store: &Store) -> Outcome<()> {
    for chunk in 0..OBJECTS / 100 {
        let changes = (0..100).map(|number| change(format!("/list/{chunk:03}/{number:02}"))).collect();
        store.commit(changes).await?;
    }
    Ok(())
}

fn read(store: &Store) -> Outcome<()> {
    let request = List { prefix: "/list/".to_owned(), ..List::default() };
    let (mut listed, started) = (0, Instant::now());
    while started.elapsed().as_secs() < SECONDS {
        listed += store.list(&request)?.entries.len();
    }
    report("entries listed, 10,000 at a time", listed, started.elapsed());
    let (mut found, started) = (0, Instant::now());
    while started.elapsed().as_secs() < SECONDS {
        found +=
            (0..1000).filter(|number| store.get(&format!("/list/{:03}/07", number % 100)).is_some()).count();
    }
    report("gets", found, started.elapsed());
    Ok(())
}

async fn fan_out(store: &Store) -> Outcome<()> {
    const WATCHERS: usize = 1_000;
    const EVENTS: usize = 200;
    let mut watches = Vec::new();
    for number in 0..WATCHERS {
        watches.push(store.watch("/watched/", store.revision())?);
        // As many that it does not concern.
        watches.push(store.watch(&format!("/elsewhere/{number}/"), store.revision())?);
    }
    let started = Instant::now();
    for number in 0..EVENTS {
        store.commit(vec![change(format!("/watched/{number}"))]).await?;
    }
    let mut delivered = 0;
    for watch in &mut watches {
        while watch.waiting() > 0 {
            watch.next().await.transpose()?;
            delivered += 1;
        }
    }
    report("events delivered to 1,000 watchers, their commits included", delivered, started.elapsed());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn report(what: &str, count: usize, took: Duration) {
    println!(
        "{:>12.0}/s  {what} ({count} in {:.3} s)",
        count as f64 / took.as_secs_f64(),
        took.as_secs_f64()
    );
}
