//! Bytes from different sources, and in different pieces.

mod common;

use std::sync::Arc;

use chat_ws::{Config, WebSocket};
use common::*;
use futures::{FutureExt, StreamExt};
use tokio::io::AsyncWriteExt;

#[tokio::test(start_paused = true)]
async fn bytes_that_were_read_ahead_come_first() {
    let input = [
        frame(TEXT, b"one"),
        frame(TEXT, b"two"),
        frame(TEXT, b"three"),
    ]
    .concat();
    for cut in 0..=input.len() {
        let (io, mut client) = tokio::io::duplex(1024);
        let mut socket = WebSocket::new(io, &input[..cut], Arc::new(Config::default()));
        client.write_all(&input[cut..]).await.unwrap();
        for expected in ["one", "two", "three"] {
            assert_eq!(
                socket.next().await.unwrap().unwrap(),
                text(expected),
                "cut at {cut}"
            );
        }
        drop(client);
        assert!(socket.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_violation_that_was_read_ahead_is_answered() {
    let (io, mut client) = tokio::io::duplex(1024);
    let input = [frame(TEXT, b"one"), frame(0x83, b"")].concat();
    let mut socket = WebSocket::new(io, &input, Arc::new(Config::default()));
    assert_eq!(socket.next().await.unwrap().unwrap(), text("one"));
    assert!(socket.next().await.is_none());
    assert_eq!(close_code(&read_all(&mut client).await), 1002);
}

#[tokio::test(start_paused = true)]
async fn many_messages_in_one_read_are_returned_one_by_one() {
    let (mut socket, mut client) = pair(Config::default());
    let mut input = Vec::new();
    for n in 0..5000 {
        input.extend(frame(TEXT, n.to_string().as_bytes()));
    }
    client.write_all(&input).await.unwrap();
    for n in 0..5000 {
        assert_eq!(socket.next().await.unwrap().unwrap(), text(&n.to_string()));
    }
}

/// Connections of one thread share a read buffer and a spare decoder, but nothing else.
#[tokio::test(start_paused = true)]
async fn connections_in_the_middle_of_messages_do_not_mix_them_up() {
    let mut connections = Vec::new();
    for n in 0..20 {
        let (socket, client) = pair(Config::default().message_bytes(1000 + n));
        let input: Vec<_> = (0..30)
            .flat_map(|m| match m % 3 {
                0 => frame(TEXT, format!("{n}-{m}").as_bytes()),
                1 => frame(TEXT_START, format!("{n}-").as_bytes()),
                _ => frame(CONTINUE_END, (m - 1).to_string().as_bytes()),
            })
            .collect();
        connections.push((socket, client, input, Vec::new()));
    }
    for step in 0..600 {
        for (n, (socket, client, input, got)) in connections.iter_mut().enumerate() {
            let len = input.len().min(1 + (n * 7 + step) % 11);
            client.write_all(&input[..len]).await.unwrap();
            input.drain(..len);
            if let Some(message) = socket.next().now_or_never() {
                got.push(message.unwrap().unwrap());
            }
        }
    }
    for (n, (.., got)) in connections.iter().enumerate() {
        let sent = (0..30)
            .filter(|m| m % 3 != 2)
            .map(|m| text(&format!("{n}-{m}")));
        assert_eq!(*got, sent.collect::<Vec<_>>());
    }
}
