//! Clients that misbehave, on purpose or not. Each connects once and checks how the server treats
//! it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chat_memory::Chance;
use rand::Rng;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::socket::{RawSocket, Received};

/// Every kind of misbehaviour.
pub(crate) const ALL: [&str; 11] = [
    "silent",
    "half a request",
    "reset at once",
    "bad handshake",
    "answers no ping",
    "frame too large",
    "binary",
    "malformed commands",
    "flood of commands",
    "requests and does not read",
    "wrong passwords",
];

/// Misbehaves once.
///
/// # Errors
/// The server treated the client differently than it must.
pub(crate) async fn misbehave(
    kind: &'static str,
    to: SocketAddr,
    from: [Ipv4Addr; 2],
    room: &str,
    chance: &mut Chance,
) -> Result<(), String> {
    match kind {
        "silent" => unfinished(to, from[0], b"").await,
        "half a request" => unfinished(to, from[0], b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgr").await,
        "reset at once" => {
            let socket = RawSocket::connect(from[0], to).await.map_err(to_text)?;
            socket.reset();
            Ok(())
        }
        "bad handshake" => bad_handshake(to, from[0], chance).await,
        "answers no ping" => {
            let mut socket = open(to, from[0]).await?;
            // A client that does not read does not see pings either.
            sleep(Duration::from_secs(45)).await;
            expect_close(&mut socket, &[Some(4003), None]).await
        }
        "frame too large" => {
            let mut socket = open(to, from[0]).await?;
            socket.write(&[0x81, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
            expect_close(&mut socket, &[Some(1009)]).await
        }
        "binary" => {
            let mut socket = open(to, from[0]).await?;
            socket.write(&[0x82, 0x81, 0, 0, 0, 0, 7]);
            expect_close(&mut socket, &[Some(1003)]).await
        }
        "malformed commands" => {
            let mut socket = open(to, from[0]).await?;
            (0..10).for_each(|_| socket.send_text("{"));
            expect_close(&mut socket, &[Some(1008)]).await
        }
        "flood of commands" => {
            let mut socket = open(to, from[0]).await?;
            (0..2000).for_each(|_| socket.send_text(r#"{"type":"ping"}"#));
            expect_close(&mut socket, &[Some(4004), None]).await
        }
        "requests and does not read" => {
            let mut socket = open(to, from[0]).await?;
            socket.send_text(&json!({"type": "join", "room": room}).to_string());
            let history = json!({"type": "history", "room": room, "limit": 100}).to_string();
            (0..90).for_each(|_| socket.send_text(&history));
            sleep(Duration::from_secs(15)).await;
            socket.reset();
            Ok(())
        }
        _ => wrong_passwords(to, from, chance).await,
    }
}

async fn open(to: SocketAddr, from: Ipv4Addr) -> Result<RawSocket, String> {
    RawSocket::open(from, to).await.map_err(to_text)
}

/// The server must end a connection that never completes a request.
async fn unfinished(to: SocketAddr, from: Ipv4Addr, bytes: &[u8]) -> Result<(), String> {
    let mut socket = RawSocket::connect(from, to).await.map_err(to_text)?;
    socket.write(bytes);
    close_code(&mut socket).await.map(drop)
}

async fn bad_handshake(to: SocketAddr, from: Ipv4Addr, chance: &mut Chance) -> Result<(), String> {
    let (lines, status) = [
        (
            "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: short\r\n",
            "400",
        ),
        (
            "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 8\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "426",
        ),
        (
            "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Origin: http://elsewhere.example\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "403",
        ),
    ][chance.random_range(0..3)];
    let mut socket = RawSocket::connect(from, to).await.map_err(to_text)?;
    socket.write(format!("GET /ws HTTP/1.1\r\nHost: {to}\r\n{lines}\r\n").as_bytes());
    let head = timeout(TIMEOUT, socket.read_head())
        .await
        .map_err(to_text)?;
    let head = head.map_err(to_text)?;
    let actual = head.split(' ').nth(1).unwrap_or_default();
    if actual == status {
        Ok(())
    } else {
        Err(format!("the status must be {status}: {head}"))
    }
}

/// One client creates a room with a password, and another one guesses it.
async fn wrong_passwords(
    to: SocketAddr,
    from: [Ipv4Addr; 2],
    chance: &mut Chance,
) -> Result<(), String> {
    let room = format!("locked-{:016x}", chance.random::<u64>());
    let mut owner = open(to, from[0]).await?;
    let create =
        json!({"type": "create", "id": 1, "room": room, "password": "sesame", "ttl_ms": 5000});
    expect(
        &mut owner,
        &create,
        &["created", "rate_limited", "unavailable"],
    )
    .await?;
    let mut guest = open(to, from[1]).await?;
    let guess = json!({"type": "join", "id": 1, "room": room, "password": "wrong"});
    for _ in 0..7 {
        let replies = [
            "wrong_password",
            "rate_limited",
            "unavailable",
            "room_expired",
            "joined",
        ];
        let reply = expect(&mut guest, &guess, &replies).await?;
        // The room was not created for one of the other reasons, so the first join created an open
        // one.
        if reply == "joined" {
            break;
        }
    }
    guest.close();
    owner.close();
    Ok(())
}

/// Sends a command with the `id` 1, and returns the type or code of its reply if it is one of
/// these.
async fn expect(
    socket: &mut RawSocket,
    command: &Value,
    replies: &[&str],
) -> Result<String, String> {
    socket.send_text(&command.to_string());
    loop {
        match timeout(TIMEOUT, socket.receive()).await.map_err(to_text)? {
            Received::Closed(code) => return Err(format!("{command}: closed with {code:?}")),
            Received::Text(text) => {
                let event: Value = serde_json::from_str(&text).map_err(to_text)?;
                if event["id"] != 1 {
                    continue;
                }
                let reply = event.get("code").unwrap_or(&event["type"]);
                let reply = reply.as_str().unwrap_or_default();
                return match replies.contains(&reply) {
                    true => Ok(reply.to_owned()),
                    false => Err(format!("{command}: {event}")),
                };
            }
        }
    }
}

async fn expect_close(socket: &mut RawSocket, codes: &[Option<u16>]) -> Result<(), String> {
    let code = close_code(socket).await?;
    match codes.contains(&code) {
        true => Ok(()),
        false => Err(format!("closed with {code:?} instead of {codes:?}")),
    }
}

/// The code with which the server ends the connection.
async fn close_code(socket: &mut RawSocket) -> Result<Option<u16>, String> {
    let code = timeout(TIMEOUT, async {
        loop {
            if let Received::Closed(code) = socket.receive().await {
                return code;
            }
        }
    });
    code.await
        .map_err(|_| "the connection was not closed in time".to_owned())
}

fn to_text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

const TIMEOUT: Duration = Duration::from_secs(60);
