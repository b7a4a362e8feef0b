//! Commands that race each other: every outcome is that of some order of them.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_core::{Create, MemberId};
use chat_memory::{Client, Ledger};
use common::*;
use serde_json::{Value, json};

/// The codes or types of the replies to commands that are sent together.
async fn outcomes(client: &mut Client, commands: &[Value]) -> Vec<Value> {
    let ids: Vec<u64> = commands
        .iter()
        .map(|command| client.command(command.clone()))
        .collect();
    let mut told = Vec::new();
    for id in ids {
        let reply = client.reply(id).await.unwrap();
        told.push(reply.get("code").unwrap_or(&reply["type"]).clone());
    }
    told
}

#[tokio::test(start_paused = true)]
async fn commands_sent_together_run_one_after_another() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let mut ben = Client::connect(&chat);
    let (join, leave) = (
        json!({"type": "join", "room": "r"}),
        json!({"type": "leave", "room": "r"}),
    );
    let send = json!({"type": "send", "room": "r", "text": "x"});
    let hello = json!({"type": "hello"});
    let name = |nickname: &str| json!({"type": "nickname", "nickname": nickname});
    let commands = [
        hello.clone(),
        hello,
        send.clone(),
        join.clone(),
        name("Ann"),
        name("Ben"),
        leave.clone(),
        send.clone(),
        join.clone(),
        join,
        send,
        name("Benny"),
    ];
    let expected = [
        "welcome",
        "already_identified",
        "not_joined",
        "joined",
        "nickname_taken",
        "renamed",
        "left",
        "not_joined",
        "joined",
        "already_joined",
        "sent",
        "renamed",
    ];
    assert_eq!(outcomes(&mut ben, &commands).await, expected);
    pass(secs(1)).await;
    let heard = ann.until_idle().await;
    assert_eq!(only(&heard, "message").len(), 1);
    assert_eq!(only(&heard, "message")[0]["from"]["nickname"], "Ben");
    let names: BTreeSet<&String> = ann.view("r").members.values().collect();
    assert_eq!(
        names,
        BTreeSet::from([&"Ann".to_owned(), &"Benny".to_owned()])
    );
    ben.end().abort();
    pass(secs(20)).await;
    assert_eq!(
        host(&chat, "r").info().await.unwrap().count,
        1,
        "the lost connection must not leave a seat behind"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_kick_and_concurrent_sends_have_one_order() {
    let chat = Arc::new(chat());
    let ledger = Ledger::default();
    let mut witness = Client::connect_with(&chat, usize::MAX, ledger.clone());
    witness.join("r").await;
    let (mut said, mut refused) = (Vec::new(), 0);
    for round in 0..200 {
        let mut ann = Client::connect_with(&chat, usize::MAX, ledger.clone());
        ann.join("r").await;
        let id = MemberId::parse(&ann.view("r").me).unwrap();
        let kick = {
            let chat = Arc::clone(&chat);
            tokio::spawn(async move { host(&chat, "r").kick(id, None).await.unwrap() })
        };
        let sends: Vec<u64> = (0..20)
            .map(|n| {
                ann.command(json!({"type": "send", "room": "r", "text": format!("{round} {n}")}))
            })
            .collect();
        assert!(kick.await.unwrap());
        let mut out = false;
        for (n, id) in sends.into_iter().enumerate() {
            let reply = ann.reply(id).await.unwrap();
            if reply["type"] == "sent" {
                assert!(!out, "a message was acknowledged after a refusal");
                said.push(format!("{round} {n}"));
            } else {
                assert_eq!(reply["code"], "not_joined");
                (out, refused) = (true, refused + 1);
            }
        }
        // Nothing follows `removed`: the client would report an event of a room that it is not in.
        ann.event("removed").await;
        ann.expect_success(json!({"type": "ping"})).await;
    }
    // `info` counts the seats themselves, while `members` is as of the last presence event.
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 1);
    let last = witness.send("r", "last").await;
    let mut heard = Vec::new();
    loop {
        let message = witness.event("message").await;
        if message["seq"] == last {
            break;
        }
        heard.push(message["text"].as_str().unwrap().to_owned());
    }
    assert_eq!(heard, said, "{refused} messages were refused");
}

#[tokio::test(start_paused = true)]
async fn a_join_that_races_the_end_of_its_room_succeeds_and_is_removed_or_is_refused() {
    let mut outcomes = BTreeSet::new();
    for early in 0..4 {
        let chat = chat();
        let create = Create::default().ttl(secs(30));
        room(&chat, "r", create).await;
        let mut ann = Client::connect(&chat);
        ann.hello().await;
        pass(ms(30_001 - early)).await;
        let reply = ann.request(json!({"type": "join", "room": "r"})).await;
        let joined = reply["type"] == "joined";
        assert!(joined || reply["code"] == "room_expired", "{reply}");
        pass(ms(10)).await;
        let removed = only(&ann.until_idle().await, "removed").len();
        assert_eq!(removed, usize::from(joined), "{early}");
        outcomes.insert(joined);
    }
    assert_eq!(outcomes.len(), 2, "the race must have both outcomes");
}

#[tokio::test(start_paused = true)]
async fn messages_sent_before_a_leave_arrive_before_left() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.until_idle().await;
    host(&chat, "r").announce("before").await.unwrap();
    ann.command(json!({"type": "send", "room": "r", "text": "bye"}));
    ann.command(json!({"type": "leave", "room": "r"}));
    host(&chat, "r").announce("meanwhile").await.unwrap();
    let heard = ann.until_idle().await;
    let heard: Vec<_> = heard
        .iter()
        .map(|event| event["text"].as_str().or(event["type"].as_str()).unwrap())
        .collect();
    assert_eq!(heard, ["sent", "before", "meanwhile", "bye", "left"]);
}
