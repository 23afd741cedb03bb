//! One organization floods, and another notices nothing of it: judged by who is refused, and by the order of the runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context as _;
use aphex_testkit::{Service, eventually_for};
use http::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::hooks::{Hooks, PATIENCE, Sent, client};
use super::program::Up;

/// Everything is kept, few of one organization may wait in the engine or on the disk, and services on this machine may be asked.
const ARGUMENTS: &[&str] = &[
    "--keep-deliveries",
    "1000000",
    "--queue-limit",
    "100",
    "--spool-limit",
    "1Mi",
    "--allow-interceptor-address",
    "127.0.0.1",
    "--without",
    "issuer",
];
/// What a sender knows whose secret is another's.
const WRONG: &[u8] = b"whsec_of_somebody_else_altogether";
/// Bad signatures between two of the calm organization's pushes: soon more than a source has to spend.
const BAD: usize = 4;

/// Signed pushes of one organization on many connections, each without heed of the answers to the others.
struct Flood {
    hooks: Hooks,
    gateway: String,
    stop: AtomicBool,
    answered: AtomicUsize,
    refused: AtomicUsize,
}

impl Flood {
    fn start(hooks: Hooks, gateway: &str, connections: usize) -> (Arc<Self>, JoinSet<anyhow::Result<Sent>>) {
        let flood = Arc::new(Self {
            hooks,
            gateway: gateway.to_owned(),
            stop: AtomicBool::default(),
            answered: AtomicUsize::default(),
            refused: AtomicUsize::default(),
        });
        let http = reqwest::Client::new();
        let senders = (0..connections).map(|sender| Arc::clone(&flood).push(http.clone(), sender));
        (Arc::clone(&flood), senders.collect())
    }

    /// Pushes until told to stop. No answer is given but the two that there may be.
    async fn push(self: Arc<Self>, http: reqwest::Client, sender: usize) -> anyhow::Result<Sent> {
        let mut sent = Sent::default();
        for number in 0_usize.. {
            if self.stop.load(Ordering::Acquire) {
                break;
            }
            let id = format!("flood-{sender}-{number}");
            match self.hooks.send(&http, &self.gateway, &id).await? {
                (200, _) => drop(sent.acknowledged.insert(id)),
                (429, after) if after == "5" => drop(self.refused.fetch_add(1, Ordering::AcqRel)),
                other => anyhow::bail!("{id} was answered {other:?}"),
            }
            self.answered.fetch_add(1, Ordering::AcqRel);
        }
        Ok(sent)
    }

    /// Waits until so many more were answered, and so many more refused.
    async fn goes_on(&self, answered: usize, refused: usize) -> anyhow::Result<()> {
        let now = |count: &AtomicUsize| count.load(Ordering::Acquire);
        let (answered, refused) = (now(&self.answered) + answered, now(&self.refused) + refused);
        let reached =
            || async { Ok((now(&self.answered) >= answered && now(&self.refused) >= refused).then_some(())) };
        eventually_for(PATIENCE, "the flood goes on, and is refused", reached).await
    }

    /// Ends it: everything that was acknowledged becomes a run, one each.
    async fn end(&self, senders: JoinSet<anyhow::Result<Sent>>) -> anyhow::Result<usize> {
        self.stop.store(true, Ordering::Release);
        let mut sent = Sent::default();
        for sender in senders.join_all().await {
            sent.add(sender?);
        }
        self.hooks.settled(&sent).await?;
        Ok(sent.acknowledged.len())
    }
}

/// The organization that pushes now and then.
struct Calm {
    hooks: Hooks,
    gateway: String,
    http: reqwest::Client,
    sent: Sent,
}

impl Calm {
    async fn start(hooks: Hooks, gateway: &str) -> anyhow::Result<Self> {
        let calm =
            Self { hooks, gateway: gateway.to_owned(), http: reqwest::Client::new(), sent: Sent::default() };
        let served = || async { Ok((calm.push("calm-first").await?.0 == 200).then_some(())) };
        eventually_for(PATIENCE, "the gateway knows the listener", served).await?;
        Ok(calm)
    }

    async fn push(&self, id: &str) -> anyhow::Result<(u16, String)> {
        self.hooks.send(&self.http, &self.gateway, id).await
    }

    /// Bad signatures for its listener from the flood's address, then a push of its own, which becomes a run.
    async fn push_among_bad_ones(&mut self, number: usize) -> anyhow::Result<()> {
        for bad in 0..BAD {
            let id = format!("bad-{number}-{bad}");
            let (code, _) = self.hooks.send_signed(&self.http, &self.gateway, &id, WRONG).await?;
            anyhow::ensure!(matches!(code, 401 | 429), "{id} was answered {code}");
        }
        let id = format!("calm-{number}");
        let (code, _) = self.push(&id).await?;
        anyhow::ensure!(code == 200, "{id} was answered {code}");
        self.sent.acknowledged.insert(id);
        self.hooks.settled(&self.sent).await
    }
}

/// An address before another that lets nobody through until it is opened.
async fn closed(to: SocketAddr) -> anyhow::Result<(String, watch::Sender<bool>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let open = watch::Sender::new(false);
    let opened = open.subscribe();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let mut opened = opened.clone();
            tokio::spawn(async move {
                if opened.wait_for(|open| *open).await.is_ok()
                    && let Ok(mut to) = TcpStream::connect(to).await
                {
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    Ok((url, open))
}

/// Whether the flood waits for the engine or, where that is slow, on the disk, is the machine's affair.
#[tokio::test(flavor = "multi_thread")]
async fn pushes_of_one_organization_are_all_taken_while_another_floods() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start_with(folder.path(), ARGUMENTS)?;
    let gateway = up.told("Webhooks").await?.replace("/<organization>", "");
    let client = client(&up.kubeconfig).await?;
    let mut calm = Calm::start(Hooks::create(&client).await?, &gateway).await?;
    let (flood, senders) = Flood::start(Hooks::create(&client).await?, &gateway, 200);
    for number in 0..10 {
        flood.goes_on(60, 0).await?;
        calm.push_among_bad_ones(number).await?;
    }
    let acknowledged = flood.end(senders).await?;
    assert!(acknowledged > 200, "only {acknowledged} events of the flood were taken");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_that_floods_is_refused_and_another_is_not_behind_its_queue() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let service = Service::http(|_| Response::new(r#"{"continue":true}"#.to_owned())).await?;
    let port = service.url.rsplit(':').next().context("a port")?.parse()?;
    let quick = SocketAddr::from(([127, 0, 0, 1], port));
    let (hanging, open) = closed(quick).await?;
    let up = Up::start_with(folder.path(), ARGUMENTS)?;
    let gateway = up.told("Webhooks").await?.replace("/<organization>", "");
    let client = client(&up.kubeconfig).await?;
    let hooks = Hooks::create_asking(&client, &format!("http://{quick}")).await?;
    let mut calm = Calm::start(hooks, &gateway).await?;
    let (flood, senders) = Flood::start(Hooks::create_asking(&client, &hanging).await?, &gateway, 100);
    flood.goes_on(1000, 200).await?;
    for number in 0..10 {
        calm.push_among_bad_ones(number).await?;
        // The queue of the other is full before and after it.
        flood.goes_on(100, 1).await?;
    }
    assert_eq!(flood.hooks.runs().await?.len(), 0, "all that came before is still behind");
    open.send_replace(true);
    let acknowledged = flood.end(senders).await?;
    assert!(acknowledged >= 100, "only {acknowledged} events of the flood were taken");
    Ok(())
}
