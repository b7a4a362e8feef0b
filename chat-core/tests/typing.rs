//! Typing is a state of which only the latest value counts.

mod common;

use chat_memory::{Client, Ledger};
use common::*;
use serde_json::{Value, json};

fn typing(active: bool) -> Value {
    json!({"type": "typing", "room": "r", "active": active})
}

#[tokio::test(start_paused = true)]
async fn other_members_are_notified_once_about_each_change() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    ann.until_idle().await;
    for active in [true, true, false, false, true] {
        assert_eq!(ann.expect_success(typing(active)).await["type"], "ok");
        let told = only(&ben.until_idle().await, "typing");
        for event in &told {
            assert_eq!(
                (&event["active"], &event["member"]["nickname"]),
                (&json!(active), &json!("Ann"))
            );
        }
        assert!(told.len() <= 1);
    }
    assert!(only(&ann.until_idle().await, "typing").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_typing_command_without_an_id_gets_no_reply_unless_it_is_refused() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.until_idle().await;
    ann.send_raw(r#"{"type":"typing","room":"r","active":true}"#);
    assert!(ann.until_idle().await.is_empty());
    ann.send_raw(r#"{"type":"typing","room":"elsewhere","active":true}"#);
    let heard = ann.until_idle().await;
    assert_eq!(
        (&heard[0]["code"], heard[0].get("id")),
        (&json!("not_joined"), None)
    );
}

#[tokio::test(start_paused = true)]
async fn typing_is_part_of_neither_the_history_nor_a_recovery() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    ann.expect_success(typing(true)).await;
    ann.send("r", "there").await;
    ann.expect_success(typing(true)).await;
    let told = only(&ben.until_idle().await, "typing");
    assert!(!told.is_empty());
    let page = ben
        .expect_success(json!({"type": "history", "room": "r"}))
        .await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    ben.end().abort();
    ben.reconnect(&chat);
    ben.hello().await;
    ben.rejoin("r").await;
    assert!(only(&ben.until_idle().await, "typing").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_types_costs_a_slow_reader_only_a_few_events() {
    let chat = chat_with(|limits| limits.presence_members = 200);
    let mut slow = Client::connect_with(&chat, 0, Ledger::default());
    slow.join("r").await;
    let mut crowd = Vec::new();
    for n in 0..100 {
        crowd.push(member(&chat, "r", &format!("guest {n}")).await);
    }
    slow.until_idle().await;
    slow.end().stall();
    // Each member sends the same state three times in quick succession.
    for _ in 0..3 {
        for client in &mut crowd {
            client.expect_success(typing(true)).await;
        }
    }
    slow.end().resume();
    let told = only(&slow.until_idle().await, "typing").len();
    assert!((1..=33).contains(&told), "{told} events");
    // In a room that is too large for names, nobody is notified.
    let chat = chat_with(|limits| limits.presence_members = 1);
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    assert_eq!(ben.expect_success(typing(true)).await["type"], "ok");
    assert!(only(&ann.until_idle().await, "typing").is_empty());
}
