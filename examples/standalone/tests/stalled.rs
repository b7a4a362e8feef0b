//! Connections that stop half way.

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_memory::Ledger;
use common::*;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where a connection stops.
#[derive(Clone, Copy, Debug)]
enum Stop {
    AtOnce,
    InTheRequestLine,
    InTheHeaders,
    InTheBody,
    AfterAnAnswer,
    InAFrame,
    InAMessage,
}

const STOPS: [Stop; 7] = [
    Stop::AtOnce,
    Stop::InTheRequestLine,
    Stop::InTheHeaders,
    Stop::InTheBody,
    Stop::AfterAnAnswer,
    Stop::InAFrame,
    Stop::InAMessage,
];

/// A connection that stopped there.
async fn stalled(server: &Server, n: usize) -> TcpStream {
    let addr = server.addr;
    let from = Ipv4Addr::new(127, 1, 2, 1 + (n % 20) as u8);
    let mut stream = connect(from, addr).await.unwrap();
    let stop = STOPS[n % STOPS.len()];
    match stop {
        Stop::AtOnce => {}
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
        Stop::AfterAnAnswer => {
            let head = format!("GET /healthz HTTP/1.1\r\nhost: {addr}\r\n\r\n");
            assert_eq!(ask(&mut stream, head).await.status, 200);
        }
        Stop::InAFrame | Stop::InAMessage => {
            assert_eq!(ask(&mut stream, upgrade_head(addr, "")).await.status, 101);
            let half: &[u8] = match stop {
                // A text of 100 bytes that has two; the first fragment of one that has no other.
                Stop::InAFrame => b"\x81\xe4\0\0\0\0{\"",
                _ => b"\x01\x82\0\0\0\0{\"",
            };
            stream.write_all(half).await.unwrap();
        }
    }
    stream
}

#[tokio::test]
async fn whoever_stops_half_way_is_gone_in_time() {
    const STALLED: usize = 2100;
    let flags = ["--header-timeout", "2s", "--heartbeat", "4s", "--no-limits"];
    let server = Server::start(&flags);
    let ledger = Ledger::default();
    let mut ann = Member::join(server.addr, "hall", &ledger).await;
    let mut ben = Member::join(server.addr, "hall", &ledger).await;
    let baseline = server.descriptors();

    let over = Arc::new(AtomicBool::new(false));
    let chat = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut said = 0;
            while !over.load(Ordering::Relaxed) {
                let seq = ann.say("all is well").await.expect("a connection");
                ben.read_to(seq).await;
                said += 1;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            said
        }
    });
    let stalling = (0..STALLED).map(|n| stalled(&server, n));
    let streams = within("connecting", join_all(stalling)).await;
    until("all of them are gone", || server.descriptors() == baseline).await;
    over.store(true, Ordering::Relaxed);
    assert!(within("the chat", chat).await.unwrap() > 10);
    // They have not ended it themselves.
    let ends = streams.into_iter().map(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    within("the end of every stream", join_all(ends)).await;
}

#[tokio::test]
async fn whoever_takes_no_answer_is_gone_in_time() {
    let flags = ["--header-timeout", "1s", "--write-timeout", "1s"];
    let server = Server::start(&flags);
    let baseline = server.descriptors();
    let mut stream = connect(Ipv4Addr::LOCALHOST, server.addr).await.unwrap();
    let requests = format!(
        "GET /assets/room.js HTTP/1.1\r\nhost: {}\r\n\r\n",
        server.addr
    )
    .repeat(5000);
    // As many as it takes until it stops, because it cannot write any more.
    let write = tokio::spawn(async move {
        let _ = stream.write_all(requests.as_bytes()).await;
        stream
    });
    until("it is accepted", || server.descriptors() > baseline).await;
    until("it is gone", || server.descriptors() == baseline).await;
    drop(write);
}
