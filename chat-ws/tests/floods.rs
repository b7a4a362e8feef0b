//! Bounds on what a peer can make the server do.

mod common;

use std::time::Duration;

use chat_ws::Config;
use common::*;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

/// Sends `burst` every tenth of a second for five seconds, reading all that comes.
async fn flood(burst: Vec<u8>) -> Vec<Frame> {
    let client = echo(Config::default());
    let (mut reader, mut writer) = tokio::io::split(client);
    let reader = tokio::spawn(async move { read_all(&mut reader).await });
    for _ in 0..50 {
        if writer.write_all(&burst).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let _ = writer.write_all(&frame(CONTINUE_END, b"")).await;
    let _ = writer.write_all(&close(1000, "")).await;
    reader.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn frames_that_say_nothing_are_limited() {
    for (first, per_second, code) in [
        (PING, 490, 1002), // the final continuation, with nothing to continue
        (PING, 600, 1008),
        (PONG, 600, 1008),
        (TEXT, 600, 1008),
    ] {
        let got = flood(frame(first, b"").repeat(per_second / 10)).await;
        assert_eq!(close_code(&got), code, "{first:x} at {per_second}/s");
    }
}

#[tokio::test(start_paused = true)]
async fn empty_fragments_are_limited() {
    let mut client = echo(Config::default());
    client.write_all(&frame(TEXT_START, b"a")).await.unwrap();
    client
        .write_all(&frame(CONTINUE, b"").repeat(2000))
        .await
        .unwrap();
    assert_eq!(close_code(&read_all(&mut client).await), 1008);
}

#[tokio::test(start_paused = true)]
async fn pings_whose_pongs_nobody_reads_take_no_memory() {
    let (io, mut client) = tokio::io::duplex(4096);
    let mut config = Config::default();
    config.idle_frames = u32::MAX;
    let mut socket = chat_ws::WebSocket::new(io, &[], config.into());
    let server = tokio::spawn(async move { socket.next().await.is_none() });
    let ping = frame(PING, &[b'p'; 125]);
    for _ in 0..10_000 {
        client.write_all(&ping).await.unwrap();
    }
    client.write_all(&close(1000, "")).await.unwrap();
    // What the stream itself holds, the pongs of the queue, and the close.
    let got = read_all(&mut client).await;
    assert!(got.len() <= 4096 / 127 + 19, "{} frames", got.len());
    assert_eq!(close_code(&got), 1000);
    drop(client);
    assert!(server.await.unwrap());
}
