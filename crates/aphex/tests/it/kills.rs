//! kill -9 at random instants, an engine that is away, a disk that is full: no acknowledged event without its run, none with two.
//!
//! `APHEX_KILLS` says how often (50 where it says nothing), `APHEX_AWAY` for how many seconds the engine is away (5).

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use aphex_testkit::real::{Disk, Programs, Real};
use aphex_testkit::{Cluster, eventually, eventually_for, left_out};

use super::hooks::{Hooks, Road, Sent, client, install};
use super::program::{Up, aphex};

/// Everything is kept, and what is not needed is left out.
const ARGUMENTS: &[&str] = &["--keep-deliveries", "1000000", "--without", "issuer"];

/// A number from the environment.
fn setting<T: std::str::FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A running `aphex gateway`; killed when dropped.
struct Gateway {
    child: Child,
    url: String,
    admin: String,
}

impl Gateway {
    async fn start(kubeconfig: &Path, spool: &Path, shell: Option<&str>) -> anyhow::Result<Self> {
        let free = || anyhow::Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?);
        let (hooks, admin) = (free()?, free()?);
        let mut command = match shell {
            Some(before) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{before}; exec \"$@\"")).arg("sh").arg(aphex().get_program());
                shell
            }
            None => aphex(),
        };
        command.arg("--kubeconfig").arg(kubeconfig).args([
            "gateway",
            "--bind",
            "127.0.0.1",
            "--engine-timeout",
            "1s",
        ]);
        command.args(["--port", &hooks.port().to_string(), "--admin", &admin.to_string()]);
        command.arg("--spool-dir").arg(spool).env("HOSTNAME", "killed").env_remove("POD_NAME");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let gateway = Self { child, url: format!("http://{hooks}"), admin: format!("http://{admin}") };
        eventually("the gateway is ready", || async { Ok(gateway.is_ready().await?.then_some(())) }).await?;
        Ok(gateway)
    }

    async fn is_ready(&self) -> anyhow::Result<bool> {
        Ok(reqwest::get(format!("{}/readyz", self.admin)).await?.status().is_success())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until so many events more were sent, which is at another instant each time.
async fn after_events(count: &AtomicUsize, more: usize) -> anyhow::Result<()> {
    let until = count.load(Ordering::Acquire) + more;
    eventually("events are answered", || async { Ok((count.load(Ordering::Acquire) >= until).then_some(())) })
        .await
}

async fn gathered(senders: Vec<tokio::task::JoinHandle<Sent>>, sent: &mut Sent) -> anyhow::Result<()> {
    for sender in senders {
        sent.add(sender.await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_killed_at_any_instant_loses_and_doubles_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut up = Up::start_with(folder.path(), ARGUMENTS)?;
    let mut hooks = Arc::new(Hooks::create(&client(&up.kubeconfig).await?).await?);
    let (mut sent, count) = (Sent::default(), Arc::new(AtomicUsize::new(0)));
    let kills = setting("APHEX_KILLS", 50_usize);
    for round in 0..kills {
        let gateway = up.told("Webhooks").await?.replace("/<organization>", "");
        let stop = Arc::new(AtomicBool::new(false));
        let senders = hooks.load(&gateway, &format!("k{round}"), &stop, &count);
        after_events(&count, rand::random_range(1..24)).await?;
        up.kill();
        gathered(senders, &mut sent).await?;
        up = Up::start_with(folder.path(), ARGUMENTS)?;
        let again = client(&up.kubeconfig).await?;
        hooks = Arc::new(Arc::into_inner(hooks).context("every sender has ended")?.through(again));
    }
    hooks.settled(&sent).await?;
    assert!(sent.acknowledged.len() > kills, "only {} events were acknowledged", sent.acknowledged.len());
    assert!(sent.others.is_empty(), "other answers: {:?}", sent.others);
    Ok(())
}

/// An engine that serves a gateway, and how to get to it.
async fn engine() -> anyhow::Result<(Cluster, PathBuf)> {
    let cluster = Cluster::start().await?;
    let kubeconfig = cluster.serve().await?;
    install(&client(&kubeconfig).await?).await?;
    Ok((cluster, kubeconfig))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_while_events_wait_on_its_disk_loses_and_doubles_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (_cluster, kubeconfig) = engine().await?;
    let road = Road::to(&kubeconfig, folder.path()).await?;
    let hooks = Arc::new(Hooks::create(&client(&kubeconfig).await?).await?);
    let spool = folder.path().join("spool");
    let (mut sent, count, mut on_disk) = (Sent::default(), Arc::new(AtomicUsize::new(0)), 0);
    for round in 0..setting("APHEX_KILLS", 50_usize).div_ceil(5) {
        let gateway = Gateway::start(&road.kubeconfig, &spool, None).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let senders = hooks.load(&gateway.url, &format!("s{round}"), &stop, &count);
        after_events(&count, rand::random_range(1..30)).await?;
        road.open(false);
        after_events(&count, rand::random_range(1..30)).await?;
        // Killed while the engine is away, or in the middle of draining.
        if round % 2 == 1 {
            road.open(true);
            after_events(&count, rand::random_range(1..10)).await?;
        }
        drop(gateway);
        gathered(senders, &mut sent).await?;
        on_disk += std::fs::read_dir(&spool)?.count() - 1;
        road.open(true);
    }
    assert!(on_disk > 0, "events waited on the disk when the gateway was killed");
    let _last = Gateway::start(&road.kubeconfig, &spool, None).await?;
    hooks.settled(&sent).await?;
    assert!(sent.others.is_empty(), "other answers: {:?}", sent.others);
    eventually("the spool is empty", || async { Ok((std::fs::read_dir(&spool)?.count() == 1).then_some(())) })
        .await
}

/// Events all the while, with an engine that goes away in the middle.
async fn under_load(
    kubeconfig: &Path,
    spool: &Path,
    hooks: Hooks,
    away: impl Fn(bool),
) -> anyhow::Result<()> {
    let (hooks, mut sent, count) = (Arc::new(hooks), Sent::default(), Arc::new(AtomicUsize::new(0)));
    let gateway = Gateway::start(kubeconfig, spool, None).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let senders = hooks.load(&gateway.url, "away", &stop, &count);
    after_events(&count, 20).await?;
    away(true);
    let long = Duration::from_secs(setting("APHEX_AWAY", 5));
    let until = tokio::time::Instant::now() + long;
    eventually_for(long * 2, "events are taken while the engine is away", || async {
        Ok((tokio::time::Instant::now() > until).then_some(()))
    })
    .await?;
    after_events(&count, 20).await?;
    assert!(gateway.is_ready().await?, "a gateway that takes events is ready");
    let metrics = reqwest::get(format!("{}/metrics", gateway.admin)).await?.text().await?;
    assert!(!metrics.contains("aphex_gateway_spooled_total 0"), "events went to the disk:\n{metrics}");
    away(false);
    after_events(&count, 20).await?;
    stop.store(true, Ordering::Release);
    gathered(senders, &mut sent).await?;
    assert!(sent.others.is_empty(), "other answers: {:?}", sent.others);
    hooks.settled(&sent).await?;
    eventually("the spool is empty", || async { Ok((std::fs::read_dir(spool)?.count() == 1).then_some(())) })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_cannot_be_reached_for_a_while_costs_no_event() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (_cluster, kubeconfig) = engine().await?;
    let road = Road::to(&kubeconfig, folder.path()).await?;
    let hooks = Hooks::create(&client(&kubeconfig).await?).await?;
    under_load(&road.kubeconfig, &folder.path().join("spool"), hooks, |away| road.open(!away)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_that_hangs_for_a_while_costs_no_event() -> anyhow::Result<()> {
    let programs = match Programs::find()? {
        Ok(programs) => programs,
        Err(missing) => {
            left_out("an API server that hangs", &format!("{missing} is not built"));
            return Ok(());
        }
    };
    let folder = tempfile::tempdir()?;
    let real = Real::start(&programs, Disk::Quick).await?;
    let kubeconfig = real.kubeconfig();
    let client = client(&kubeconfig).await?;
    install(&client).await?;
    let hooks = Hooks::create(&client).await?;
    let server = *real.ids().get(1).context("kube-apiserver")?;
    let signal = |away: bool| {
        let name = if away { "-STOP" } else { "-CONT" };
        let _ = Command::new("kill").arg(name).arg(server.to_string()).status();
    };
    let settled = under_load(&kubeconfig, &folder.path().join("spool"), hooks, signal).await;
    signal(false);
    settled
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_nothing_is_answered_503_and_the_event_may_come_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (_cluster, kubeconfig) = engine().await?;
    let road = Road::to(&kubeconfig, folder.path()).await?;
    let hooks = Hooks::create(&client(&kubeconfig).await?).await?;
    let small = folder.path().join("small");
    std::fs::create_dir(&small)?;
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k", "none"])
        .arg(&small)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let _unmount = mounted.then(|| Mounted(small.clone()));
    if !mounted {
        left_out("a file system that is full", "nothing can be mounted here");
    }
    // Files may not grow at all; and, where it can be had, a file system of four pages.
    let ways =
        [("limit", Some("trap '' XFSZ; ulimit -f 0"), folder.path().join("spool")), ("disk", None, small)];
    for (way, shell, spool) in ways.into_iter().take(1 + usize::from(mounted)) {
        let gateway = Gateway::start(&road.kubeconfig, &spool, shell).await?;
        let http = reqwest::Client::new();
        // On a machine with much to do the engine may not be in time at once, and there is no disk to make up for it.
        let before = format!("{way}-before");
        eventually("the engine takes an event", || async {
            Ok((hooks.send(&http, &gateway.url, &before).await?.0 == 200).then_some(()))
        })
        .await?;
        road.open(false);
        let (mut sent, mut refused) = (Sent::default(), None);
        for number in 0..10 {
            let id = format!("{way}-{number}");
            match hooks.send(&http, &gateway.url, &id).await? {
                (200, _) => drop(sent.acknowledged.insert(id)),
                (code, after) => {
                    refused = Some((id, code, after));
                    break;
                }
            }
        }
        let (id, code, after) = refused.context("the disk is full")?;
        assert_eq!((code, after.as_str()), (503, "5"), "{way}");
        let left = std::fs::read_dir(&spool)?.collect::<Result<Vec<_>, _>>()?;
        assert!(left.iter().all(|file| !file.file_name().to_string_lossy().ends_with(".tmp")), "{left:?}");
        assert_eq!(std::fs::metadata(&spool)?.permissions().mode() & 0o777, 0o700);
        road.open(true);
        eventually("the engine is back", || async {
            Ok((hooks.send(&http, &gateway.url, &id).await?.0 == 200).then_some(()))
        })
        .await?;
        sent.acknowledged.insert(id);
        sent.acknowledged.insert(before);
        hooks.settled(&sent).await?;
    }
    Ok(())
}

/// A mounted file system; unmounted when dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
