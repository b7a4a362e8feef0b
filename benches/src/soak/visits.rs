//! Visitors who mean no good, or know no better: each comes once, and knows how it should be received.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chat_memory::Chance;
use rand::Rng;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::wire::{Heard, Wire};

/// Every kind of visit.
pub(crate) const ALL: [&str; 11] = [
    "says nothing",
    "half a request",
    "reset at once",
    "bad handshake",
    "answers no ping",
    "frame too large",
    "binary",
    "malformed commands",
    "flood of commands",
    "asks and does not read",
    "wrong passwords",
];

/// Makes a visit.
///
/// # Errors
/// It was received otherwise than it should be.
pub(crate) async fn visit(
    kind: &'static str,
    to: SocketAddr,
    from: [Ipv4Addr; 2],
    room: &str,
    chance: &mut Chance,
) -> Result<(), String> {
    match kind {
        "says nothing" => unfinished(to, from[0], b"").await,
        "half a request" => unfinished(to, from[0], b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgr").await,
        "reset at once" => {
            let wire = Wire::connect(from[0], to).await.map_err(shown)?;
            wire.cut();
            Ok(())
        }
        "bad handshake" => bad_handshake(to, from[0], chance).await,
        "answers no ping" => {
            let mut wire = open(to, from[0]).await?;
            // Whoever does not listen does not hear pings either.
            sleep(Duration::from_secs(45)).await;
            ends(&mut wire, &[Some(4003), None]).await
        }
        "frame too large" => {
            let mut wire = open(to, from[0]).await?;
            wire.write(&[0x81, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
            ends(&mut wire, &[Some(1009)]).await
        }
        "binary" => {
            let mut wire = open(to, from[0]).await?;
            wire.write(&[0x82, 0x81, 0, 0, 0, 0, 7]);
            ends(&mut wire, &[Some(1003)]).await
        }
        "malformed commands" => {
            let mut wire = open(to, from[0]).await?;
            (0..10).for_each(|_| wire.say("{"));
            ends(&mut wire, &[Some(1008)]).await
        }
        "flood of commands" => {
            let mut wire = open(to, from[0]).await?;
            (0..2000).for_each(|_| wire.say(r#"{"type":"ping"}"#));
            ends(&mut wire, &[Some(1008), None]).await
        }
        "asks and does not read" => {
            let mut wire = open(to, from[0]).await?;
            wire.say(&json!({"type": "join", "room": room}).to_string());
            let history = json!({"type": "history", "room": room, "limit": 100}).to_string();
            (0..90).for_each(|_| wire.say(&history));
            sleep(Duration::from_secs(15)).await;
            wire.cut();
            Ok(())
        }
        _ => wrong_passwords(to, from, chance).await,
    }
}

async fn open(to: SocketAddr, from: Ipv4Addr) -> Result<Wire, String> {
    Wire::open(from, to).await.map_err(shown)
}

/// What never becomes a request is ended by the server.
async fn unfinished(to: SocketAddr, from: Ipv4Addr, bytes: &[u8]) -> Result<(), String> {
    let mut wire = Wire::connect(from, to).await.map_err(shown)?;
    wire.write(bytes);
    over(&mut wire).await.map(drop)
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
    let mut wire = Wire::connect(from, to).await.map_err(shown)?;
    wire.write(format!("GET /ws HTTP/1.1\r\nHost: {to}\r\n{lines}\r\n").as_bytes());
    let head = timeout(PATIENCE, wire.read_head()).await.map_err(shown)?;
    let head = head.map_err(shown)?;
    let told = head.split(' ').nth(1).unwrap_or_default();
    if told == status {
        Ok(())
    } else {
        Err(format!("{status} was due: {head}"))
    }
}

/// Somebody makes a locked room, and somebody else guesses.
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
        let told = [
            "wrong_password",
            "rate_limited",
            "unavailable",
            "room_expired",
            "joined",
        ];
        let told = expect(&mut guest, &guess, &told).await?;
        // The room was not made, for one of the other reasons, and whoever comes first makes an open one.
        if told == "joined" {
            break;
        }
    }
    guest.close();
    owner.close();
    Ok(())
}

/// Sends a command with the `id` 1, and gives the type or code of its reply if it is one of these.
async fn expect(wire: &mut Wire, command: &Value, replies: &[&str]) -> Result<String, String> {
    wire.say(&command.to_string());
    loop {
        match timeout(PATIENCE, wire.hear()).await.map_err(shown)? {
            Heard::Over(code) => return Err(format!("{command}: closed with {code:?}")),
            Heard::Text(text) => {
                let event: Value = serde_json::from_str(&text).map_err(shown)?;
                if event["id"] != 1 {
                    continue;
                }
                let told = event.get("code").unwrap_or(&event["type"]);
                let told = told.as_str().unwrap_or_default();
                return match replies.contains(&told) {
                    true => Ok(told.to_owned()),
                    false => Err(format!("{command}: {event}")),
                };
            }
        }
    }
}

async fn ends(wire: &mut Wire, codes: &[Option<u16>]) -> Result<(), String> {
    let code = over(wire).await?;
    match codes.contains(&code) {
        true => Ok(()),
        false => Err(format!("closed with {code:?} instead of {codes:?}")),
    }
}

/// The code with which the server ends the connection.
async fn over(wire: &mut Wire) -> Result<Option<u16>, String> {
    let over = timeout(PATIENCE, async {
        loop {
            if let Heard::Over(code) = wire.hear().await {
                return code;
            }
        }
    });
    over.await.map_err(|_| "not closed in time".to_owned())
}

fn shown(error: impl std::fmt::Display) -> String {
    error.to_string()
}

const PATIENCE: Duration = Duration::from_secs(60);
