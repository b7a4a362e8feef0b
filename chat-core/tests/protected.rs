//! A room with a password never comes back without one.

mod common;

use chat_core::{Chat, Create};
use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

fn join(room: &str) -> Value {
    json!({"type": "join", "room": room})
}

/// Makes a room with a password under an id of the server's own, and ends it.
async fn ended(chat: &Chat) -> String {
    let create = Create::default().password("sesame");
    let room = chat.create(create, None).await.unwrap().id.to_string();
    host(chat, &room).close(None).await.unwrap();
    room
}

#[tokio::test(start_paused = true)]
async fn a_join_with_a_password_makes_no_room() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    for password in ["sesame", ""] {
        let mut join = join("r");
        join["password"] = json!(password);
        assert_eq!(ann.expect_error(join).await, "room_not_found");
    }
    assert_eq!(chat.stats().rooms, 0);
    // Null is the same as absent.
    ann.expect_success(json!({"type": "join", "room": "r", "password": null}))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_join_that_must_find_its_room_makes_none() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    let must_exist = json!({"type": "join", "room": "r", "create": false});
    assert_eq!(ann.expect_error(must_exist.clone()).await, "room_not_found");
    assert_eq!(chat.stats().rooms, 0);
    let mut ben = Client::connect(&chat);
    ben.expect_success(json!({"type": "join", "room": "r", "create": true}))
        .await;
    ann.expect_success(must_exist).await;
}

#[tokio::test(start_paused = true)]
async fn an_id_made_for_a_room_with_a_password_is_never_made_by_joining() {
    let first = chat();
    let room = ended(&first).await;
    let mut ann = Client::connect(&first);
    assert_eq!(ann.expect_error(join(&room)).await, "room_expired");
    // Its end is forgotten after an hour.
    pass(secs(3601)).await;
    assert_eq!(ann.expect_error(join(&room)).await, "room_not_found");
    // Nor does a server that has never seen it make it, whatever its secret.
    let second = builder().seed(2).secret("another secret").build();
    let mut ann = Client::connect(&second);
    assert_eq!(ann.expect_error(join(&room)).await, "room_not_found");
    assert_eq!((first.stats().rooms, second.stats().rooms), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_room_with_a_password_that_nobody_is_in_is_forgotten_for_good() {
    let chat = chat_with(|limits| limits.room_idle = secs(60));
    let create = Create::default().password("sesame").ttl(secs(0));
    let room = chat.create(create, None).await.unwrap().id.to_string();
    pass(secs(61)).await;
    assert_eq!(chat.stats().rooms, 0);
    let mut ann = Client::connect(&chat);
    assert_eq!(ann.expect_error(join(&room)).await, "room_not_found");
    assert_eq!(chat.stats().rooms, 0);
}

#[tokio::test(start_paused = true)]
async fn such_an_id_is_made_again_with_a_password_only() {
    let first = chat();
    let room = ended(&first).await;
    let second = builder().seed(2).build();
    let mut ann = Client::connect(&second);
    for password in [json!(null), json!("")] {
        let create = json!({"type": "create", "room": room, "password": password});
        assert_eq!(ann.expect_error(create).await, "forbidden");
    }
    let refused = second.ensure_room(&room).await.unwrap_err();
    assert_eq!(refused.code, chat_core::Code::Forbidden);
    let create = json!({"type": "create", "room": room, "password": "sesame"});
    assert_eq!(
        ann.expect_success(create).await["room"]["has_password"],
        true
    );
}

#[tokio::test(start_paused = true)]
async fn rooms_without_a_password_come_to_be_again() {
    let first = chat();
    let made = first.create(Create::default(), None).await.unwrap();
    let second = builder().seed(2).build();
    let mut ann = Client::connect(&second);
    for room in [made.id.as_str(), "lobby"] {
        let mut back = join(room);
        back["since"] = json!({"epoch": "0123456789abcdef", "seq": 7});
        let joined = ann.expect_success(back).await;
        assert_eq!(
            (&joined["recovered"], &joined["seq"]),
            (&json!(false), &json!(0))
        );
    }
}
