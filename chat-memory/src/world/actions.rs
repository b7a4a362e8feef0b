//! What users and the host do.

use std::time::Duration;

use chat_core::{MemberId, RoomId};
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::state::{LOCKED, MADE, PASSWORD, State};
use super::time::settle_one;
use crate::pipe::pair;

/// One random action of a user who is online. It is about `room`, or more often about a room that
/// they have joined, where more is allowed.
pub(super) async fn random_action(state: &mut State, n: usize, room: String) {
    let views = state.users[n].client.views();
    let rooms: Vec<String> = views.keys().cloned().collect();
    let room = match rooms.choose(&mut state.rng) {
        Some(joined) if state.rng.random_bool(0.6) => joined.clone(),
        _ => room,
    };
    let joined = rooms.contains(&room);
    match state.rng.random_range(0..100) {
        0..20 if !joined => join(state, n, &room).await,
        0..45 if joined => {
            for _ in 0..state.rng.random_range(1..6) {
                send_message(state, n, &room);
            }
        }
        45..50 => resend(state, n),
        50..54 if joined => command(state, n, json!({"type": "leave", "room": room})),
        54..60 => {
            let names = ["Ann", "ANN", "Ben", "Cleo", "Аnn", "Ada"];
            let nickname = names.choose(&mut state.rng);
            let mut rename = json!({"type": "nickname", "nickname": nickname});
            if state.rng.random() {
                rename["room"] = json!(room);
            }
            command(state, n, rename);
        }
        60..64 => {
            let limit = state.rng.random_range(1..30);
            let history = json!({"type": "history", "room": room, "limit": limit});
            command(state, n, history);
        }
        64..67 => command(state, n, json!({"type": "members", "room": room})),
        67..71 => {
            let active: bool = state.rng.random();
            let typing = json!({"type": "typing", "room": room, "active": active});
            command(state, n, typing);
        }
        71..77 => state.users[n].client.end().stall(),
        77..83 => state.users[n].client.end().resume(),
        83..88 => disconnect(state, n, true),
        88..90 => disconnect(state, n, false),
        90..93 => create(state, n, room),
        _ => {}
    }
}

fn command(state: &mut State, n: usize, command: Value) {
    state.trace(n, || format!("> {command}"));
    state.users[n].client.command(command);
}

/// Tries to create a room, whose id may be taken.
fn create(state: &mut State, n: usize, taken: String) {
    let fresh = state.rng.random::<bool>();
    let room = if fresh { MADE.to_owned() } else { taken };
    let mut create = json!({"type": "create", "room": room});
    if state.rng.random() {
        create["capacity"] = json!(state.rng.random_range(1..4));
    }
    if state.rng.random_bool(0.3) {
        create["ttl_ms"] = json!(state.rng.random_range(1_000..10_000));
    }
    if fresh && !state.rooms.iter().any(|known| known.as_str() == MADE) {
        let made = RoomId::new(MADE).expect("the id must be valid");
        state.rooms.push(made);
    }
    command(state, n, create);
}

/// Connects a user who is offline.
pub(super) fn connect(state: &mut State, n: usize) {
    let window = [0, 0, 500, usize::MAX][state.rng.random_range(0..4)];
    let (server, end) = pair(window);
    let ticket = state.chat.admit(None);
    let connection = ticket
        .expect("the engine must admit a connection")
        .serve(server);
    state.users[n].task = state.tasks.spawn(async move {
        connection.await;
    });
    let own_token = state.users[n].client.known_token();
    // A user without a token may become a second window of another user.
    let token = own_token.or_else(|| {
        let other = state.users.choose(&mut state.rng)?;
        let shared = state.rng.random_bool(0.2);
        shared.then(|| other.client.known_token())?
    });
    state.users[n].client.replace_end(end);
    state.users[n].online = true;
    let first = match token {
        Some(token) => json!({"type": "hello", "token": token}),
        None if state.rng.random() => json!({"type": "hello"}),
        None => json!({"type": "ping"}),
    };
    state.users[n].client.command(first);
}

/// Ends a connection: with everything under way lost, or after what was sent.
fn disconnect(state: &mut State, n: usize, abort: bool) {
    state.trace(n, || format!("disconnects; abort: {abort}"));
    let user = &mut state.users[n];
    user.online = false;
    if abort {
        user.client.end().abort();
    } else {
        user.client.end().close();
    }
}

/// Joins a room, usually at the last position.
pub(super) async fn join(state: &mut State, n: usize, room: &str) {
    let mut join = json!({"type": "join", "room": room});
    if let Some((epoch, seq)) = state.users[n].client.position(room)
        && state.rng.random_bool(0.9)
    {
        let ahead = u64::from(state.rng.random_bool(0.05)) * 1_000;
        join["since"] = json!({"epoch": epoch, "seq": seq + ahead});
    }
    if state.rng.random_bool(0.3) {
        join["history"] = json!(state.rng.random_range(0..20));
    }
    if state.rng.random_bool(0.2) {
        join["nickname"] = json!("Ann");
    }
    if room == LOCKED {
        let right = state.rng.random_bool(0.7);
        join["password"] = json!(if right { PASSWORD } else { "barley" });
    }
    command(state, n, join);
    if room == LOCKED {
        settle_one(state, state.users[n].task).await;
    }
}

fn send_message(state: &mut State, n: usize, room: &str) {
    state.texts += 1;
    let key = format!("k{}", state.texts);
    let text = message_text(n, &key);
    state.senders.insert((room.to_owned(), text.clone()), n);
    let unacknowledged = &mut state.users[n].unacknowledged;
    unacknowledged.insert((room.to_owned(), key.clone()), text.clone());
    let send = json!({"type": "send", "room": room, "text": text, "key": key});
    command(state, n, send);
}

/// The text of the message that user `n` sent under a key.
pub(super) fn message_text(n: usize, key: &str) -> String {
    format!("{n} says {}", &key[1..])
}

/// Sends everything that was not acknowledged again, under the old keys.
pub(super) fn resend(state: &mut State, n: usize) {
    for ((room, key), text) in state.users[n].unacknowledged.clone() {
        if state.users[n].has_joined(&room) {
            let send = json!({"type": "send", "room": room, "text": text, "key": key});
            command(state, n, send);
        }
    }
}

/// The host kicks or bans a member of a random room, or announces something there.
pub(super) async fn random_host_action(state: &mut State) {
    let room = state.rooms.choose(&mut state.rng).expect("a room").clone();
    let handle = state.chat.room(room.as_str()).expect("a valid id");
    let members = handle.members(None, 100).await.map(|page| page.members);
    let target: Option<MemberId> = members
        .ok()
        .and_then(|members| members.choose(&mut state.rng).map(|member| member.id));
    match (state.rng.random_range(0..4), target) {
        (0, Some(target)) => drop(handle.kick(target, Some("out")).await),
        (1, Some(target)) => {
            let time = Duration::from_millis(state.rng.random_range(1..3_000));
            drop(handle.ban(target, Some(time), None).await);
        }
        _ => {
            state.texts += 1;
            let text = format!("notice {}", state.texts);
            if handle.announce(&text).await.is_ok() {
                state.notices.insert((room.to_string(), text));
            }
        }
    }
}
