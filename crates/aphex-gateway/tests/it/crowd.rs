//! Strangers in numbers, and what a good sender notices of them: nothing.

use std::net::SocketAddr;

use aphex_gateway::sign;
use aphex_runtime::Shutdown;
use aphex_runtime::serve::{Limits, files};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::world::{SECRET, World, push};

/// More than twice as many as the gateway lets in.
const CROWD: usize = 2500;
const LIMITS: Limits = Limits { connections: 1000, per_source: 900 };

/// A head of a request that announces as large a body as there may be.
fn announcing(world: &World) -> String {
    format!(
        "POST /{} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 26214400\r\n\r\n{{",
        world.name
    )
}

async fn come(address: SocketAddr, source: [u8; 4], text: &str) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((std::net::IpAddr::from(source), 0).into())?;
    let mut stream = socket.connect(address).await?;
    stream.write_all(text.as_bytes()).await?;
    Ok(stream)
}

#[tokio::test]
async fn good_pushes_are_answered_among_thousands_who_send_nothing_or_slowly() -> anyhow::Result<()> {
    let world = World::start("crowd").await?;
    let shutdown = Shutdown::new();
    let address = world.replica_within(LIMITS, "crowded", &shutdown).await?;
    anyhow::ensure!(files::raise() > 3 * CROWD, "this test needs {} open files", 3 * CROWD);
    // They announce 25 MiB each, together far more than there is memory for, and send a byte.
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(come(address, [127, 0, 0, 2], &announcing(&world)).await?);
    }
    for number in 0..CROWD {
        let source = [127, 0, 1, u8::try_from(number % 8)?];
        let text = if number % 2 == 0 { "" } else { "POST / HTTP/1.1\r\nhost: x\r\nx-slow" };
        crowd.push(come(address, source, text).await?);
    }
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
    for number in 0..20 {
        let body = push()?.to_string();
        let request = client
            .post(format!("http://{address}/{}", world.name))
            .header("content-type", "application/json")
            .header("x-github-event", "push")
            .header("x-github-delivery", format!("crowd-{number}"))
            .header("x-hub-signature-256", sign(SECRET.as_bytes(), body.as_bytes()))
            .body(body);
        assert_eq!(request.send().await?.status().as_u16(), 200, "push {number}");
    }
    // Who has waited longest in silence had to go.
    let silent = &mut crowd[200];
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
    shutdown.trigger();
    Ok(())
}

#[tokio::test]
async fn pushes_come_over_http2_as_well() -> anyhow::Result<()> {
    let world = World::start("http2").await?;
    let stream = TokioIo::new(TcpStream::connect(world.address).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let body = push()?.to_string();
    let request = Request::post(format!("http://{}.hooks.example.com/", world.name))
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", "over-http2")
        .header("x-hub-signature-256", sign(SECRET.as_bytes(), body.as_bytes()))
        .body(Full::new(Bytes::from(body)))?;
    assert_eq!(sender.send_request(request).await?.status(), StatusCode::OK);
    world.verdict("over-http2").await?;
    assert_eq!(world.runs().await?.len(), 1);
    Ok(())
}
