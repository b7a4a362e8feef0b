//! The closing handshake (RFC 6455 §5.5.1, §7), whichever side starts it.

mod common;

use std::time::Duration;

use chat_core::{Close, CloseCode, Outgoing};
use chat_ws::Config;
use common::*;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_close_is_echoed() {
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4999,
    ] {
        for reason in ["", "bye", &"r".repeat(123)] {
            let got = responses(Config::default(), &close(code, reason), 1).await;
            assert_eq!(got, [(CLOSE, close_payload(code, reason))]);
        }
    }
    let empty = responses(Config::default(), &frame(CLOSE, b""), 1).await;
    assert_eq!(empty, [(CLOSE, vec![])]);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_close_frame_is_a_protocol_error() {
    for code in [
        0, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        let got = responses(Config::default(), &close(code, ""), usize::MAX).await;
        assert_eq!(close_code(&got), 1002, "{code}");
    }
    assert_eq!(
        close_code(&responses(Config::default(), &frame(CLOSE, b"x"), 1).await),
        1002
    );
    let bad_reason = frame(CLOSE, &[&1000u16.to_be_bytes()[..], b"\xff"].concat());
    assert_eq!(
        close_code(&responses(Config::default(), &bad_reason, 1).await),
        1007
    );
}

#[tokio::test(start_paused = true)]
async fn everything_after_a_close_frame_is_ignored() {
    let input = [
        frame(TEXT, b"a"),
        close(1000, ""),
        frame(TEXT, b"b"),
        frame(PING, b""),
        close(1001, ""),
    ]
    .concat();
    for piece_len in [usize::MAX, 1] {
        let got = responses(Config::default(), &input, piece_len).await;
        assert_eq!(
            got,
            [(TEXT, b"a".to_vec()), (CLOSE, close_payload(1000, ""))]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_once_the_peer_has_closed_its_half() {
    let (mut socket, mut client) = pair(Config::default());
    client.write_all(&close(1000, "")).await.unwrap();
    let server = tokio::spawn(async move { socket.next().await.is_none() });
    assert_eq!(close_code(&read_all(&mut client).await), 1000);
    assert!(!server.is_finished());
    client.shutdown().await.unwrap();
    let start = Instant::now();
    assert!(server.await.unwrap());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_in_time_although_the_peer_keeps_its_half_open() {
    let (mut socket, mut client) = pair(Config::default());
    client.write_all(&frame(TEXT, b"\xff")).await.unwrap();
    let start = Instant::now();
    assert!(socket.next().await.is_none());
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(close_code(&read_all(&mut client).await), 1007);
    assert!(socket.next().await.is_none());
    socket.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_violation_is_answered_although_the_peer_keeps_sending() {
    let (mut socket, mut client) = pair(Config::default());
    let server = tokio::spawn(async move { socket.next().await.is_none() });
    client.write_all(&header(TEXT, 1 << 30)).await.unwrap();
    let start = Instant::now();
    let mut sent = 0;
    while client.write_all(&[0; 16 * 1024]).await.is_ok() {
        sent += 16 * 1024;
    }
    assert!(
        (256 * 1024..3 << 20).contains(&sent),
        "{sent} bytes were drained"
    );
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(server.await.unwrap());
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got[..4], [CLOSE, got.len() as u8 - 2, 3, 0xf1]);
}

fn close_by_server() -> Outgoing {
    Outgoing::Close(Close::new(CloseCode::GOING_AWAY, "see you"))
}

#[tokio::test(start_paused = true)]
async fn a_close_by_the_server_waits_for_the_reply() {
    let (mut socket, mut client) = pair(Config::default());
    socket.feed(close_by_server()).await.unwrap();
    socket.queue_message(text("too late").into());
    let server = tokio::spawn(async move {
        socket.close().await.unwrap();
        socket
    });
    assert_eq!(
        read_frame(&mut client).await.unwrap(),
        (CLOSE, close_payload(1001, "see you"))
    );
    tokio::time::sleep(Duration::from_millis(1900)).await;
    // Messages that were under way are discarded until the reply arrives.
    client.write_all(&frame(TEXT, b"under way")).await.unwrap();
    client.write_all(&frame(PING, b"?")).await.unwrap();
    client.write_all(&close(1001, "")).await.unwrap();
    let start = Instant::now();
    let mut socket = server.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(read_frame(&mut client).await.is_none());
    assert!(socket.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_close_by_the_server_finds_a_reply_that_was_already_read() {
    let (mut socket, mut client) = pair(Config::default());
    let input = [
        frame(TEXT, b"a"),
        frame(TEXT, b"b"),
        close(1000, ""),
        frame(TEXT, b"c"),
    ]
    .concat();
    client.write_all(&input).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), text("a"));
    let start = Instant::now();
    socket.send(close_by_server()).await.unwrap();
    socket.close().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(
        read_all(&mut client).await,
        [(CLOSE, close_payload(1001, "see you"))]
    );
}

#[tokio::test(start_paused = true)]
async fn a_close_by_the_server_does_not_wait_for_ever() {
    for chatty in [false, true] {
        let (mut socket, mut client) = pair(Config::default());
        let server = tokio::spawn(async move {
            let start = Instant::now();
            socket.send(close_by_server()).await.unwrap();
            socket.close().await.unwrap();
            start.elapsed()
        });
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            if chatty && client.write_all(&frame(TEXT, b"still here")).await.is_err() {
                break;
            }
        }
        let elapsed = server.await.unwrap();
        assert_eq!(elapsed, Duration::from_secs(2));
        assert_eq!(
            read_all(&mut client).await,
            [(CLOSE, close_payload(1001, "see you"))]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_by_the_server_does_not_wait_for_a_peer_that_reads_nothing() {
    let (io, client) = tokio::io::duplex(64);
    let mut socket = chat_ws::WebSocket::new(io, &[], Config::default().into());
    socket.queue_message(text(&"x".repeat(1000)).into());
    let start = Instant::now();
    socket.feed(close_by_server()).await.unwrap();
    socket.close().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn closing_without_a_reason_sends_1000() {
    let (mut socket, mut client) = pair(Config::default());
    client.write_all(&close(1000, "")).await.unwrap();
    socket.close().await.unwrap();
    assert_eq!(
        read_all(&mut client).await,
        [(CLOSE, close_payload(1000, ""))]
    );
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_when_the_peer_is_gone() {
    for input in [
        vec![],
        frame(TEXT, b"a"),
        frame(TEXT, b"half")[..5].to_vec(),
        vec![TEXT],
    ] {
        let (mut socket, mut client) = pair(Config::default());
        client.write_all(&input).await.unwrap();
        drop(client);
        if input.len() == 7 {
            assert_eq!(socket.next().await.unwrap().unwrap(), text("a"));
        }
        assert!(socket.next().await.is_none());
        assert!(socket.next().await.is_none());
        socket.send(close_by_server()).await.unwrap();
        socket.close().await.unwrap();
    }
}
