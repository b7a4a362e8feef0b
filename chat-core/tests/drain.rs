//! Draining: how an engine shuts down without losing messages.

mod common;

use std::sync::Arc;

use chat_core::{AdmitError, CloseCode};
use chat_memory::{Client, Ledger};
use common::*;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_drain_notifies_every_client_and_ends_when_all_have_gone() {
    let chat = Arc::new(chat());
    let mut clients = Vec::new();
    for n in 0..20 {
        clients.push(member(&chat, "r", &format!("guest {n}")).await);
    }
    clients.push(Client::connect(&chat));
    let draining = Arc::clone(&chat);
    let drain = tokio::spawn(async move { draining.drain().await });
    let mut waits = std::collections::BTreeSet::new();
    for client in &mut clients {
        let closing = client.event("closing").await;
        waits.insert(closing["reconnect_after_ms"].as_u64().unwrap());
        assert!(closing["reason"].is_string());
        assert_eq!(client.until_closed().await.code, CloseCode::GOING_AWAY);
        assert_eq!(client.close_code(), Some(1001));
    }
    assert!(
        waits.len() > 10,
        "the reconnects are not spread out: {waits:?}"
    );
    drain.await.unwrap();
    assert_eq!(chat.stats().connections, 0);
    assert!(matches!(chat.admit(None), Err(AdmitError::Draining)));
}

#[tokio::test(start_paused = true)]
async fn acknowledged_messages_are_delivered_before_a_drain_ends() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    for n in 0..50 {
        ann.command(json!({"type": "send", "room": "r", "text": n.to_string()}));
    }
    let heard = async {
        while !ann.is_closed() || !ben.is_closed() {
            ann.receive_available();
            ben.receive_available();
            tokio::task::yield_now().await;
        }
        (ann.drain(), ben.drain())
    };
    let (heard, ()) = tokio::join!(heard, chat.drain());
    let said = only(&heard.1, "message").len();
    assert!(
        only(&heard.0, "sent").len() <= said,
        "a message was acknowledged but not delivered"
    );
    assert_eq!(heard.0.last().unwrap()["type"], "closing");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_delays_a_drain_only_until_the_write_deadline() {
    let chat = chat();
    let mut slow = Client::connect_with(&chat, 0, Ledger::default());
    slow.join("r").await;
    slow.end().stall();
    let began = tokio::time::Instant::now();
    chat.drain().await;
    let took = began.elapsed();
    assert!(took <= secs(21), "{took:?}");
}

/// Runs on several threads in real time. How often a run meets the critical moment is a matter of
/// chance; that nothing is lost is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_client_receives_what_another_thread_acknowledges_during_a_drain() {
    for _ in 0..200 {
        let chat = chat();
        let mut clients = Vec::new();
        for n in 0..6 {
            clients.push(member(&chat, "r", &format!("guest {n}")).await);
        }
        let ends = clients.into_iter().enumerate().map(|(n, mut client)| {
            tokio::spawn(async move {
                for text in 0..if n < 2 { 100 } else { 0 } {
                    client.command(json!({"type": "send", "room": "r", "text": text.to_string()}));
                    tokio::task::yield_now().await;
                }
                client.until_closed().await;
                let heard = client.drain();
                let acknowledged = only(&heard, "sent")
                    .iter()
                    .filter_map(|sent| sent["seq"].as_u64())
                    .max();
                (acknowledged, client.view("r").seq)
            })
        });
        let ends: Vec<_> = ends.collect();
        chat.drain().await;
        let mut told = Vec::new();
        for end in ends {
            told.push(end.await.unwrap());
        }
        let acknowledged = told
            .iter()
            .filter_map(|(acknowledged, _)| *acknowledged)
            .max();
        let heard = told.iter().map(|(_, seq)| *seq).min();
        assert!(
            heard >= acknowledged,
            "a message was acknowledged but not delivered: {told:?}"
        );
    }
}
