//! Invalid commands and the answers to them.

mod common;

use chat_core::CloseCode;
use chat_memory::Client;
use common::*;
use serde_json::{Value, json};

/// Sends the text unchanged and returns every answer.
async fn answers(client: &mut Client, text: &str) -> Vec<Value> {
    client.send_raw(text);
    client.until_idle().await
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_no_object_is_bad_json_and_the_connection_stays_open() {
    let chat = chat();
    for text in [
        "",
        "x",
        "[]",
        "null",
        "1",
        "\"ping\"",
        "{",
        "{}{}",
        "{\"type\":\"ping\"",
        "{'type':'ping'}",
        "\u{FEFF}{}",
    ] {
        let mut ann = Client::connect(&chat);
        let heard = answers(&mut ann, text).await;
        assert_eq!(each(&heard, "type"), ["welcome", "error"], "{text}");
        assert_eq!(
            (&heard[1]["code"], heard[1].get("id")),
            (&json!("bad_json"), None),
            "{text}"
        );
        assert_eq!(
            ann.expect_success(json!({"type": "ping"})).await["type"],
            "pong"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_command_is_refused_with_the_code_for_its_fault() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    for (command, code) in [
        (json!({}), "bad_command"),
        (json!({"type": null}), "bad_command"),
        (json!({"type": 1}), "bad_command"),
        (json!({"type": "dance"}), "bad_command"),
        (json!({"type": "Ping"}), "bad_command"),
        (json!({"type": "join"}), "bad_command"),
        (json!({"type": "join", "room": null}), "bad_command"),
        (json!({"type": "join", "room": 5}), "bad_command"),
        (
            json!({"type": "join", "room": "x", "history": -1}),
            "bad_command",
        ),
        (
            json!({"type": "join", "room": "x", "since": {"seq": 1}}),
            "bad_command",
        ),
        (
            json!({"type": "join", "room": "x", "since": {"epoch": 1, "seq": 1}}),
            "bad_command",
        ),
        (
            json!({"type": "join", "room": "x", "since": {"epoch": "e", "seq": 1u64 << 53}}),
            "bad_command",
        ),
        (json!({"type": "join", "room": ""}), "bad_room"),
        (json!({"type": "join", "room": "ü"}), "bad_room"),
        (json!({"type": "leave", "room": "a/b"}), "bad_room"),
        (json!({"type": "send", "room": "r"}), "bad_command"),
        (
            json!({"type": "send", "room": "r", "text": 5}),
            "bad_command",
        ),
        (
            json!({"type": "send", "room": "r", "text": "x", "reply_to": 0}),
            "bad_command",
        ),
        (
            json!({"type": "send", "room": "r", "text": "\u{7}"}),
            "bad_command",
        ),
        (
            json!({"type": "send", "room": "r", "text": "x\r\n"}),
            "bad_command",
        ),
        (
            json!({"type": "send", "room": "r", "text": "\u{200B} \n"}),
            "empty_text",
        ),
        (
            json!({"type": "send", "room": "r", "text": ""}),
            "empty_text",
        ),
        (
            json!({"type": "send", "room": "r", "text": "x".repeat(4097)}),
            "too_large",
        ),
        (
            json!({"type": "send", "room": "r", "text": "x", "data": "x".repeat(4095)}),
            "too_large",
        ),
        (json!({"type": "nickname"}), "bad_command"),
        (
            json!({"type": "nickname", "nickname": "\u{200B}"}),
            "bad_nickname",
        ),
        (json!({"type": "typing", "room": "r"}), "bad_command"),
        (
            json!({"type": "typing", "room": "r", "active": 1}),
            "bad_command",
        ),
        (
            json!({"type": "members", "room": "r", "limit": 0}),
            "bad_command",
        ),
        (
            json!({"type": "members", "room": "r", "cursor": "none"}),
            "bad_command",
        ),
        (json!({"type": "rooms", "cursor": "none"}), "bad_command"),
        (json!({"type": "create", "ttl_ms": 999}), "bad_command"),
        (
            json!({"type": "create", "grace_ms": 600_001}),
            "bad_command",
        ),
        (
            json!({"type": "create", "history_from": "never"}),
            "bad_command",
        ),
        (json!({"type": "create", "title": "a\tb"}), "bad_command"),
        (
            json!({"type": "create", "title": "\u{202E}x"}),
            "bad_command",
        ),
        (
            json!({"type": "create", "title": "가".repeat(61)}),
            "too_large",
        ),
        (json!({"type": "create", "room": "r"}), "room_exists"),
        (json!({"type": "hello"}), "already_identified"),
    ] {
        assert_eq!(ann.expect_error(command.clone()).await, code, "{command}");
        // A valid command in between prevents a close for ten malformed ones in a row.
        ann.expect_success(json!({"type": "ping"})).await;
    }
    // Values at the limits are accepted, and so are fields that a command does not have.
    ann.expect_success(
        json!({"type": "send", "room": "r", "text": "x".repeat(4096), "mood": {"a": [1]}}),
    )
    .await;
    ann.expect_success(json!({"type": "send", "room": "r", "text": "x", "data": "x".repeat(4094)}))
        .await;
    ann.expect_success(
        json!({"type": "create", "title": "가".repeat(60), "room": null, "password": ""}),
    )
    .await;
}

/// Values of unexpected types have crashed Socket.IO's parser (CVE-2023-32695 and others).
#[tokio::test(start_paused = true)]
async fn every_field_of_every_command_refuses_values_of_every_other_type() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    let values = [
        ("string", json!("1")),
        ("whole", json!(1)),
        ("boolean", json!(true)),
        ("object", json!({"epoch": "e", "seq": 1})),
        ("none", json!([])),
        ("none", json!(["r"])),
        ("none", json!({})),
        ("none", json!({"toString": "r", "length": 1})),
        ("none", json!(-1)),
        ("none", json!(0.5)),
        ("none", json!(1e300)),
    ];
    for (kind, fields) in [
        (
            "hello",
            &[
                ("token", "string"),
                ("nickname", "string"),
                ("locale", "string"),
            ][..],
        ),
        (
            "create",
            &[
                ("room", "string"),
                ("title", "string"),
                ("capacity", "whole"),
                ("password", "string"),
                ("ttl_ms", "whole"),
                ("listed", "boolean"),
                ("grace_ms", "whole"),
                ("history_from", "string"),
            ],
        ),
        ("rooms", &[("cursor", "string"), ("limit", "whole")]),
        (
            "join",
            &[
                ("room", "string"),
                ("password", "string"),
                ("nickname", "string"),
                ("since", "object"),
                ("history", "whole"),
            ],
        ),
        ("leave", &[("room", "string")]),
        (
            "send",
            &[
                ("room", "string"),
                ("text", "string"),
                ("key", "string"),
                ("reply_to", "whole"),
            ],
        ),
        (
            "history",
            &[("room", "string"), ("before", "whole"), ("limit", "whole")],
        ),
        (
            "members",
            &[("room", "string"), ("cursor", "string"), ("limit", "whole")],
        ),
        ("nickname", &[("nickname", "string"), ("room", "string")]),
        ("typing", &[("room", "string"), ("active", "boolean")]),
    ] {
        for (field, fits) in fields {
            for (is, value) in &values {
                if is == fits {
                    continue;
                }
                let right = json!({"room": "r", "text": "x", "nickname": "Ben", "active": true});
                let mut command = json!({"type": kind});
                for (name, _) in fields.iter().filter(|(name, _)| !right[name].is_null()) {
                    command[name] = right[name].clone();
                }
                command[field] = value.clone();
                let shown = command.to_string();
                assert_eq!(ann.expect_error(command).await, "bad_command", "{shown}");
                // A valid command in between prevents a close for ten malformed ones in a row.
                ann.expect_success(json!({"type": "ping"})).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_valid_command_id_is_repeated_in_the_reply() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    ann.hello().await;
    for id in ["-1", "1.5", "\"1\"", "9007199254740992", "true", "{}", "[]"] {
        let heard = answers(&mut ann, &format!(r#"{{"type":"ping","id":{id}}}"#)).await;
        assert_eq!(
            (heard.len(), &heard[0]["code"], heard[0].get("id")),
            (1, &json!("bad_command"), None),
            "{id}"
        );
    }
    // Null is the same as absent.
    assert_eq!(
        answers(&mut ann, r#"{"type":"ping","id":null}"#).await,
        [json!({"type": "pong"})]
    );
    let mut plain = Client::connect(&chat);
    plain.hello().await;
    plain.end().send(r#"{"type":"ping","id":9007199254740991}"#);
    let pong = plain.end().recv().await;
    assert!(format!("{pong:?}").contains("9007199254740991"));
}

#[tokio::test(start_paused = true)]
async fn ten_malformed_commands_in_a_row_are_answered_and_close_the_connection() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    ann.hello().await;
    // A refusal of a valid command neither counts nor resets the count.
    for n in 0..10 {
        ann.send_raw(if n % 2 == 0 {
            "{"
        } else {
            r#"{"type":"dance"}"#
        });
        ann.send_raw(r#"{"type":"leave","room":"elsewhere"}"#);
    }
    let heard = ann.until_idle().await;
    let codes = each(&heard, "code");
    assert_eq!(codes.iter().filter(|code| *code == "bad_json").count(), 5);
    assert_eq!(
        codes.iter().filter(|code| *code == "bad_command").count(),
        5
    );
    assert_eq!(heard.last().unwrap()["code"], "bad_command");
    assert_eq!(ann.close_code(), Some(1008));
    assert_eq!(ann.until_closed().await.code, CloseCode::POLICY);
    assert_eq!(chat.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn commands_that_only_the_room_finds_malformed_count_too() {
    let chat = chat();
    for command in [
        r#"{"type":"send","room":"r","text":"\u0007"}"#,
        r#"{"type":"members","room":"r","cursor":"none"}"#,
        r#"{"type":"create","title":"a\tb"}"#,
    ] {
        let mut ann = Client::connect(&chat);
        ann.join("r").await;
        for _ in 0..10 {
            ann.send_raw(command);
        }
        let heard = only(&ann.until_idle().await, "error");
        assert_eq!(each(&heard, "code"), vec![json!("bad_command"); 10]);
        assert_eq!(ann.close_code(), Some(1008), "{command}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_valid_command_resets_the_count_of_malformed_ones() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    ann.hello().await;
    for _ in 0..5 {
        for _ in 0..9 {
            ann.send_raw("{");
        }
        ann.expect_success(json!({"type": "ping"})).await;
    }
    assert_eq!(ann.until_idle().await.len(), 45);
    assert_eq!(ann.close_code(), None);
}

#[tokio::test(start_paused = true)]
async fn after_a_refused_hello_a_client_may_say_hello_again() {
    let chat = chat();
    for hello in [
        json!({"type": "hello", "token": "forged"}),
        json!({"type": "hello", "nickname": "\u{200B}"}),
        json!({"type": "hello", "locale": 5}),
    ] {
        let mut ann = Client::connect(&chat);
        let error = ann.request(hello).await;
        assert_eq!(error["type"], "error");
        assert!(
            ann.until_idle().await.is_empty(),
            "there must be no welcome yet"
        );
        ann.expect_success(json!({"type": "hello", "nickname": "Ann"}))
            .await;
        assert_eq!(ann.join("r").await["you"]["nickname"], "Ann");
        ann.expect_success(json!({"type": "leave", "room": "r"}))
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn refused_hellos_count_as_malformed_commands() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    for _ in 0..10 {
        ann.send_raw(r#"{"type":"hello","token":"forged"}"#);
    }
    assert_eq!(
        each(&ann.until_idle().await, "code"),
        vec![json!("bad_token"); 10]
    );
    assert_eq!(ann.close_code(), Some(1008));
}

#[tokio::test(start_paused = true)]
async fn a_binary_message_closes_the_connection_with_1003() {
    let chat = chat();
    let mut ann = member(&chat, "r", "Ann").await;
    ann.end().send_binary(&b"{\"type\":\"ping\"}"[..]);
    ann.send_raw(r#"{"type":"ping"}"#);
    ann.until_idle().await;
    assert_eq!(ann.close_code(), Some(1003));
    // The connection counts as lost like any other, so the seat is held.
    assert_eq!(host(&chat, "r").info().await.unwrap().count, 1);
}

#[tokio::test(start_paused = true)]
async fn commands_of_one_connection_run_in_order() {
    let chat = chat();
    let mut ann = Client::connect(&chat);
    let commands = [
        json!({"type": "send", "room": "r", "text": "early"}),
        json!({"type": "create", "room": "r", "password": "sesame"}),
        json!({"type": "join", "room": "r"}),
        json!({"type": "send", "room": "r", "text": "in"}),
        json!({"type": "leave", "room": "r"}),
        json!({"type": "send", "room": "r", "text": "late"}),
        json!({"type": "join", "room": "r", "history": 5}),
        json!({"type": "join", "room": "r"}),
    ];
    for command in commands {
        ann.command(command);
    }
    pass(ms(10)).await;
    let replies: Vec<Value> = ann
        .until_idle()
        .await
        .into_iter()
        .filter(|event| event.get("id").is_some())
        .collect();
    assert_eq!(
        each(&replies, "id"),
        (1..=8).map(|id| json!(id)).collect::<Vec<_>>()
    );
    let told: Vec<&Value> = replies
        .iter()
        .map(|reply| reply.get("code").unwrap_or(&reply["type"]))
        .collect();
    assert_eq!(
        told,
        [
            "not_joined",
            "created",
            "joined",
            "sent",
            "left",
            "not_joined",
            "joined",
            "already_joined"
        ]
    );
    assert_eq!(replies[6]["messages"].as_array().unwrap().len(), 1);
}
