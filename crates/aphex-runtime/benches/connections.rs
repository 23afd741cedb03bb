//! What an idle connection costs a listener: resident memory for each of thousands, by kind.
//!
//! `cargo bench -p aphex-runtime` prints a table. The listener is a process of its own, so that the clients are not counted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use aphex_runtime::Shutdown;
use aphex_runtime::serve::{Limits, Server, Tls, files};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Where the listener finds its certificate.
const FOLDER: &str = "APHEX_BENCH_CERTIFICATE";
const USUAL: usize = 5000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Only on `cargo bench`: tests of all targets run this program too, without the flag.
    let bench = std::env::args().any(|argument| argument == "--bench");
    match std::env::var_os(FOLDER) {
        Some(folder) => serve(folder.into()).await,
        None if bench => measure().await,
        None => Ok(()),
    }
}

/// The listeners, with TLS and without; their addresses go to standard output.
async fn serve(folder: PathBuf) -> anyhow::Result<()> {
    let tls = Tls::open(&folder.join("tls.crt"), &folder.join("tls.key"))?;
    let shutdown = Shutdown::new();
    let limits = Limits { connections: 100_000, per_source: 100_000 };
    files::raise();
    for tls in [None, Some(tls)] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        let server = Server { listener, what: "bench", limits, tls };
        let stop = shutdown.clone();
        let answer =
            |_: Request<Incoming>, _| std::future::ready(Response::new(Full::new(Bytes::from_static(b"{}"))));
        tokio::spawn(async move { server.run(&stop, answer).await });
    }
    std::future::pending().await
}

async fn measure() -> anyhow::Result<()> {
    let count = std::env::var("APHEX_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(USUAL);
    anyhow::ensure!(files::raise() > count + 100, "{count} connections need more open files (ulimit -n)");
    let folder = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(folder.path().join("tls.crt"), made.cert.pem())?;
    std::fs::write(folder.path().join("tls.key"), made.signing_key.serialize_pem())?;
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(made.cert.der().clone())?;
    let mut out = std::io::stdout();
    writeln!(out, "{count} connections, each idle after one request\n\n| kind | KiB each |\n|---|---:|")?;
    for (kind, secure, version) in [
        ("silent since it was opened", false, 0),
        ("HTTP/1.1", false, 1),
        ("HTTP/2", false, 2),
        ("HTTP/1.1 over TLS", true, 1),
        ("HTTP/2 over TLS", true, 2),
    ] {
        let mut listener = Listener::start(folder.path())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(trusted.clone()).with_no_client_auth();
        config.alpn_protocols = vec![if version == 2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let connector = TlsConnector::from(Arc::new(config));
        let address = listener.addresses[usize::from(secure)];
        // The first ones pay for what all share.
        let mut held = Vec::new();
        for _ in 0..100 {
            held.push(open(address, secure.then_some(&connector), version).await?);
        }
        let before = listener.resident()?;
        for _ in 0..count {
            held.push(open(address, secure.then_some(&connector), version).await?);
        }
        // Whoever is answered comes after all who connected before.
        held.push(open(address, secure.then_some(&connector), version.max(1)).await?);
        let each =
            f64::from(u32::try_from(listener.resident()? - before)?) / f64::from(u32::try_from(count)?);
        writeln!(out, "| {kind} | {each:.1} |")?;
        drop(held);
        listener.end();
    }
    Ok(())
}

/// What keeps a connection open.
type Kept = Box<dyn std::any::Any>;

async fn open(address: SocketAddr, tls: Option<&TlsConnector>, version: u8) -> anyhow::Result<Kept> {
    let stream = TcpStream::connect(address).await?;
    match tls {
        None if version == 0 => Ok(Box::new(stream)),
        None => ask(stream, version).await,
        Some(tls) => ask(tls.connect("localhost".try_into()?, stream).await?, version).await,
    }
}

async fn ask<S>(stream: S, version: u8) -> anyhow::Result<Kept>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let request =
        Request::post("http://localhost/").header("host", "localhost").body(Full::new(Bytes::from("{}")))?;
    if version == 2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?.into_body().collect().await?;
        return Ok(Box::new(sender));
    }
    let (mut sender, connection) = http1::handshake(io).await?;
    tokio::spawn(connection);
    sender.send_request(request).await?.into_body().collect().await?;
    Ok(Box::new(sender))
}

/// The process with the listeners.
struct Listener {
    child: Child,
    addresses: Vec<SocketAddr>,
}

impl Listener {
    fn start(folder: &std::path::Path) -> anyhow::Result<Self> {
        let mut child =
            Command::new(std::env::current_exe()?).env(FOLDER, folder).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?;
        let addresses = BufReader::new(output)
            .lines()
            .take(2)
            .map(|line| Ok(line?.parse()?))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { child, addresses })
    }

    /// Resident memory in KiB.
    fn resident(&self) -> anyhow::Result<i64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| anyhow::anyhow!("no resident memory in {status}"))
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
