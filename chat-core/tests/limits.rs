//! Limits on what a client, an address or an identity may do.

mod common;

use chat_core::{AdmitError, Limits, Quota};
use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

fn ping() -> Value {
    json!({"type": "ping"})
}

#[tokio::test(start_paused = true)]
async fn too_many_commands_are_refused_with_the_time_to_wait() {
    let chat = chat_with(|limits| {
        limits.commands = Quota {
            burst: 10,
            interval: ms(100),
        }
    });
    let mut ann = Client::connect(&chat);
    for _ in 0..10 {
        ann.expect_success(ping()).await;
    }
    let refusal = ann.request(ping()).await;
    assert_eq!(
        (&refusal["code"], &refusal["retry_after_ms"]),
        (&json!("rate_limited"), &json!(100))
    );
    pass(ms(99)).await;
    assert_eq!(ann.expect_error(ping()).await, "rate_limited");
    pass(ms(1)).await;
    ann.expect_success(ping()).await;
    // Every other client has its own quota.
    Client::connect(&chat).expect_success(ping()).await;
}

#[tokio::test(start_paused = true)]
async fn commands_that_make_more_work_use_up_more_of_the_quota() {
    let chat = chat_with(|limits| {
        limits.commands = Quota {
            burst: 10,
            interval: secs(1),
        }
    });
    for (command, fit) in [
        (json!({"type": "ping"}), 10),
        (json!({"type": "rooms"}), 5),
        (json!({"type": "history", "room": "r"}), 5),
        (json!({"type": "members", "room": "r"}), 5),
        (json!({"type": "join", "room": "r"}), 2),
        (json!({"type": "nickname", "nickname": "Ann"}), 2),
        (json!({"type": "create"}), 1),
    ] {
        let mut ann = Client::connect(&chat);
        for n in 0..=fit {
            let reply = ann.request(command.clone()).await;
            assert_eq!(reply["code"] == "rate_limited", n == fit, "{n}: {command}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_by_any_rate_limit_count_together() {
    let chat = chat_with(|limits| limits.rooms_per_identity = Quota::per(1, secs(3600)));
    let (mut ann, mut ben) = (Client::connect(&chat), Client::connect(&chat));
    ann.expect_success(json!({"type": "create"})).await;
    ben.expect_success(json!({"type": "create"})).await;
    for n in 0..150 {
        ann.send_raw(r#"{"type":"create"}"#);
        ben.send_raw(r#"{"type":"create"}"#);
        if n == 75 {
            ben.send_raw(r#"{"type":"ping"}"#);
        }
    }
    assert_eq!(only(&ann.until_idle().await, "error").len(), 100);
    assert_eq!(ann.close_code(), Some(4004));
    assert_eq!(only(&ben.until_idle().await, "error").len(), 150);
    assert_eq!(ben.close_code(), None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_exceeding_its_rate_is_disconnected() {
    let chat = chat_with(|limits| {
        limits.commands = Quota {
            burst: 5,
            interval: secs(10),
        }
    });
    let mut ann = Client::connect(&chat);
    for _ in 0..200 {
        ann.send_raw(r#"{"type":"ping"}"#);
    }
    let heard = ann.until_idle().await;
    assert_eq!(
        (only(&heard, "pong").len(), only(&heard, "error").len()),
        (5, 100)
    );
    assert_eq!(ann.close_code(), Some(4004));
    // A client that waits in between is not disconnected.
    let mut ben = Client::connect(&chat);
    for _ in 0..10 {
        for _ in 0..50 {
            ben.send_raw(r#"{"type":"ping"}"#);
        }
        pass(secs(10)).await;
    }
    ben.until_idle().await;
    assert_eq!(ben.close_code(), None);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limited_send_is_not_delivered_and_its_key_may_be_used_again() {
    let chat = chat_with(|limits| {
        limits.commands = Quota {
            burst: 6,
            interval: ms(100),
        }
    });
    let mut ann = member(&chat, "r", "Ann").await;
    let send = |n: u32| {
        json!({
            "type": "send", "room": "r", "text": format!("{n}"), "key": format!("{n}"),
        })
    };
    ann.expect_success(send(1)).await;
    assert_eq!(ann.expect_error(send(2)).await, "rate_limited");
    pass(ms(100)).await;
    assert_eq!(ann.expect_success(send(2)).await["seq"], 2);
    assert_eq!(only(&ann.until_idle().await, "message").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_rooms_of_one_connection_are_limited() {
    let chat = chat_with(|limits| limits.rooms_per_connection = 3);
    let mut ann = Client::connect(&chat);
    let join = |n: u32| json!({"type": "join", "room": format!("r{n}")});
    for n in 0..3 {
        ann.expect_success(join(n)).await;
    }
    assert_eq!(ann.expect_error(join(3)).await, "too_many_rooms");
    assert_eq!(ann.expect_error(join(0)).await, "already_joined");
    ann.expect_success(json!({"type": "leave", "room": "r1"}))
        .await;
    ann.expect_success(join(3)).await;
    host(&chat, "r0").close(None).await.unwrap();
    ann.event("removed").await;
    ann.expect_success(join(4)).await;
}

#[tokio::test(start_paused = true)]
async fn rooms_are_limited_per_identity_and_in_total() {
    let chat = chat_with(|limits| {
        limits.rooms_per_identity = Quota::per(2, secs(60));
        limits.rooms = 3;
    });
    let create = json!({"type": "create"});
    let mut ann = Client::connect(&chat);
    ann.expect_success(create.clone()).await;
    ann.join("open").await;
    assert_eq!(ann.expect_error(create.clone()).await, "rate_limited");
    assert_eq!(
        ann.expect_error(json!({"type": "join", "room": "open2"}))
            .await,
        "rate_limited"
    );
    // Joining a room that exists makes no room.
    let mut ben = Client::connect(&chat);
    ben.join("open").await;
    ben.expect_success(create.clone()).await;
    assert_eq!(ben.expect_error(create).await, "unavailable");
    assert_eq!(chat.stats().rooms, 3);
}

#[tokio::test(start_paused = true)]
async fn rooms_made_from_one_address_are_limited_across_identities() {
    let limits = Limits::default().rooms_per_address(Quota::per(50, secs(3600)));
    let chat = builder().limits(limits).build();
    let create = json!({"type": "create"});
    let (mut made, mut refused) = (0, 0);
    for n in 0..100 {
        let mut eve = client_from(&chat, &format!("2001:db8::{n:x}"));
        let reply = eve.request(create.clone()).await;
        match reply["type"].as_str() {
            Some("created") => made += 1,
            _ => {
                assert_eq!(reply["code"], "rate_limited");
                refused += 1;
            }
        }
    }
    assert_eq!((made, refused, chat.stats().rooms), (50, 50, 50));
    let mut ann = client_from(&chat, "2001:db8:0:1::");
    ann.expect_success(create).await;
}

#[tokio::test(start_paused = true)]
async fn new_identities_per_address_are_limited_and_returning_ones_are_not() {
    let chat = builder().limits(Limits::default()).build();
    let hello = json!({"type": "hello"});
    // Two hundred users share one address.
    for _ in 0..200 {
        let mut ann = client_from(&chat, "192.0.2.1");
        ann.expect_success(hello.clone()).await;
        ann.join("r").await;
    }
    let mut refused = 0;
    let mut known = client_from(&chat, "192.0.2.1");
    known.expect_success(hello.clone()).await;
    for _ in 0..2500 {
        let mut eve = client_from(&chat, "192.0.2.1");
        let reply = eve.request(hello.clone()).await;
        if reply["type"] == "error" {
            assert_eq!(reply["code"], "rate_limited");
            assert!(reply["retry_after_ms"].as_u64().unwrap() > 0);
            refused += 1;
        }
    }
    assert_eq!(refused, 2500 + 201 - 2000);
    // A client with a token is not new, and another address has its own quota.
    let mut back = client_from(&chat, "192.0.2.1");
    back.expect_success(json!({"type": "hello", "token": known.token()}))
        .await;
    client_from(&chat, "192.0.2.2").expect_success(hello).await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_limited_in_total_and_per_address() {
    let limits = Limits::default().connections(3).connections_per_address(2);
    let chat = builder().limits(limits).build();
    let [one, other] = ["2001:db8:1:1::1", "2001:db8:1:1:ffff::2"].map(|addr| addr.parse().ok());
    let next_door = "2001:db8:1:2::1".parse().ok();
    let first = chat.admit(one).unwrap();
    let second = chat.admit(other).unwrap();
    assert!(
        matches!(chat.admit(one), Err(AdmitError::Address)),
        "a /64 must count as one address"
    );
    let third = chat.admit(next_door).unwrap();
    assert!(matches!(chat.admit(next_door), Err(AdmitError::Full)));
    drop(first);
    let again = chat.admit(one).unwrap();
    drop((second, third, again));
    assert_eq!(chat.stats().connections, 0);
}
