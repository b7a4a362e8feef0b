//! A new connection while the old one still looks alive, as when a phone moves from Wi-Fi to mobile
//! data. Both belong to the same member.

mod common;

use chat_core::Create;
use chat_memory::{Client, Ledger};
use common::*;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_new_connection_takes_over_in_a_full_room_without_a_visible_leave() {
    let chat = chat();
    let create = Create::default().capacity(2);
    room(&chat, "r", create).await;
    let mut ann = member(&chat, "r", "Ann").await;
    let mut old = Client::connect_with(&chat, 0, Ledger::default());
    old.expect_success(json!({"type": "join", "room": "r", "nickname": "Ben"}))
        .await;
    pass(secs(1)).await;
    ann.until_idle().await;
    old.until_idle().await;
    // The network is lost, and neither end knows.
    old.end().stall();
    ann.send("r", "one").await;
    ann.send("r", "two").await;

    let mut new = Client::connect(&chat);
    new.expect_success(json!({"type": "hello", "token": old.token()}))
        .await;
    let (epoch, seq) = old.position("r").unwrap();
    let since = json!({"epoch": epoch, "seq": seq});
    let joined = new
        .expect_success(json!({"type": "join", "room": "r", "since": since}))
        .await;
    assert_eq!(
        (&joined["recovered"], &joined["you"]),
        (
            &json!(true),
            &json!({"id": old.view("r").me, "nickname": "Ben"})
        )
    );
    let heard = only(&new.until_idle().await, "message");
    assert_eq!(each(&heard, "text"), ["one", "two"]);

    // The old connection is found dead and its grace period passes, but the member never leaves.
    assert_eq!(chat.stats().connections, 3);
    pass(secs(10)).await;
    assert_eq!(chat.stats().connections, 2);
    pass(secs(60)).await;
    new.send("r", "still here").await;
    let heard = ann.until_idle().await;
    assert!(only(&heard, "presence").is_empty(), "{heard:?}");
    assert_eq!(
        heard.last().unwrap()["from"]["id"],
        old.view("r").me.as_str()
    );
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 2);
}

#[tokio::test(start_paused = true)]
async fn both_connections_of_a_member_receive_messages_in_one_order() {
    let chat = chat();
    let ledger = Ledger::default();
    let mut old = Client::connect_with(&chat, usize::MAX, ledger.clone());
    old.join("r").await;
    let mut new = Client::connect_with(&chat, usize::MAX, ledger);
    new.expect_success(json!({"type": "hello", "token": old.token()}))
        .await;
    new.join("r").await;
    for n in 0..10 {
        old.send("r", &format!("old {n}")).await;
        new.send("r", &format!("new {n}")).await;
    }
    let [one, other] =
        [old.until_idle().await, new.until_idle().await].map(|heard| only(&heard, "message"));
    assert_eq!(one.len(), 20);
    assert_eq!(one, other);
    // When one connection leaves, the other stays in the room.
    old.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    new.send("r", "in").await;
}
