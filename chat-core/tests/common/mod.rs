//! What most tests begin with.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::Duration;

use chat_core::{Builder, Chat, Create, Limits, RoomHandle, RoomId};
use chat_memory::{Client, Ledger, pair};
use serde_json::{Value, json};

/// An engine with open rooms, no rate limits, and nothing left to chance.
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
    chat.room(id).expect("a room id")
}

/// Makes a room as its host.
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

/// A client that connects from an address.
pub(crate) fn client_from(chat: &Chat, address: &str) -> Client {
    let (server, end) = pair(usize::MAX);
    let address = address.parse().expect("an address");
    tokio::spawn(chat.admit(Some(address)).expect("a place").serve(server));
    Client::new(end, Ledger::default())
}

/// Lets time go by.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The events of a type among others.
pub(crate) fn only(events: &[Value], kind: &str) -> Vec<Value> {
    let of_kind = events.iter().filter(|event| event["type"] == kind);
    of_kind.cloned().collect()
}

/// A field of each event.
pub(crate) fn each(events: &[Value], field: &str) -> Vec<Value> {
    events.iter().map(|event| event[field].clone()).collect()
}

pub(crate) const START: u64 = 1_800_000_000_000;
