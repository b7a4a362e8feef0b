//! Connections that stop halfway.

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_memory::Ledger;
use common::*;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The point at which a client stops sending.
#[derive(Clone, Copy, Debug)]
enum Stop {
    AfterConnecting,
    InTheRequestLine,
    InTheHeaders,
    InTheBody,
    AfterAResponse,
    InAFrame,
    InAMessage,
}

const STOPS: [Stop; 7] = [
    Stop::AfterConnecting,
    Stop::InTheRequestLine,
    Stop::InTheHeaders,
    Stop::InTheBody,
    Stop::AfterAResponse,
    Stop::InAFrame,
    Stop::InAMessage,
];

/// A connection whose client has stopped at one of the points.
async fn stalled(server: &Server, n: usize) -> TcpStream {
    let addr = server.addr;
    let from = Ipv4Addr::new(127, 1, 2, 1 + (n % 20) as u8);
    let mut stream = connect(from, addr).await.unwrap();
    let stop = STOPS[n % STOPS.len()];
    match stop {
        Stop::AfterConnecting => {}
        Stop::InTheRequestLine => stream.write_all(b"GET /api/ro").await.unwrap(),
        Stop::InTheHeaders => {
            let head = upgrade_head(addr, "");
            stream
                .write_all(&head.as_bytes()[..head.len() / 2])
                .await
                .unwrap();
        }
        Stop::InTheBody => {
            let head = format!(
                "POST /api/rooms HTTP/1.1\r\nhost: {addr}\r\ncontent-length: 20\r\n\r\n{{\"room\""
            );
            stream.write_all(head.as_bytes()).await.unwrap();
        }
        Stop::AfterAResponse => {
            let head = format!("GET /healthz HTTP/1.1\r\nhost: {addr}\r\n\r\n");
            assert_eq!(exchange(&mut stream, head).await.status, 200);
        }
        Stop::InAFrame | Stop::InAMessage => {
            assert_eq!(
                exchange(&mut stream, upgrade_head(addr, "")).await.status,
                101
            );
            let half: &[u8] = match stop {
                // A text frame of 100 bytes of which two are sent, or the first fragment of a
                // message without the others.
                Stop::InAFrame => b"\x81\xe4\0\0\0\0{\"",
                _ => b"\x01\x82\0\0\0\0{\"",
            };
            stream.write_all(half).await.unwrap();
        }
    }
    stream
}

#[tokio::test]
async fn clients_that_stop_halfway_are_dropped_in_time() {
    const STALLED: usize = 2100;
    let flags = ["--header-timeout", "2s", "--heartbeat", "4s", "--no-limits"];
    let server = Server::start(&flags);
    let ledger = Ledger::default();
    let mut ann = Member::join(server.addr, "hall", &ledger).await;
    let mut ben = Member::join(server.addr, "hall", &ledger).await;
    let baseline = server.descriptors();

    let is_over = Arc::new(AtomicBool::new(false));
    let chat = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            let mut sent = 0;
            while !is_over.load(Ordering::Relaxed) {
                let seq = ann
                    .send_text("all is well")
                    .await
                    .expect("the connection is open");
                ben.read_to(seq).await;
                sent += 1;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            sent
        }
    });
    let stalling = (0..STALLED).map(|n| stalled(&server, n));
    let streams = within("connecting", join_all(stalling)).await;
    wait_until("the end of all of them", || {
        server.descriptors() == baseline
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    assert!(within("the chat", chat).await.unwrap() > 10);
    // The clients have not closed the connections themselves.
    let ends = streams.into_iter().map(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    within("the end of every stream", join_all(ends)).await;
}

#[tokio::test]
async fn clients_that_read_no_responses_are_dropped_in_time() {
    let flags = ["--header-timeout", "1s", "--write-timeout", "1s"];
    let server = Server::start(&flags);
    let baseline = server.descriptors();
    let mut stream = connect(Ipv4Addr::LOCALHOST, server.addr).await.unwrap();
    let requests = format!(
        "GET /assets/room.js HTTP/1.1\r\nhost: {}\r\n\r\n",
        server.addr
    )
    .repeat(5000);
    // Enough that the server stops because it cannot write any more.
    let write = tokio::spawn(async move {
        let _ = stream.write_all(requests.as_bytes()).await;
        stream
    });
    wait_until("the accept", || server.descriptors() > baseline).await;
    wait_until("the end of the connection", || {
        server.descriptors() == baseline
    })
    .await;
    drop(write);
}
