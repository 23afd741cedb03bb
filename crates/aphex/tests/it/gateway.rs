//! `aphex gateway` under load, while it is told to end.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::program::{Up, aphex};

const PATIENCE: Duration = Duration::from_mins(1);
const ASK: &[u8] =
    b"POST /nobody HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// A gateway beside the engine of `aphex up`.
struct Gateway {
    child: Child,
    log: PathBuf,
}

impl Gateway {
    fn start(up: &Up, folder: &Path, admin: SocketAddr, more: &[&str]) -> anyhow::Result<Self> {
        let log = folder.join("gateway.log");
        let child = aphex()
            .arg("--kubeconfig")
            .arg(&up.kubeconfig)
            .args(["gateway", "--bind", "127.0.0.1", "--port", "0", "--admin", &admin.to_string()])
            .args(more)
            .env("POD_NAME", "ending")
            .stderr(File::create(&log)?)
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child, log })
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut(&str) -> Option<T>) -> anyhow::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if let Some(found) = look(&said) {
                return Ok(found);
            }
            anyhow::ensure!(Instant::now() < deadline, "{what}: in vain; the gateway said:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn address(&self) -> anyhow::Result<SocketAddr> {
        self.until("the gateway serves", |said| {
            let line = said.lines().find(|line| line.contains("gateway serves webhooks"))?;
            line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks on a connection, and gives the answer's head.
fn ask(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<String> {
    stream.write_all(request)?;
    let mut read = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(head.to_owned());
            }
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(&piece[..count]);
    }
}

/// Asks again and again until nobody listens any more; any other end is an error.
fn load(address: SocketAddr, keeps: bool, answered: &AtomicUsize) -> anyhow::Result<()> {
    loop {
        let mut stream = match TcpStream::connect(address) {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) => return Err(error).context("cannot connect"),
        };
        loop {
            let head = ask(&mut stream, ASK).context("a request has no answer")?;
            anyhow::ensure!(head.starts_with("HTTP/1.1 404"), "{head}");
            answered.fetch_add(1, Ordering::Relaxed);
            if !keeps || head.contains("connection: close") {
                break;
            }
        }
    }
}

#[test]
fn a_gateway_that_is_told_to_end_answers_everybody_first() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let up = Up::start(&folder.path().join("data"))?;
    // A port that is free now.
    let admin = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut gateway = Gateway::start(&up, folder.path(), admin, &["--drain-delay", "2s"])?;
    let address = gateway.address()?;
    let answered = Arc::new(AtomicUsize::new(0));
    let loads: Vec<_> = (0..6)
        .map(|number| {
            let answered = Arc::clone(&answered);
            std::thread::spawn(move || load(address, number % 2 == 0, &answered))
        })
        .collect();
    gateway.until("requests are answered", |_| (answered.load(Ordering::Relaxed) > 200).then_some(()))?;
    let ready = || ask(&mut TcpStream::connect(admin)?, b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n");
    gateway.until("the gateway is ready", |_| ready().ok()?.starts_with("HTTP/1.1 200").then_some(()))?;

    let told = Command::new("kill").arg("-TERM").arg(gateway.child.id().to_string()).status()?;
    anyhow::ensure!(told.success(), "cannot send SIGTERM");
    gateway.until("the gateway is not ready", |_| ready().ok()?.starts_with("HTTP/1.1 503").then_some(()))?;
    let before = answered.load(Ordering::Relaxed);
    gateway.until("it answers on", |_| (answered.load(Ordering::Relaxed) > before + 20).then_some(()))?;
    for load in loads {
        load.join().map_err(|_| anyhow::anyhow!("a load ended badly"))??;
    }
    let status = gateway.child.wait()?;
    anyhow::ensure!(status.success(), "it ended with {status}: {}", gateway.said());
    Ok(())
}
