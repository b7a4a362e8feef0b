//! A new connection while the old one still looks alive, as from Wi-Fi to mobile: both are the member.

mod common;

use chat_core::Create;
use chat_memory::{Client, Ledger};
use common::*;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn it_takes_over_in_a_full_room_and_nobody_sees_it_flicker() {
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
    // The network is gone, and neither end knows.
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

    // The old one is found dead, its grace goes by, and the member is here all the time.
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
async fn what_both_send_and_hear_is_one_order() {
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
    // One of them leaves: the other stays in.
    old.expect_success(json!({"type": "leave", "room": "r"}))
        .await;
    new.send("r", "in").await;
}
