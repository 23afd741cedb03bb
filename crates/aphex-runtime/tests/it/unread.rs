//! Clients that do not read what they asked for, and who waits for them: nobody.

use std::time::Duration;

use aphex_runtime::serve::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::serve::{GET, LONG, World, answer, ask, is_closed};

/// The preface of HTTP/2, SETTINGS with an initial window of zero, and HEADERS for a GET of `/` from `x`.
const WITHOUT_WINDOW: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
    \0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01x";

/// The type of a frame with a head.
const HEADERS: u8 = 1;

/// A client that asks, has the head of the answer, and lets no byte of its body leave.
async fn stuck(world: &World) -> TcpStream {
    let mut stream = world.connect().await;
    stream.write_all(WITHOUT_WINDOW).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        if head[3] == HEADERS {
            return stream;
        }
    }
}

#[tokio::test]
async fn who_lets_no_answer_leave_makes_room_for_those_who_ask() {
    let world = World::new(Limits { connections: 3, per_source: 3 }, None).await;
    for _ in 0..3 {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(stuck(&world).await);
        }
        let asked = timeout(Duration::from_secs(5), async { ask(&mut world.connect().await, GET).await });
        assert!(asked.await.unwrap().unwrap().starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn who_asks_without_end_and_reads_nothing_makes_room_as_well() {
    let world = World::new(Limits { connections: 1, per_source: 1 }, None).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut held = socket.connect(world.address).await.unwrap();
    let many = GET.repeat(2000);
    while timeout(Duration::from_secs(1), held.write_all(&many)).await.is_ok_and(|sent| sent.is_ok()) {}
    let asked = timeout(Duration::from_secs(5), async { ask(&mut world.connect().await, GET).await });
    assert!(asked.await.unwrap().unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn who_lets_no_answer_leave_keeps_no_process_from_ending() {
    let world = World::new(Limits { connections: 3, per_source: 3 }, None).await;
    let mut held = [stuck(&world).await, stuck(&world).await];
    ask(&mut world.connect().await, GET).await.unwrap();
    world.shutdown.trigger();
    assert!(world.shutdown.drain(Duration::from_secs(10)).await);
    for stream in &mut held {
        // It was told the head of the answer, and more it did not want.
        assert!(timeout(LONG, ended(stream)).await.is_ok());
    }
}

async fn ended(stream: &mut TcpStream) {
    while !is_closed(stream).await {}
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_place_and_who_waits_for_one_is_answered() {
    let mut world = World::new(Limits { connections: 2, per_source: 2 }, None).await;
    let mut busy = [world.connect().await, world.connect().await];
    for stream in &mut busy {
        stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    }
    world.arrived.acquire_many(2).await.unwrap().forget();
    // One that is taken in and has no place, and one that the system has let in.
    let mut waiting = [world.connect_from([127, 0, 0, 2]).await, world.connect_from([127, 0, 0, 3]).await];
    for stream in &mut waiting {
        stream.write_all(GET).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.shutdown.trigger();
    timeout(Duration::from_secs(5), &mut world.served).await.unwrap().unwrap();
    assert!(!world.shutdown.drain(Duration::from_millis(100)).await, "requests are under way");
    world.go_on.add_permits(2);
    for stream in busy.iter_mut().chain(&mut waiting) {
        assert!(answer(stream).await.unwrap().starts_with("HTTP/1.1 200"));
    }
    assert!(world.shutdown.drain(LONG).await);
}
