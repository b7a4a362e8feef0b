//! Pings, and the timeout of peers that do not answer them.

mod common;

use std::time::Duration;

use chat_ws::Config;
use common::*;
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, advance, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_then_closed() {
    let mut client = echo(Config::default());
    let start = Instant::now();
    assert_eq!(read_frame(&mut client).await.unwrap(), (PING, vec![]));
    assert_eq!(start.elapsed(), 25 * SECOND);
    assert_eq!(close_code(&read_all(&mut client).await), 4003);
    assert!((37 * SECOND..39 * SECOND).contains(&start.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_stays_connected() {
    let mut client = echo(Config::default());
    let start = Instant::now();
    for n in 1..=20 {
        assert_eq!(read_frame(&mut client).await.unwrap(), (PING, vec![]));
        // Silence counts from the last bytes that arrived.
        assert_eq!(start.elapsed(), n * 25 * SECOND + (n - 1) * 12 * SECOND);
        sleep(12 * SECOND).await;
        client.write_all(&frame(PONG, b"")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_messages_is_not_pinged() {
    let mut client = echo(Config::default());
    for _ in 0..20 {
        client.write_all(&frame(TEXT, b"a")).await.unwrap();
        assert_eq!(read_frame(&mut client).await.unwrap().0, TEXT);
        assert!(timeout(20 * SECOND, read_frame(&mut client)).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_must_end_in_time() {
    let mut client = echo(Config::default());
    let start = Instant::now();
    let mut drip = [header(TEXT, 1000), vec![0; 1000]].concat().into_iter();
    while client.write_all(&[drip.next().unwrap()]).await.is_ok() {
        sleep(SECOND).await;
    }
    assert!(
        (37 * SECOND..40 * SECOND).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(close_code(&read_all(&mut client).await), 4003);
}

#[tokio::test(start_paused = true)]
async fn messages_that_end_in_time_may_follow_each_other_for_ever() {
    let mut client = echo(Config::default());
    // Each write ends one message and starts the next, so that one is always under way.
    let message = frame(TEXT, b"abcdef");
    client.write_all(&message[..5]).await.unwrap();
    for _ in 0..100 {
        sleep(SECOND).await;
        client.write_all(&message[5..]).await.unwrap();
        client.write_all(&message[..5]).await.unwrap();
        assert_eq!(read_frame(&mut client).await.unwrap().0, TEXT);
    }
}

#[tokio::test(start_paused = true)]
async fn time_during_which_the_server_was_suspended_does_not_count() {
    let (mut socket, mut client) = pair(Config::default());
    let server = tokio::spawn(async move { socket.next().await.is_none() });
    sleep(SECOND).await;
    // The process is suspended, and the peer then has another full period.
    advance(300 * SECOND).await;
    let start = Instant::now();
    assert_eq!(read_frame(&mut client).await.unwrap(), (PING, vec![]));
    assert_eq!(start.elapsed(), 25 * SECOND);
    // Suspended again, after the ping and with its answer on the way.
    sleep(SECOND).await;
    client.write_all(&frame(PONG, b"")).await.unwrap();
    advance(12 * SECOND).await;
    assert!(timeout(24 * SECOND, read_frame(&mut client)).await.is_err());
    assert!(!server.is_finished());
}

#[tokio::test(start_paused = true)]
async fn no_peer_is_closed_without_a_ping_however_short_the_heartbeat() {
    for millis in [10, 100, 1000, 3000, 10_000] {
        let heartbeat = Duration::from_millis(millis);
        let config = Config::default()
            .heartbeat(heartbeat)
            .pong_timeout(heartbeat / 2);
        for suspended in 1..40 {
            let (mut socket, mut client) = pair(config.clone());
            let _server = tokio::spawn(async move { socket.next().await.is_none() });
            sleep(config.heartbeat / 2).await;
            advance(config.heartbeat * suspended / 10).await;
            let got = read_frame(&mut client).await.unwrap();
            assert_eq!(
                got,
                (PING, vec![]),
                "{config:?}, suspended for {suspended} tenths of the heartbeat"
            );
        }
    }
}
