//! What clients can write into the log.

mod common;

use std::net::Ipv4Addr;

use common::*;
use serde_json::{Value, json};

/// Part of every text that is sent here, so that the log can be searched for it.
const MARK: &str = "f0rged";

/// Line endings, terminal sequences of both kinds and controls that change the direction of a line.
/// Each of them would forge an entry.
const HOSTILE: [&str; 8] = [
    "f0rged\n2026-01-01T00:00:00Z  INFO f0rged",
    "f0rged\r\n{\"level\":\"INFO\",\"f0rged\":1}",
    "f0rged\u{1b}[2J\u{1b}[31m",
    "f0rged\u{1b}]0;title\u{7}",
    "f0rged\u{9b}31m\u{9d}0;title\u{9c}",
    "f0rged\u{85}\u{2028}\u{2029}",
    "f0rged\u{202e}\u{2066}\u{200b}",
    "f0rged\u{8}\u{7f}\0",
];

/// Sends hostile texts wherever a client can send a text.
async fn provoke(server: &Server) {
    for text in HOSTILE {
        let mut ann = Member::new(&chat_memory::Ledger::default());
        ann.connect(server.addr).await;
        for command in [
            json!({"type": "hello", "nickname": text}),
            json!({"type": "hello", "token": text}),
            json!({"type": "hello", "locale": text}),
            json!({"type": "create", "room": text}),
            json!({"type": "create", "title": text, "password": text}),
            json!({"type": "join", "room": text}),
            json!({"type": "join", "room": "hall", "nickname": text, "password": text}),
            json!({"type": "join", "room": "hall"}),
            json!({"type": "send", "room": "hall", "text": text, "key": text, "data": text}),
            json!({
                "type": "send",
                "room": "hall",
                "text": "f0rged",
                "key": format!("{text}!"),
                "data": {text: text},
            }),
            json!({"type": "nickname", "nickname": text}),
            json!({"type": "rooms", "cursor": text}),
        ] {
            ann.request(command).await.expect("the connection is open");
        }
        ann.send_raw(json!({"type": text}).to_string()).await;
        ann.send_raw(text.to_owned()).await;
        ann.close(&text.chars().take(20).collect::<String>()).await;

        // In the head of a request, which may contain everything but line endings.
        let raw = text.replace(['\r', '\n'], " ");
        for header in [
            "origin",
            "user-agent",
            "x-forwarded-for",
            "sec-websocket-protocol",
            MARK,
        ] {
            send_and_wait(
                server,
                &upgrade_head(server.addr, &format!("{header}: {raw}\r\n")),
            )
            .await;
        }
        let host = format!("host: {}\r\n", server.addr);
        send_and_wait(server, &format!("GET /{raw} HTTP/1.1\r\n{host}\r\n")).await;
        send_and_wait(
            server,
            &format!("GET /api/rooms/{raw}?{raw} HTTP/1.1\r\n{host}\r\n"),
        )
        .await;
        send_and_wait(server, &format!("{raw} / HTTP/1.1\r\n{host}\r\n")).await;
        send_and_wait(server, text).await;
        let room = json!({"room": text, "title": text}).to_string();
        let length = format!("content-length: {}\r\n\r\n{room}", room.len());
        send_and_wait(
            server,
            &format!("POST /api/rooms HTTP/1.1\r\n{host}{length}"),
        )
        .await;
    }
}

/// Sends bytes and waits until the server ends the connection.
async fn send_and_wait(server: &Server, bytes: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = connect(Ipv4Addr::LOCALHOST, server.addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// The log of a server at its most verbose level after all the hostile texts.
async fn log(format: &str) -> String {
    let flags = ["--no-limits", "--log", "trace", "--log-format", format];
    let server = Server::start(&flags);
    within("sending hostile texts", provoke(&server)).await;
    for entry in ["an HTTP connection broke", "rejected a WebSocket handshake"] {
        server.wait_for_log(entry).await;
    }
    let log = server.log();
    for char in log.chars() {
        let forges = char.is_control() && char != '\n'
            || "\u{2028}\u{2029}\u{202e}\u{2066}\u{200b}".contains(char);
        assert!(!forges, "{char:?} in {log:?}");
    }
    assert!(!log.contains(MARK), "text of a client is logged: {log}");
    log
}

#[tokio::test]
async fn clients_cannot_forge_entries_of_a_text_log() {
    for line in log("text").await.lines() {
        let mut words = line.split_whitespace();
        let (time, level) = (words.next().unwrap(), words.next().unwrap());
        assert!(time.len() == 27 && time.ends_with('Z'), "{line}");
        assert!(
            ["TRACE", "DEBUG", "INFO", "WARN"].contains(&level),
            "{line}"
        );
    }
}

#[tokio::test]
async fn clients_cannot_forge_entries_of_a_json_log() {
    for line in log("json").await.lines() {
        let entry: Value = serde_json::from_str(line).expect("every line is one object");
        assert!(
            entry["timestamp"].is_string() && entry["level"].is_string(),
            "{line}"
        );
    }
}
