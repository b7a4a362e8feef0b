//! The setup that most tests share.

#![allow(dead_code, reason = "each test file uses only a part of this module")]

use std::time::Duration;

use chat_core::{Builder, Chat, Create, Limits, RoomHandle, RoomId};
use chat_memory::{Client, Ledger, pair};
use serde_json::{Value, json};

/// A deterministic engine with open rooms and no rate limits.
pub(crate) fn builder() -> Builder {
    Chat::builder()
        .limits(Limits::default().without_rates())
        .open_rooms(true)
        .seed(1)
        .simulated_clock(START)
}

pub(crate) fn chat() -> Chat {
    builder().build()
}

pub(crate) fn chat_with(limits: impl FnOnce(&mut Limits)) -> Chat {
    let mut all = Limits::default().without_rates();
    limits(&mut all);
    builder().limits(all).build()
}

/// The handle of a room.
pub(crate) fn host(chat: &Chat, id: &str) -> RoomHandle {
    chat.room(id).expect("a valid room id")
}

/// Makes a room on behalf of the host.
pub(crate) async fn room(chat: &Chat, id: &str, create: Create) {
    let room = RoomId::new(id).unwrap();
    chat.create(create.room(room), None).await.unwrap();
}

/// A client that has joined a room under a nickname.
pub(crate) async fn member(chat: &Chat, room: &str, nickname: &str) -> Client {
    let mut client = Client::connect(chat);
    client
        .expect_success(json!({"type": "join", "room": room, "nickname": nickname}))
        .await;
    client
}

/// A client that connects from the given address.
pub(crate) fn client_from(chat: &Chat, address: &str) -> Client {
    let (server, end) = pair(usize::MAX);
    let address = address.parse().expect("a valid address");
    tokio::spawn(
        chat.admit(Some(address))
            .expect("a free slot")
            .serve(server),
    );
    Client::new(end, Ledger::default())
}

/// Sleeps, which advances the paused clock of a test.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The events of the given type.
pub(crate) fn only(events: &[Value], kind: &str) -> Vec<Value> {
    let of_kind = events.iter().filter(|event| event["type"] == kind);
    of_kind.cloned().collect()
}

/// The value of one field in each event.
pub(crate) fn each(events: &[Value], field: &str) -> Vec<Value> {
    events.iter().map(|event| event[field].clone()).collect()
}

/// The wall clock at the start of a test, in milliseconds since the Unix epoch.
pub(crate) const START: u64 = 1_800_000_000_000;
