//! Recovery after a reconnect: every case of a position that a client may come back with.

mod common;

use chat_core::{Chat, Create, HistoryFrom};
use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

/// Joins with a position over a new connection with the old token.
async fn rejoin_from(client: &mut Client, chat: &Chat, epoch: &str, seq: u64) -> Value {
    client.end().abort();
    client.reconnect(chat);
    client.hello().await;
    let since = json!({"epoch": epoch, "seq": seq});
    client
        .expect_success(json!({"type": "join", "room": "r", "since": since}))
        .await
}

async fn message_texts(client: &mut Client) -> Vec<String> {
    let heard = only(&client.until_idle().await, "message");
    heard
        .iter()
        .map(|message| message["text"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn missed_messages_arrive_once_in_order_and_before_newer_ones() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = member(&chat, "r", "Ben").await;
    let seq = ann.send("r", "seen").await;
    ben.event("message").await;
    ben.end().abort();
    ann.send("r", "one").await;
    host(&chat, "r").announce("two").await.unwrap();
    let epoch = ann.view("r").epoch.clone();
    let joined = rejoin_from(&mut ben, &chat, &epoch, seq).await;
    assert_eq!(
        (&joined["recovered"], &joined["messages"], &joined["seq"]),
        (&json!(true), &json!([]), &json!(3))
    );
    ann.send("r", "three").await;
    let heard = ben.until_idle().await;
    let said: Vec<&Value> = heard
        .iter()
        .filter(|event| event.get("seq").is_some())
        .collect();
    let said: Vec<_> = said
        .iter()
        .map(|event| (&event["type"], &event["text"]))
        .collect();
    assert_eq!(
        said,
        [
            (&json!("message"), &json!("one")),
            (&json!("notice"), &json!("two")),
            (&json!("message"), &json!("three"))
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn recovery_succeeds_even_if_nothing_was_missed() {
    let chat = chat();
    let mut ben = Client::connect(&chat);
    let joined = ben.join("r").await;
    let epoch = joined["epoch"].as_str().unwrap().to_owned();
    assert_eq!(joined["seq"], 0);
    // Before any message was sent, and again afterwards, twice in a row.
    for said in ["one", "two"] {
        let at = ben.view("r").seq;
        let joined = rejoin_from(&mut ben, &chat, &epoch, at).await;
        assert_eq!(joined["recovered"], true, "{joined}");
        assert!(message_texts(&mut ben).await.is_empty());
        ben.send("r", said).await;
        assert_eq!(message_texts(&mut ben).await, [said]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_quiet_for_a_long_time_is_recovered() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = Client::connect(&chat);
    let joined = ben.join("r").await;
    pass(secs(3600)).await;
    ben.end().abort();
    pass(secs(3600)).await;
    ann.send("r", "hi").await;
    let epoch = joined["epoch"].as_str().unwrap().to_owned();
    assert_eq!(
        rejoin_from(&mut ben, &chat, &epoch, 0).await["recovered"],
        true
    );
    assert_eq!(message_texts(&mut ben).await, ["hi"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_from_another_epoch_or_the_future_is_not_recovered() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    for n in 1..=60 {
        ann.send("r", &n.to_string()).await;
    }
    let epoch = ann.view("r").epoch.clone();
    let mut ben = Client::connect(&chat);
    ben.join("r").await;
    for (epoch, seq) in [
        ("", 3),
        ("0123456789abcdef", 3),
        (&epoch, 61),
        (&epoch, (1 << 53) - 1),
    ] {
        let joined = rejoin_from(&mut ben, &chat, epoch, seq).await;
        assert_eq!(joined["recovered"], false, "{epoch} {seq}");
        let recent = joined["messages"].as_array().unwrap();
        assert_eq!((recent.len(), &recent[49]["seq"]), (50, &json!(60)));
        assert!(message_texts(&mut ben).await.is_empty());
    }
    // Another room has another epoch.
    let other = ann.join("other").await["epoch"].clone();
    assert_ne!(other, epoch);
}

#[tokio::test(start_paused = true)]
async fn recovery_reaches_back_exactly_to_the_oldest_retained_message() {
    let chat = chat_with(|limits| limits.log_events = 10);
    let mut ann = member(&chat, "r", "Ann").await;
    for n in 1..=25 {
        ann.send("r", &n.to_string()).await;
    }
    let epoch = ann.view("r").epoch.clone();
    let mut ben = Client::connect(&chat);
    ben.join("r").await;
    // Messages 16 to 25 are retained, so a client that saw 15 misses nothing.
    assert_eq!(
        rejoin_from(&mut ben, &chat, &epoch, 15).await["recovered"],
        true
    );
    let all: Vec<String> = (16..=25).map(|n| n.to_string()).collect();
    assert_eq!(message_texts(&mut ben).await, all);
    let joined = rejoin_from(&mut ben, &chat, &epoch, 14).await;
    assert_eq!(joined["recovered"], false);
    assert_eq!(joined["messages"].as_array().unwrap().len(), 10);
    assert!(
        message_texts(&mut ben).await.is_empty(),
        "a part of the gap must not be delivered"
    );
}

#[tokio::test(start_paused = true)]
async fn a_join_without_recovery_returns_as_much_history_as_requested() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    for n in 1..=120 {
        ann.send("r", &n.to_string()).await;
    }
    let count = |joined: &Value| joined["messages"].as_array().unwrap().len();
    for (asked, told) in [
        (Value::Null, 0),
        (json!(0), 0),
        (json!(7), 7),
        (json!(5000), 100),
    ] {
        let mut ben = Client::connect(&chat);
        let joined = ben
            .expect_success(json!({"type": "join", "room": "r", "history": asked}))
            .await;
        assert_eq!(count(&joined), told, "{asked}");
        assert_eq!(joined["recovered"], false);
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_with_history_from_join_shows_nothing_from_before_the_first_join() {
    let chat = chat();
    let create = Create::default().history_from(HistoryFrom::Join);
    room(&chat, "r", create).await;
    let mut ann = member(&chat, "r", "Ann").await;
    ann.send("r", "secret").await;
    let epoch = ann.view("r").epoch.clone();
    let mut ben = Client::connect(&chat);
    let since = json!({"epoch": epoch, "seq": 0});
    let joined = ben
        .expect_success(json!({"type": "join", "room": "r", "since": since, "history": 50}))
        .await;
    assert_eq!(
        (&joined["recovered"], &joined["messages"]),
        (&json!(false), &json!([]))
    );
    ann.send("r", "for both").await;
    let page = ben
        .expect_success(json!({"type": "history", "room": "r"}))
        .await;
    assert_eq!(
        each(page["messages"].as_array().unwrap(), "text"),
        ["for both"]
    );
    assert_eq!(page["more"], false);
    // Ben may read what was sent while they were away, because their first join counts.
    ben.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    ann.send("r", "meanwhile").await;
    assert_eq!(
        rejoin_from(&mut ben, &chat, &epoch, 0).await["recovered"],
        false
    );
    let joined = rejoin_from(&mut ben, &chat, &epoch, 1).await;
    assert_eq!(joined["recovered"], true);
    assert_eq!(message_texts(&mut ben).await, ["for both", "meanwhile"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_from_one_room_reveals_nothing_of_another() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.join("secret").await;
    ann.send("secret", "x").await;
    let secret = ann.view("secret").epoch.clone();
    let mut ben = Client::connect(&chat);
    ben.hello().await;
    assert_eq!(
        rejoin_from(&mut ben, &chat, &secret, 0).await["recovered"],
        false
    );
    assert!(message_texts(&mut ben).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_position_whose_seq_is_invalid_is_refused() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.send("r", "x").await;
    let epoch = ann.view("r").epoch.clone();
    let mut eve = Client::connect(&chat);
    for seq in [
        json!(-1),
        json!(1u64 << 63),
        json!(u64::MAX),
        json!(0.5),
        json!("0"),
        Value::Null,
    ] {
        let since = json!({"epoch": epoch, "seq": seq});
        let join = json!({"type": "join", "room": "r", "since": since});
        assert_eq!(eve.expect_error(join).await, "bad_command", "{seq}");
        eve.expect_success(json!({"type": "ping"})).await;
    }
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 1);
}
