//! The checks of a world: what the protocol promises, compared with what all clients saw.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::actions::connect;
use super::quiesce::receive_everything;
use super::state::{LATE, PASSWORD, State, User};
use super::time::{settle, settle_one};
use crate::fields::{number, text};

/// The part of a log that can be read.
struct Retained {
    epoch: String,
    oldest: u64,
    newest: u64,
}

/// No room ever has more members than seats.
pub(super) async fn check_capacity(state: &State) {
    for room in &state.rooms {
        let handle = state.chat.room(room.as_str()).expect("a valid id");
        if let Ok(info) = handle.info().await {
            let capacity = info.capacity as usize;
            assert!(capacity == 0 || info.count <= capacity, "{room}: {info:?}");
        }
    }
}

/// Checks everything, once a world has come to rest.
pub(super) async fn check_all(state: &mut State) {
    check_presence(state).await;
    check_liveness(state).await;
    let retained = read_history(state).await;
    check_acks(state, &retained);
    check_events(state);
    let online = state.users.iter().filter(|user| user.online).count();
    assert_eq!(state.tasks.len(), online, "a task outlived its connection");
    assert_eq!(state.chat.stats().connections, online);
}

/// Every client's list of members is that of the server, and the true one.
async fn check_presence(state: &mut State) {
    let mut present: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for n in 0..state.users.len() {
        if !state.users[n].online {
            continue;
        }
        let views = state.users[n].client.views();
        let rooms: Vec<String> = views.keys().cloned().collect();
        for room in rooms {
            if !state.users[n].client.view(&room).complete {
                request(state, n, json!({"type": "members", "room": room})).await;
            }
            let view = state.users[n].client.view(&room);
            let members = members(state, &room).await;
            assert!(view.complete, "{n} in {room}: {view:?}");
            assert_eq!(view.members, members, "{n} in {room}: {view:?}");
            let ids = present.entry(room).or_default();
            ids.insert(view.me.clone());
        }
    }
    for room in &state.rooms {
        let members = members(state, room.as_str()).await;
        let members: BTreeSet<String> = members.into_keys().collect();
        let present = present.remove(room.as_str()).unwrap_or_default();
        assert_eq!(members, present, "{room}: the members");
    }
}

/// The nicknames of a room's members by id, as the server has them.
async fn members(state: &State, room: &str) -> BTreeMap<String, String> {
    let handle = state.chat.room(room).expect("a valid id");
    let members = handle.members(None, 100).await.map(|page| page.members);
    let members = members.unwrap_or_default();
    members
        .iter()
        .map(|member| (member.id.to_string(), member.nickname.to_string()))
        .collect()
}

/// A new user can join wherever there is a seat, and their messages arrive at every member.
async fn check_liveness(state: &mut State) {
    let n = state.users.len();
    state.users.push(User::new(state.ledger.clone()));
    connect(state, n);
    for room in state.rooms.clone() {
        let room = room.as_str();
        let join = json!({"type": "join", "room": room, "password": PASSWORD});
        let joined = request_with_hash(state, n, join).await;
        if joined["type"] == "error" {
            let code = text(&joined, "code");
            let allowed = ["room_full", "room_expired"].contains(&code.as_str());
            assert!(allowed, "{joined}");
            continue;
        }
        let id = text(&joined["you"], "id");
        state.users[n].ids.insert(room.to_owned(), id);
        let message = format!("{n} is here");
        state.senders.insert((room.to_owned(), message.clone()), n);
        let send = json!({"type": "send", "room": room, "text": message});
        let seq = number(&request(state, n, send).await, "seq");
        receive_everything(state).await;
        let online = state.users.iter().filter(|user| user.online);
        let views = online.filter_map(|user| user.client.views().get(room));
        let positions: Vec<u64> = views.map(|view| view.seq).collect();
        let all_there = positions.iter().all(|position| *position == seq);
        assert!(all_there, "{room}: {positions:?} instead of {seq}");
    }
}

/// Sends a command of a user who is online, and returns its reply.
async fn request(state: &mut State, n: usize, command: Value) -> Value {
    let id = state.users[n].client.command(command);
    loop {
        settle(state).await;
        if let Some(reply) = received_reply(state, n, id) {
            return reply;
        }
        assert!(!state.users[n].client.is_closed(), "no reply");
    }
}

/// Like [`request`], for a command that may need a password hash.
async fn request_with_hash(state: &mut State, n: usize, command: Value) -> Value {
    let id = state.users[n].client.command(command);
    loop {
        settle_one(state, state.users[n].task).await;
        if let Some(reply) = received_reply(state, n, id) {
            return reply;
        }
    }
}

fn received_reply(state: &mut State, n: usize, id: u64) -> Option<Value> {
    let client = &mut state.users[n].client;
    client.receive_available();
    client.drain().into_iter().find(|event| event["id"] == id)
}

/// Pages through everything that is retained in each room, as a member who may read it, and checks
/// that it is as much as it must be.
async fn read_history(state: &mut State) -> BTreeMap<String, Retained> {
    let mut retained = BTreeMap::new();
    for room in state.rooms.clone() {
        let room = room.as_str();
        let may_read = |user: &User| user.online && user.has_joined(room);
        let Some(n) = state.users.iter().position(may_read) else {
            continue;
        };
        let view = state.users[n].client.view(room).clone();
        let mut before = view.seq + 1;
        loop {
            let page = json!({"type": "history", "room": room, "before": before, "limit": 7});
            let page = request(state, n, page).await;
            let messages = page["messages"].as_array().expect("a list");
            if let [first, ..] = &messages[..] {
                let last = messages.last().expect("the list is not empty");
                assert_eq!(number(last, "seq"), before - 1);
                before = number(first, "seq");
            }
            if page["more"] == false {
                break;
            }
        }
        if room != LATE {
            let count = view.seq + 1 - before;
            assert_eq!(count, view.seq.min(state.log_events), "{room}: retained");
        }
        let log = Retained {
            epoch: view.epoch,
            oldest: before,
            newest: view.seq,
        };
        retained.insert(room.to_owned(), log);
    }
    retained
}

/// Every acknowledged message is in the history at its acknowledged `seq`, unless it is no longer
/// retained.
fn check_acks(state: &State, retained: &BTreeMap<String, Retained>) {
    for ack in &state.acks {
        let Some(event) = state.ledger.get(&ack.room, &ack.epoch, ack.seq) else {
            let is_retained = retained.get(&ack.room).is_some_and(|log| {
                log.epoch == ack.epoch && (log.oldest..=log.newest).contains(&ack.seq)
            });
            assert!(!is_retained, "{}: {} is lost", ack.room, ack.text);
            continue;
        };
        let event: Value = serde_json::from_str(&event).expect("an event must be JSON");
        assert_eq!(event["text"], ack.text, "{}: {}", ack.room, ack.seq);
    }
}

/// Every event that any client saw was sent by the member that it names, in the room and at the
/// position that it names, and once.
fn check_events(state: &State) {
    let mut positions: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for (room, epoch, seq, raw) in state.ledger.all() {
        let event: Value = serde_json::from_str(&raw).expect("an event must be JSON");
        assert_eq!(
            (event["room"].as_str(), number(&event, "seq")),
            (Some(&*room), seq)
        );
        let text = text(&event, "text");
        let sent = (room.clone(), text.clone());
        if event["type"] == "notice" {
            assert!(state.notices.contains(&sent), "nobody sent this: {raw}");
        } else {
            let n = state.senders.get(&sent);
            let n = *n.unwrap_or_else(|| panic!("nobody sent this: {raw}"));
            let id = &state.users[n].ids[&room];
            assert_eq!(event["from"]["id"], *id, "user {n} sent this: {raw}");
        }
        let previous = positions.insert((room, epoch, text), seq);
        // The engine remembers a key for as long as its message is retained.
        let is_forgotten = |previous: u64| seq - previous >= state.log_events;
        assert!(
            previous.is_none_or(is_forgotten),
            "also at {previous:?}: {raw}"
        );
    }
}
