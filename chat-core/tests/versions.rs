//! Clients of another version: what they add is ignored, and what they leave out is not required.

mod common;

use chat_memory::Client;
use common::*;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn fields_from_a_later_version_are_ignored() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    let later = json!({"new": [1, {"deep": null}], "protocol": 2});
    for mut command in [
        json!({"type": "hello", "nickname": "Ann"}),
        json!({"type": "create", "room": "r"}),
        json!({"type": "join", "room": "r"}),
        json!({"type": "send", "room": "r", "text": "x"}),
        json!({"type": "history", "room": "r"}),
        json!({"type": "members", "room": "r"}),
        json!({"type": "nickname", "nickname": "Anna"}),
        json!({"type": "typing", "room": "r", "active": true}),
        json!({"type": "rooms"}),
        json!({"type": "ping"}),
        json!({"type": "leave", "room": "r"}),
    ] {
        let more = later.as_object().unwrap().clone();
        command.as_object_mut().unwrap().extend(more);
        ann.expect_success(command).await;
    }
}

#[tokio::test(start_paused = true)]
async fn commands_from_a_later_version_are_refused_and_the_connection_stays_open() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    for _ in 0..30 {
        assert_eq!(
            ann.expect_error(json!({"type": "react", "room": "r", "seq": 1}))
                .await,
            "bad_command"
        );
        ann.send("r", "x").await;
    }
    assert_eq!(ann.close_code(), None);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_hello_and_without_command_ids_is_served() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    ann.send_raw(r#"{"type":"rooms"}"#);
    let heard = ann.end().recv().await;
    assert!(format!("{heard:?}").contains("welcome"), "{heard:?}");
    let heard = ann.end().recv().await;
    assert!(format!("{heard:?}").contains("rooms"), "{heard:?}");
}
