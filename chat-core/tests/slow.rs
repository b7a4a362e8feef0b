//! Peers that read slowly or not at all.

mod common;

use chat_core::{Chat, CloseCode};
use chat_memory::{Client, Ledger};
use common::*;
use serde_json::json;

/// A member whose connection takes only `window` unread bytes.
async fn member_with_window(chat: &Chat, room: &str, window: usize) -> Client {
    let mut client = Client::connect_with(chat, window, Ledger::default());
    client.join(room).await;
    client
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_dropped_at_the_write_deadline() {
    let chat = chat();
    let mut slow = member_with_window(&chat, "r", 0).await;
    let mut ann = member(&chat, "r", "Ann").await;
    slow.until_idle().await;
    slow.end().stall();
    ann.send("r", "hello").await;
    pass(ms(9_900)).await;
    assert_eq!(chat.stats().connections, 2);
    pass(ms(200)).await;
    assert_eq!(chat.stats().connections, 1);
    slow.end().resume();
    let close = slow.until_closed().await;
    assert_eq!(close.code, CloseCode::TOO_SLOW);
    // The seat is held for the grace period, as after any lost connection.
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 2);
    pass(secs(11)).await;
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_stays_while_nothing_is_sent() {
    let chat = chat();
    let mut idle = member_with_window(&chat, "r", 0).await;
    idle.until_idle().await;
    idle.end().stall();
    pass(secs(3600)).await;
    assert_eq!(chat.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_the_exact_gap_and_delays_nobody() {
    let chat = chat_with(|limits| limits.log_events = 8);
    let ledger = Ledger::default();
    let mut slow = Client::connect_with(&chat, 0, ledger.clone());
    slow.join("r").await;
    let mut ann = Client::connect_with(&chat, usize::MAX, ledger);
    ann.join("r").await;
    slow.until_idle().await;
    slow.end().stall();
    for n in 1..=30 {
        assert_eq!(ann.send("r", &n.to_string()).await, n);
        assert_eq!(ann.event("message").await["seq"], n);
    }
    slow.end().resume();
    let heard = slow.until_idle().await;
    let gaps = only(&heard, "gap");
    assert_eq!(gaps.len(), 1);
    // The first message was in the socket already, and the last eight are retained.
    assert_eq!(
        (&gaps[0]["from"], &gaps[0]["to"], &gaps[0]["epoch"]),
        (&json!(2), &json!(22), &json!(ann.view("r").epoch))
    );
    let seqs = each(&only(&heard, "message"), "seq");
    assert_eq!(seqs, [1, 23, 24, 25, 26, 27, 28, 29, 30]);
    assert_eq!(slow.close_code(), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_makes_progress_is_never_dropped() {
    let chat = chat_with(|limits| limits.log_events = 8);
    let mut slow = member_with_window(&chat, "r", 0).await;
    let mut ann = member(&chat, "r", "Ann").await;
    slow.until_idle().await;
    // The reader takes one of the ten events that are sent each second: never all, but never none.
    for second in 0..60 {
        for _ in 0..10 {
            ann.send("r", "x").await;
        }
        ann.until_idle().await;
        pass(secs(1)).await;
        slow.next().await;
        assert_eq!(
            chat.stats().connections,
            2,
            "the slow reader was dropped after {second} s"
        );
    }
    assert!(slow.view("r").skipped > 300);
}

#[tokio::test(start_paused = true)]
async fn a_gap_before_a_removal_ends_at_the_removal() {
    let chat = chat_with(|limits| limits.log_events = 4);
    let mut slow = member_with_window(&chat, "r", 0).await;
    let mut ann = member(&chat, "r", "Ann").await;
    slow.until_idle().await;
    slow.end().stall();
    for n in 0..10 {
        ann.send("r", &n.to_string()).await;
    }
    let id = chat_core::MemberId::parse(&slow.view("r").me).unwrap();
    host(&chat, "r").kick(id, None).await.unwrap();
    for n in 10..20 {
        ann.send("r", &n.to_string()).await;
    }
    slow.end().resume();
    let heard = slow.until_idle().await;
    assert_eq!(heard.last().unwrap()["type"], "removed");
    for gap in only(&heard, "gap") {
        assert!(
            gap["to"].as_u64().unwrap() <= 10,
            "the gap must not cover messages sent after the kick: {gap}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_stops_reading_from_a_peer_that_does_not_read_its_replies() {
    let chat = chat_with(|limits| limits.write_timeout = secs(3600));
    let mut ann = member_with_window(&chat, "r", 1000).await;
    for _ in 0..50 {
        ann.send("r", &"x".repeat(4000)).await;
    }
    ann.until_idle().await;
    ann.end().stall();
    for _ in 0..100 {
        ann.command(json!({"type": "history", "room": "r", "limit": 50}));
    }
    pass(secs(60)).await;
    // A page is 200 kB. One page waits in the socket, and one in the outbox, which stops the
    // reading.
    assert!(
        ann.end().unread() < 1_000_000,
        "{} bytes wait",
        ann.end().unread()
    );
    let mut ben = member(&chat, "r", "Ben").await;
    ben.send("r", "others go on").await;
    ann.end().resume();
    let heard = ann.until_idle().await;
    assert_eq!(only(&heard, "history").len(), 100);
}
