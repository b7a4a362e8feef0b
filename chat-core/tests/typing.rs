//! Who types is state of which the latest counts.

mod common;

use chat_memory::{Client, Ledger};
use common::*;
use serde_json::{Value, json};

fn typing(active: bool) -> Value {
    json!({"type": "typing", "room": "r", "active": active})
}

#[tokio::test(start_paused = true)]
async fn the_others_are_told_and_nobody_twice() {
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
async fn without_an_id_there_is_no_reply() {
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
async fn what_is_said_ends_the_typing_and_it_is_no_part_of_the_history() {
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
async fn a_crowd_that_types_costs_a_reader_a_few_events() {
    let chat = chat_with(|limits| limits.presence_members = 200);
    let mut slow = Client::connect_with(&chat, 0, Ledger::default());
    slow.join("r").await;
    let mut crowd = Vec::new();
    for n in 0..100 {
        crowd.push(member(&chat, "r", &format!("guest {n}")).await);
    }
    slow.until_idle().await;
    slow.end().stall();
    // Each says the same three times within the time of one.
    for _ in 0..3 {
        for client in &mut crowd {
            client.expect_success(typing(true)).await;
        }
    }
    slow.end().resume();
    let told = only(&slow.until_idle().await, "typing").len();
    assert!((1..=33).contains(&told), "{told} events");
    // In a room too large for names nobody is told.
    let chat = chat_with(|limits| limits.presence_members = 1);
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    assert_eq!(ben.expect_success(typing(true)).await["type"], "ok");
    assert!(only(&ann.until_idle().await, "typing").is_empty());
}
