//! Strangers hold large bodies open from many connections, and an organization notices nothing of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use aphex_testkit::eventually_for;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::Notify;

use super::hooks::{Hooks, PATIENCE, Sent, client};
use super::program::Up;

const MIB: usize = 1024 * 1024;
/// GitHub's largest body, but for the last byte.
const LARGEST: usize = 25 * MIB - 1;
/// The least that any body takes.
const SMALLEST: usize = 64 * 1024;
/// Addresses that the strangers have, and connections of each: many times what there is room for.
const ADDRESSES: u8 = 4;
const CONNECTIONS: usize = 25;
/// What all bodies under way may have together (`docs/security.md`).
const BODIES: usize = 256 * MIB;
/// What it may take besides: buffers of connections, and what the platform itself needs meanwhile.
const BESIDES: usize = 128 * MIB;

/// Bodies that never end, each as large as it may be.
struct Strangers {
    gateway: SocketAddr,
    head: String,
    /// Bytes that are sent and held.
    held: AtomicUsize,
    refused: AtomicUsize,
    /// Connections that hold something, or were refused even the least.
    settled: AtomicUsize,
    /// A body has ended: there is room for others.
    ended: Notify,
}

impl Strangers {
    /// One connection after the other, smaller each time it is refused.
    async fn hold(self: Arc<Self>, from: IpAddr) -> anyhow::Result<()> {
        let mut size = LARGEST;
        loop {
            let ended = self.ended.notified();
            let code = self.post(from, size).await?;
            match code {
                // It was held for as long as any body may take.
                408 => size = LARGEST,
                503 if size > SMALLEST => size = (size / 2).max(SMALLEST),
                503 => {
                    self.settled.fetch_add(1, Ordering::AcqRel);
                    ended.await;
                    self.settled.fetch_sub(1, Ordering::AcqRel);
                    size = LARGEST;
                }
                code => anyhow::bail!("a body that never ends was answered {code}"),
            }
        }
    }

    /// Sends so much of a body and holds it open; gives the status of the answer.
    async fn post(&self, from: IpAddr, size: usize) -> anyhow::Result<u16> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let mut stream = socket.connect(self.gateway).await?;
        let (mut answer, mut body) = stream.split();
        let sending = async {
            let chunk = vec![b' '; SMALLEST];
            let mut sent = body.write_all(self.head.as_bytes()).await;
            for at in (0..size).step_by(SMALLEST) {
                if sent.is_err() {
                    break;
                }
                sent = body.write_all(&chunk[..SMALLEST.min(size - at)]).await;
            }
            // Who is refused is hung up on, and the answer tells why.
            let _held = sent.is_ok().then(|| self.holds(size));
            std::future::pending::<()>().await;
        };
        let mut status = [0; 12];
        let read = tokio::select! {
            read = answer.read_exact(&mut status) => read,
            () = sending => return Ok(503),
        };
        if read.is_err() {
            // The answer may be lost with a connection that is closed while something is being sent.
            self.refused.fetch_add(1, Ordering::AcqRel);
            return Ok(503);
        }
        let code: u16 = std::str::from_utf8(&status)?.rsplit(' ').next().context("a status")?.parse()?;
        if code == 503 {
            self.refused.fetch_add(1, Ordering::AcqRel);
        } else {
            self.ended.notify_waiters();
        }
        Ok(code)
    }

    fn holds(&self, size: usize) -> Holding<'_> {
        self.held.fetch_add(size, Ordering::AcqRel);
        self.settled.fetch_add(1, Ordering::AcqRel);
        Holding { strangers: self, size }
    }
}

struct Holding<'a> {
    strangers: &'a Strangers,
    size: usize,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.strangers.held.fetch_sub(self.size, Ordering::AcqRel);
        self.strangers.settled.fetch_sub(1, Ordering::AcqRel);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_taken_while_strangers_hold_all_the_bodies_they_can() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start_with(folder.path(), &["--without", "issuer"])?;
    let gateway = up.told("Webhooks").await?.replace("/<organization>", "");
    let hooks = Hooks::create(&client(&up.kubeconfig).await?).await?;
    let http = reqwest::Client::new();
    let served = || async { Ok((hooks.send(&http, &gateway, "first").await?.0 == 200).then_some(())) };
    eventually_for(PATIENCE, "the gateway knows the listener", served).await?;
    let before = up.most_memory()?;

    let path = hooks.url("");
    let strangers = Arc::new(Strangers {
        gateway: gateway.trim_start_matches("http://").parse()?,
        head: format!(
            "POST {path} HTTP/1.1\r\nHost: hooks\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n\
             Content-Length: {}\r\n\r\n",
            LARGEST + 1
        ),
        held: AtomicUsize::default(),
        refused: AtomicUsize::default(),
        settled: AtomicUsize::default(),
        ended: Notify::new(),
    });
    let mut holding = tokio::task::JoinSet::new();
    for address in 0..ADDRESSES {
        for _ in 0..CONNECTIONS {
            holding.spawn(Arc::clone(&strangers).hold(Ipv4Addr::new(127, 0, 1, address).into()));
        }
    }
    let mut sent = Sent::default();
    for number in 0..10 {
        if let Some(ended) = holding.try_join_next() {
            ended??;
        }
        let full = || async {
            let settled = strangers.settled.load(Ordering::Acquire);
            Ok((settled == usize::from(ADDRESSES) * CONNECTIONS).then_some(()))
        };
        eventually_for(PATIENCE, "the strangers have all that they can have", full).await?;
        let held = strangers.held.load(Ordering::Acquire);
        assert!(held > BODIES / 2, "they hold {held} bytes");
        let id = format!("push-{number}");
        assert_eq!(hooks.send(&http, &gateway, &id).await?.0, 200, "{id}");
        sent.acknowledged.insert(id);
    }
    hooks.settled(&sent).await?;
    let refused = strangers.refused.load(Ordering::Acquire);
    assert!(refused > 0, "the strangers were refused");
    let more = up.most_memory()? - before;
    assert!(more < BODIES + BESIDES, "it took {} MiB", more / MIB);
    holding.shutdown().await;
    Ok(())
}
