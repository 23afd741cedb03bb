//! The platform as a user meets it: start, memory, writes, reads, lists, watches, a binding, a push.
//!
//! `cargo bench -p aphex --bench platform` prints tables. Where the real kube-apiserver and etcd are built
//! (`cargo xtask engines`; `APHEX_ENGINES` names their folder) the same clients then put the same load on them, and
//! every line begins with the ratio; where Tekton's sink is built as well, it and our gateway are sent the same pushes
//! on one kube-apiserver. `-- api`, `-- pushes` (the push path of the embedded engine, closer) and `-- hooks` run one of them. `docs/performance.md` keeps the figures of a run.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the figures are the output")]
#![allow(unreachable_pub, reason = "a program of several files")]

mod commands;
mod crowd;
mod embedded;
mod figures;
mod floor;
mod load;
mod payload;
mod push;
mod pushes;
mod sink;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use aphex_testkit::real::{Disk, Programs, Real};

use embedded::Up;
use figures::Figures;
use push::millis;

/// What a process does in the moment after it is ready is not idle.
const SETTLE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Started by `cargo test --benches` too, where figures mean nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|one| one == part);
    let programs = Programs::find()?;
    if let Err(missing) = &programs {
        eprintln!("nothing to compare with: {missing} is not in $APHEX_ENGINES");
    }
    let programs = programs.ok();
    if wanted("api") {
        let mut figures = Figures::default();
        embedded(&mut figures).await?;
        if let Some(programs) = &programs {
            real(programs, &mut figures).await?;
        }
        print!("{}", figures.table());
    }
    if wanted("pushes") {
        print!("\n{}", pushes::table().await?);
    }
    if let Some(programs) = programs.filter(|_| wanted("hooks")) {
        match sink::compare(&programs).await? {
            Some(table) => print!("\n{table}"),
            None => eprintln!("Tekton's sink and interceptors are not in $APHEX_ENGINES"),
        }
    }
    Ok(())
}

async fn embedded(figures: &mut Figures) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (up, cold) = Up::start(folder.path())?;
    figures.ours("ready, new data folder, ms", millis(cold), false);
    tokio::time::sleep(SETTLE).await;
    figures.ours("resident memory idle, MiB", embedded::resident(&[up.id()])?, false);
    drop(up);
    let (up, warm) = Up::start(folder.path())?;
    figures.ours("ready, existing data folder, ms", millis(warm), false);
    for (name, value, more_is_better) in load::api(&up.kubeconfig).await? {
        figures.ours(&name, value, more_is_better);
    }
    for (name, value, more_is_better) in push::platform(&up).await? {
        figures.ours(&name, value, more_is_better);
    }
    for (name, value) in commands::answers(&up)? {
        figures.ours(&name, value, false);
    }
    figures.ours("resident memory at the end, MiB", embedded::resident(&[up.id()])?, false);
    Ok(())
}

async fn real(programs: &Programs, figures: &mut Figures) -> anyhow::Result<()> {
    let since = Instant::now();
    let real = Real::start(programs, Disk::Durable).await.context("cannot start kube-apiserver")?;
    figures.theirs("ready, new data folder, ms", millis(since.elapsed()));
    tokio::time::sleep(SETTLE).await;
    // etcd and kube-apiserver; its controllers are left out.
    let processes = &real.ids()[..2];
    figures.theirs("resident memory idle, MiB", embedded::resident(processes)?);
    for (name, value, _) in load::api(&real.kubeconfig()).await? {
        figures.theirs(&name, value);
    }
    figures.theirs("resident memory at the end, MiB", embedded::resident(processes)?);
    Ok(())
}
