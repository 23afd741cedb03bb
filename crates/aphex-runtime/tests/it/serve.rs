//! What strangers can do to a listener, and what everybody else notices of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aphex_runtime::Shutdown;
use aphex_runtime::serve::{Limits, Server, Tls};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(super) const LONG: Duration = Duration::from_secs(30);
pub(super) const GET: &[u8] = b"GET /here HTTP/1.1\r\nhost: x\r\n\r\n";

/// A listener that answers with what it was asked; `/slow` waits until it is let go on.
pub(super) struct World {
    pub(super) address: SocketAddr,
    pub(super) shutdown: Shutdown,
    pub(super) served: JoinHandle<()>,
    pub(super) go_on: Arc<Semaphore>,
    pub(super) arrived: Arc<Semaphore>,
}

impl World {
    pub(super) async fn new(limits: Limits, tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let (go_on, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let server = Server { listener, what: "the test", limits, tls };
        let (stop, gate, seen) = (shutdown.clone(), Arc::clone(&go_on), Arc::clone(&arrived));
        let answer = move |request: Request<Incoming>, peer: SocketAddr| {
            let (gate, seen) = (Arc::clone(&gate), Arc::clone(&seen));
            async move {
                let (head, body) = request.into_parts();
                if head.uri.path() == "/slow" {
                    seen.add_permits(1);
                    gate.acquire().await.unwrap().forget();
                }
                let body = body.collect().await.map(|body| body.to_bytes().len()).unwrap_or_default();
                let host =
                    head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("none");
                let text = format!("{} {host} {body} {}", head.uri.path(), peer.ip());
                Response::new(Full::new(Bytes::from(text)))
            }
        };
        let served = tokio::spawn(async move { server.run(&stop, answer).await });
        Self { address, shutdown, served, go_on, arrived }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(super) async fn connect_from(&self, source: [u8; 4]) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::from(source), 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// A new HTTP/2 connection, without TLS.
    async fn http2(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.connect().await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

/// Sends, and reads one answer with its body.
pub(super) async fn ask(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<String> {
    stream.write_all(request).await?;
    answer(stream).await
}

pub(super) async fn answer(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(text);
            }
        }
        if timeout(LONG, stream.read_buf(&mut read)).await?? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whether the other side ends the connection, without a word.
pub(super) async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(timeout(LONG, stream.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
}

fn usual() -> Limits {
    Limits { connections: 50, per_source: 50 }
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_on_one_port() {
    let world = World::new(usual(), None).await;
    let mut stream = world.connect().await;
    assert!(ask(&mut stream, GET).await.unwrap().ends_with("/here x 0 127.0.0.1"));
    let again =
        ask(&mut stream, b"POST /b HTTP/1.1\r\nhost: y\r\ncontent-length: 3\r\n\r\nabc").await.unwrap();
    assert!(again.ends_with("/b y 3 127.0.0.1"), "{again}");

    let mut sender = world.http2().await;
    let request = Request::post("http://acme.hooks.example.com/c")
        .body(Full::new(Bytes::from_static(b"abcd")))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&body[..], b"/c acme.hooks.example.com 4 127.0.0.1");
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let world = World::new(usual(), None).await;
    let many = "x: y\r\n".repeat(101);
    let long = format!("x: {}\r\n", "y".repeat(40 * 1024));
    for fields in [many, long] {
        let mut stream = world.connect().await;
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
        let answered = ask(&mut stream, request.as_bytes()).await.unwrap();
        assert!(answered.starts_with("HTTP/1.1 431 "), "{answered}");
    }
    let mut sender = world.http2().await;
    let request = Request::get("http://x/").header("x", "y".repeat(40 * 1024)).body(Full::default()).unwrap();
    // What the client of the library itself does not send, it says; else the server refuses.
    if let Ok(response) = sender.send_request(request).await {
        assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
}

#[tokio::test]
async fn who_cancels_http2_requests_without_end_is_cut_off_and_others_are_answered() {
    let world = World::new(usual(), None).await;
    let mut stream = world.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // HEADERS (GET, http, /, authority x) and RST_STREAM, for one stream after the other.
    let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'x'];
    let mut flood = Vec::new();
    for stream_id in (1_u32..40_000).step_by(2) {
        flood.extend_from_slice(&[0, 0, 6, 1, 5]);
        flood.extend_from_slice(&stream_id.to_be_bytes());
        flood.extend_from_slice(&head);
        flood.extend_from_slice(&[0, 0, 4, 3, 0]);
        flood.extend_from_slice(&stream_id.to_be_bytes());
        flood.extend_from_slice(&[0, 0, 0, 8]);
    }
    let (mut read, mut write) = stream.into_split();
    let sending = tokio::spawn(async move { write.write_all(&flood).await });
    let mut said = Vec::new();
    let ended = timeout(LONG, read.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "the connection is ended");
    sending.abort();
    assert!(ask(&mut world.connect().await, GET).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn idle_connections_make_room_for_those_who_ask() {
    let world = World::new(Limits { connections: 300, per_source: 300 }, None).await;
    // Those who connect and say nothing, those who say half of it, and those who have been answered.
    let mut idle = Vec::new();
    for number in 0..600 {
        let mut stream = world.connect_from([127, 0, 0, 2]).await;
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap(),
            _ => drop(ask(&mut stream, GET).await.unwrap()),
        }
        idle.push(stream);
    }
    let mut slow = world.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    world.arrived.acquire().await.unwrap().forget();
    for _ in 0..400 {
        assert!(ask(&mut world.connect().await, GET).await.unwrap().starts_with("HTTP/1.1 200"));
    }
    assert!(is_closed(&mut idle[0]).await);
    // Whose request is under way is not sent away.
    world.go_on.add_permits(1);
    assert!(answer(&mut slow).await.unwrap().ends_with("/slow x 0 127.0.0.1"));
}

#[tokio::test]
async fn an_address_that_keeps_all_its_connections_busy_gets_no_more_and_others_do() {
    let world = World::new(Limits { connections: 10, per_source: 4 }, None).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        let mut stream = world.connect_from([127, 0, 0, 2]).await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        busy.push(stream);
    }
    world.arrived.acquire_many(4).await.unwrap().forget();
    assert!(is_closed(&mut world.connect_from([127, 0, 0, 2]).await).await);
    assert!(ask(&mut world.connect_from([127, 0, 0, 3]).await, GET).await.is_ok());
    world.go_on.add_permits(4);
    for stream in &mut busy {
        assert!(answer(stream).await.is_ok());
    }
    assert!(ask(&mut world.connect_from([127, 0, 0, 2]).await, GET).await.is_ok());
}

#[tokio::test]
async fn taking_leave_answers_everybody_and_sends_them_elsewhere() {
    let world = World::new(usual(), None).await;
    let mut kept = world.connect().await;
    let before = ask(&mut kept, GET).await.unwrap();
    assert!(!before.contains("connection: close"), "{before}");
    let mut multiplexed = world.http2().await;
    let first = Request::get("http://x/").body(Full::default()).unwrap();
    multiplexed.send_request(first).await.unwrap().into_body().collect().await.unwrap();

    world.shutdown.take_leave();
    let told = ask(&mut kept, GET).await.unwrap();
    assert!(told.contains("connection: close") && is_closed(&mut kept).await, "{told}");
    let new = ask(&mut world.connect().await, GET).await.unwrap();
    assert!(new.contains("connection: close"), "{new}");
    // GOAWAY: nothing more is sent on this connection, and the client knows.
    timeout(LONG, async {
        while multiplexed.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn on_shutdown_what_was_sent_is_answered_and_nothing_else_is_waited_for() {
    let world = World::new(usual(), None).await;
    let mut slow = world.connect().await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut streams = world.http2().await;
    let request = Request::get("http://x/slow").body(Full::default()).unwrap();
    let streaming = tokio::spawn(async move { streams.send_request(request).await });
    world.arrived.acquire_many(2).await.unwrap().forget();
    let mut idle = world.connect().await;
    ask(&mut idle, GET).await.unwrap();
    let mut half = world.connect().await;
    half.write_all(b"GET / HT").await.unwrap();

    world.shutdown.trigger();
    // Let in by the system, not yet by the program.
    let mut late = world.connect().await;
    let late_answer = ask(&mut late, GET).await;
    assert!(late_answer.is_ok(), "{late_answer:?}");
    assert!(is_closed(&mut idle).await && is_closed(&mut half).await);
    world.go_on.add_permits(2);
    assert!(answer(&mut slow).await.unwrap().contains("connection: close"));
    assert_eq!(streaming.await.unwrap().unwrap().status(), StatusCode::OK);
    assert!(world.shutdown.drain(LONG).await);
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn a_certificate_is_replaced_while_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let issue = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let write = |(cert, private): &(String, String)| {
        std::fs::write(&certificate, cert).unwrap();
        std::fs::write(&key, private).unwrap();
    };
    let (first, second) = (issue(), issue());
    write(&first);
    let tls = Tls::open(&certificate, &key).unwrap();
    let world = World::new(usual(), Some(tls.clone())).await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // A client that trusts one certificate alone.
    let reached = async |(cert, _): &(String, String), versions: &str| {
        let trusted = reqwest::Certificate::from_pem(cert.as_bytes()).unwrap();
        let builder =
            reqwest::Client::builder().tls_certs_only([trusted]).resolve("localhost", world.address);
        let builder = if versions == "1" { builder.http1_only() } else { builder };
        let url = format!("https://localhost:{}/", world.address.port());
        builder.build().unwrap().get(url).send().await.map(|response| response.version())
    };
    assert_eq!(reached(&first, "1").await.unwrap(), Version::HTTP_11);
    assert!(reached(&second, "1").await.is_err());
    assert!(!tls.reload().unwrap());

    // Half written: the key is not the certificate's.
    std::fs::write(&certificate, &second.0).unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("tls.crt") && error.contains("tls.key"), "{error}");
    assert!(reached(&first, "1").await.is_ok());

    write(&second);
    assert!(tls.reload().unwrap());
    assert!(reached(&second, "1").await.is_ok() && reached(&first, "1").await.is_err());
}

#[tokio::test]
async fn http2_is_chosen_by_alpn() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let world = World::new(usual(), Some(Tls::open(&certificate, &key).unwrap())).await;
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_root_certificates(trusted).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), world.connect().await).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
}
