//! Keys make a repeated `send` harmless.

mod common;

use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

fn keyed(room: &str, text: &str, key: &str) -> Value {
    json!({"type": "send", "room": room, "text": text, "key": key})
}

fn position(sent: &Value) -> (&Value, &Value) {
    (&sent["seq"], &sent["at"])
}

#[tokio::test(start_paused = true)]
async fn a_repeated_key_is_answered_with_the_first_position() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let first = ann.expect_success(keyed("r", "once", "k")).await;
    assert_eq!(
        (&first["seq"], &first["key"], &first["room"]),
        (&json!(1), &json!("k"), &json!("r"))
    );
    pass(secs(5)).await;
    // Only the key counts, even if the text differs.
    for text in ["once", "twice"] {
        let again = ann.expect_success(keyed("r", text, "k")).await;
        assert_eq!(position(&again), position(&first));
    }
    assert_eq!(
        each(&only(&ben.until_idle().await, "message"), "text"),
        ["once"]
    );
    assert_eq!(ann.send("r", "next").await, 2);
}

#[tokio::test(start_paused = true)]
async fn keys_are_exact_and_belong_to_one_member_in_one_room() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.join("other").await;
    let mut ben = member(&chat, "r", "Ben").await;
    ann.expect_success(keyed("r", "ann", "k")).await;
    assert_eq!(ben.expect_success(keyed("r", "ben", "k")).await["seq"], 2);
    assert_eq!(
        ann.expect_success(keyed("other", "elsewhere", "k")).await["seq"],
        1
    );
    for near in ["K", "k ", " k", "ｋ"] {
        let sent = ann.expect_success(keyed("r", "near", near)).await;
        assert_eq!(sent["key"], near);
    }
    assert_eq!(ann.send("r", "last").await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_still_known_after_a_reconnect() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let first = ann.expect_success(keyed("r", "once", "k")).await;
    // Within the grace period, and long after it.
    for away in [1, 60] {
        ann.end().abort();
        pass(secs(away)).await;
        ann.reconnect(&chat);
        ann.hello().await;
        ann.rejoin("r").await;
        assert_eq!(
            position(&ann.expect_success(keyed("r", "once", "k")).await),
            position(&first)
        );
    }
    let page = ann
        .expect_success(json!({"type": "history", "room": "r"}))
        .await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_sent_at_once_over_two_connections_makes_one_message() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let token = ann.token().to_owned();
    let mut twin = Client::connect(&chat);
    twin.expect_success(json!({"type": "hello", "token": token}))
        .await;
    twin.join("r").await;
    ann.share_key("r", "k");
    twin.share_key("r", "k");
    let mut ids = Vec::new();
    for _ in 0..25 {
        ids.push((
            ann.command(keyed("r", "x", "k")),
            twin.command(keyed("r", "x", "k")),
        ));
    }
    for (one, other) in ids {
        assert_eq!(ann.reply(one).await.unwrap()["seq"], 1);
        assert_eq!(twin.reply(other).await.unwrap()["seq"], 1);
    }
    assert_eq!(only(&ann.until_idle().await, "message").len(), 1);
    assert_eq!(only(&twin.until_idle().await, "message").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_remembered_exactly_as_long_as_its_message() {
    let chat = chat_with(|limits| limits.log_events = 5);
    let mut ann = member(&chat, "r", "Ann").await;
    ann.expect_success(keyed("r", "x", "k")).await;
    for _ in 0..4 {
        ann.send("r", "other").await;
    }
    assert_eq!(ann.expect_success(keyed("r", "x", "k")).await["seq"], 1);
    ann.send("r", "one too many").await;
    assert_eq!(ann.expect_success(keyed("r", "x", "k")).await["seq"], 7);
}

#[tokio::test(start_paused = true)]
async fn a_refused_send_does_not_use_up_its_key() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    assert_eq!(ann.expect_error(keyed("r", " ", "k")).await, "empty_text");
    assert_eq!(ann.expect_success(keyed("r", "x", "k")).await["seq"], 1);
    let long = "é".repeat(64);
    ann.expect_success(keyed("r", "x", &long)).await;
    for bad in [String::new(), "é".repeat(65)] {
        assert_eq!(ann.expect_error(keyed("r", "x", &bad)).await, "bad_command");
    }
}
