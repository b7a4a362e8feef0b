//! Bounds on the work and the memory that a peer can cause.

mod common;

use std::sync::Arc;
use std::time::Duration;

use chat_memory::block_on_paused;
use chat_ws::{Config, WebSocket};
use common::*;
use futures::StreamExt;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

/// Sends `burst` every tenth of a second for five seconds. Returns everything that the server
/// sends.
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
async fn frames_that_carry_nothing_are_limited() {
    for (first, per_second, code) in [
        (PING, 490, 1002), // for the last frame, a continuation with nothing to continue
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

/// CVE-2026-48779: fragments of one byte, each of which takes far more than that in memory.
#[test]
fn a_message_of_one_byte_fragments_costs_as_much_as_its_frames() {
    let limit = Config::default().message_bytes;
    let of_fragments = |count: usize| {
        let input = fragments(count);
        let mut frames = Vec::new();
        let memory = allocation_counter::measure(|| frames = echo_of(&input));
        (frames, memory, input.len() as u64)
    };
    let (frames, memory, bytes) = of_fragments(limit);
    assert_eq!(frames[0], (TEXT, vec![b'a'; limit]));
    assert!(memory.bytes_max < 4 * limit as u64, "{memory:?}");
    // If the message were copied again with every fragment, this would be 2 GiB.
    assert!(memory.bytes_total < 2 * bytes, "{memory:?} for {bytes}");
    assert!(memory.count_total < 200, "{memory:?}");
    let (frames, ..) = of_fragments(limit + 1);
    assert_eq!(close_code(&frames), 1009);
}

/// CVE-2026-65623: everything that has arrived of a message is processed again with each fragment.
#[test]
fn a_message_of_eight_times_the_fragments_takes_about_eight_times_the_work() {
    let limit = Config::default().message_bytes;
    let work = |count: usize| {
        let input = fragments(count);
        let work = || {
            let before = clock_gettime(ClockId::ThreadCPUTime);
            assert_eq!(echo_of(&input)[0].1.len(), count);
            let took = clock_gettime(ClockId::ThreadCPUTime) - before;
            took.tv_sec * 1_000_000_000 + took.tv_nsec
        };
        (0..5).map(|_| work()).min().expect("five measurements")
    };
    let (few, most) = (work(limit / 8), work(limit));
    // If the work grew with the square of the fragments, it would be sixty-four times as much.
    assert!(
        most < 24 * few,
        "{few} ns for few fragments, {most} ns for eight times as many"
    );
}

/// A message in fragments of one byte.
fn fragments(count: usize) -> Vec<u8> {
    let middle = frame(CONTINUE, b"a").repeat(count - 2);
    let (start, end) = (frame(TEXT_START, b"a"), frame(CONTINUE_END, b"a"));
    [start, middle, end].concat()
}

/// What an echo server sends in response to `input` and to its end.
fn echo_of(input: &[u8]) -> Vec<Frame> {
    block_on_paused(async {
        let (io, client) = tokio::io::duplex(16 * 1024);
        tokio::spawn(serve_echo(WebSocket::new(io, &[], Arc::default())));
        let (mut reader, mut writer) = tokio::io::split(client);
        let write = async {
            let _ = writer.write_all(input).await;
            let _ = writer.shutdown().await;
        };
        tokio::join!(write, read_all(&mut reader)).1
    })
}

/// By default tungstenite keeps every pong that waits to be written.
#[tokio::test(start_paused = true)]
async fn pings_whose_pongs_nobody_reads_take_no_memory() {
    let (io, mut client) = tokio::io::duplex(4096);
    let config = Config::default().idle_frames(u32::MAX);
    let mut socket = chat_ws::WebSocket::new(io, &[], config.into());
    let server = tokio::spawn(async move { socket.next().await.is_none() });
    let ping = frame(PING, &[b'p'; 125]);
    for _ in 0..10_000 {
        client.write_all(&ping).await.unwrap();
    }
    client.write_all(&close(1000, "")).await.unwrap();
    // The frames that fit into the stream, the pongs of the queue, and the close frame.
    let got = read_all(&mut client).await;
    assert!(got.len() <= 4096 / 127 + 19, "{} frames", got.len());
    assert_eq!(close_code(&got), 1000);
    drop(client);
    assert!(server.await.unwrap());
}
