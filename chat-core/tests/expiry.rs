//! How rooms end: by expiry, by the host, or by being empty.

mod common;

use chat_core::Create;
use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

fn join(room: &str) -> Value {
    json!({"type": "join", "room": room})
}

fn short_lived() -> Create {
    Create::default().ttl(secs(30))
}

#[tokio::test(start_paused = true)]
async fn members_receive_every_message_and_then_the_end_of_the_room() {
    let chat = chat();
    room(&chat, "r", short_lived()).await;
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = Client::connect_with(&chat, 0, chat_memory::Ledger::default());
    assert_eq!(ben.join("r").await["room"]["expires_at"], START + 30_000);
    ben.end().stall();
    pass(ms(29_990)).await;
    for n in 0..5 {
        ann.send("r", &n.to_string()).await;
    }
    pass(ms(10)).await;
    let heard = ann.until_idle().await;
    assert_eq!(heard.last().unwrap()["type"], "removed");
    assert_eq!(heard.last().unwrap()["reason"], "expired");
    ben.end().resume();
    for n in 0..5 {
        assert_eq!(ben.event("message").await["text"], n.to_string());
    }
    assert_eq!(ben.event("removed").await["reason"], "expired");
    // The connection stays open and can join other rooms.
    ben.join("other").await;
    ben.send("other", "here").await;
    let send = json!({"type": "send", "room": "r", "text": "x"});
    assert_eq!(ann.expect_error(send).await, "not_joined");
}

#[tokio::test(start_paused = true)]
async fn the_id_of_an_ended_room_is_refused_for_a_while_and_then_free() {
    let chat = chat_with(|limits| limits.ended_for = secs(100));
    room(&chat, "r", short_lived()).await;
    let mut ann = Client::connect(&chat);
    let first = ann.join("r").await["epoch"].clone();
    pass(secs(30)).await;
    ann.event("removed").await;
    let create = json!({"type": "create", "room": "r"});
    assert_eq!(ann.expect_error(join("r")).await, "room_expired");
    assert_eq!(ann.expect_error(create.clone()).await, "room_expired");
    assert!(host(&chat, "r").announce("x").await.is_err());
    pass(ms(99_990)).await;
    assert_eq!(ann.expect_error(join("r")).await, "room_expired");
    pass(ms(20)).await;
    ann.expect_success(create).await;
    assert_ne!(ann.join("r").await["epoch"], first);
}

#[tokio::test(start_paused = true)]
async fn a_position_from_before_the_room_ended_is_not_recovered_after_it_is_made_again() {
    let chat = chat_with(|limits| limits.ended_for = secs(1));
    room(&chat, "r", short_lived()).await;
    let mut ann = member(&chat, "r", "Ann").await;
    ann.send("r", "in the first life").await;
    pass(secs(40)).await;
    ann.until_idle().await;
    let mut ben = member(&chat, "r", "Ben").await;
    ben.send("r", "in the second").await;
    let joined = ann.rejoin("r").await;
    assert_eq!(joined["recovered"], false);
    assert_eq!(
        each(joined["messages"].as_array().unwrap(), "text"),
        ["in the second"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_number_of_remembered_ended_rooms_is_bounded() {
    let chat = chat_with(|limits| limits.ended_rooms = 10);
    for n in 0..20 {
        room(&chat, &format!("r{n}"), short_lived()).await;
        pass(ms(1)).await;
    }
    pass(secs(31)).await;
    assert_eq!(chat.stats().rooms, 0);
    let mut ann = Client::connect(&chat);
    let mut remembered = Vec::new();
    for n in 0..20 {
        let reply = ann.request(join(&format!("r{n}"))).await;
        remembered.push(reply["code"] == "room_expired");
    }
    assert_eq!(remembered, [[false; 10], [true; 10]].concat());
}

#[tokio::test(start_paused = true)]
async fn the_host_can_close_a_room() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.send("r", "last words").await;
    host(&chat, "r").close(Some("tidying up")).await.unwrap();
    let heard = ann.until_idle().await;
    let removed = heard.last().unwrap();
    assert_eq!(
        (&removed["reason"], &removed["text"]),
        (&json!("closed"), &json!("tidying up"))
    );
    assert_eq!(only(&heard, "message").len(), 1);
    assert_eq!(ann.expect_error(join("r")).await, "room_expired");
    assert!(host(&chat, "r").close(None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_empty_room_without_a_ttl_is_forgotten_and_its_id_becomes_free() {
    let chat = chat_with(|limits| limits.room_idle = secs(60));
    room(&chat, "r", Create::default().ttl(ms(0))).await;
    let mut ann = Client::connect(&chat);
    let first = ann.join("r").await["epoch"].clone();
    pass(secs(600)).await;
    assert_eq!(chat.stats().rooms, 1);
    ann.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    pass(secs(59)).await;
    assert_eq!(chat.stats().rooms, 1);
    pass(secs(2)).await;
    assert_eq!(chat.stats().rooms, 0);
    assert_ne!(ann.join("r").await["epoch"], first);
    // A room that the host ensured is kept even when it is empty.
    let kept = chat.ensure_room("kept").await.unwrap();
    kept.announce("hello").await.unwrap();
    pass(secs(6000)).await;
    assert!(host(&chat, "kept").info().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_send_that_races_the_end_of_its_room_is_acknowledged_and_delivered_or_neither() {
    for early in 0..4 {
        let chat = chat();
        room(&chat, "r", short_lived()).await;
        let mut ann = member(&chat, "r", "Ann").await;
        let mut ben = member(&chat, "r", "Ben").await;
        pass(ms(30_000 - early)).await;
        let id = ann.command(json!({"type": "send", "room": "r", "text": "x"}));
        let sent = ann.reply(id).await.unwrap()["type"] == "sent";
        pass(ms(10)).await;
        assert_eq!(
            only(&ben.until_idle().await, "message").len(),
            usize::from(sent),
            "{early}"
        );
        let ends = only(&ann.until_idle().await, "removed").len();
        assert_eq!((ends, ann.views().len()), (1, 0));
    }
}
