//! More strangers are connected than the program has places for, and a good sender notices nothing of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use aphex_runtime::serve::{CONNECTIONS, files};
use aphex_testkit::{eventually_for, left_out};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::hooks::{Hooks, PATIENCE, Sent, client};
use super::program::Up;

/// Connections that are opened: more than there are places.
const CROWD: usize = CONNECTIONS + 1500;
/// Addresses that the strangers have.
const ADDRESSES: usize = 64;
/// Connections that are being opened at once.
const AT_ONCE: usize = 64;
/// What a connection may take, in bytes: `docs/performance.md` says 7.5 KiB of a silent one, 20.6 KiB of one that asked.
const OF_ONE: usize = 40 * 1024;
/// Files that the program has open besides.
const BESIDES: usize = 256;

/// Opens a connection; every other one asks for something, and stays when it is answered.
async fn come(number: usize, gateway: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number % ADDRESSES)?);
    socket.bind((IpAddr::from(from), 0).into())?;
    let mut stream = socket.connect(gateway).await?;
    if number % 2 == 1 {
        let ask = b"POST /nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(ask).await?;
        anyhow::ensure!(stream.read(&mut [0; 1024]).await? > 0, "connection {number} was not answered");
    }
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_are_taken_while_more_strangers_are_connected_than_there_are_places() -> anyhow::Result<()> {
    let files = files::raise();
    if files < CROWD + BESIDES {
        left_out("ten thousand connections", &format!("a process may have {files} open files here"));
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let up = Up::start_with(folder.path(), &["--without", "issuer"])?;
    let gateway = up.told("Webhooks").await?.replace("/<organization>", "");
    let hooks = Hooks::create(&client(&up.kubeconfig).await?).await?;
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
    let served = || async { Ok((hooks.send(&http, &gateway, "first").await?.0 == 200).then_some(())) };
    eventually_for(PATIENCE, "the gateway knows the listener", served).await?;
    let before = up.most_memory()?;

    let address: SocketAddr = gateway.trim_start_matches("http://").parse()?;
    let coming = futures::stream::iter(0..CROWD).map(|number| come(number, address));
    let mut crowd: Vec<TcpStream> = coming.buffered(AT_ONCE).try_collect().await?;
    let mut sent = Sent::default();
    for number in 0..10 {
        let id = format!("push-{number}");
        assert_eq!(hooks.send(&http, &gateway, &id).await?.0, 200, "{id}");
        sent.acknowledged.insert(id);
    }
    hooks.settled(&sent).await?;
    let open = std::fs::read_dir(format!("/proc/{}/fd", up.id()))?.count();
    assert!(open > CONNECTIONS / 2, "the strangers are there: {open} open files");
    assert!(open < CONNECTIONS + BESIDES, "{open} open files");
    let each = (up.most_memory()? - before) / CONNECTIONS;
    assert!(each < OF_ONE, "{each} bytes for each of {CONNECTIONS}");
    // Who has been idle longest had to go.
    assert_eq!(crowd[0].read(&mut [0]).await.unwrap_or(0), 0);
    Ok(())
}
