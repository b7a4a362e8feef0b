//! What users receive.

use serde_json::Value;

use super::actions::message_text;
use super::state::{Ack, State};
use crate::fields::{number, text};

/// Receives what has arrived at a user, if they are online.
pub(super) fn receive(state: &mut State, n: usize) {
    if !state.users[n].online {
        return;
    }
    state.users[n].client.receive_available();
    for event in state.users[n].client.drain() {
        process(state, n, &event);
    }
    let user = &mut state.users[n];
    if user.client.is_closed() {
        user.online = false;
        let code = user.client.close_code().unwrap_or_default();
        state.trace(n, || format!("closed: {code}"));
        *state.report.closes.entry(code).or_default() += 1;
    }
}

fn process(state: &mut State, n: usize, event: &Value) {
    state.trace(n, || format!("< {event}"));
    let kind = text(event, "type");
    let user = &mut state.users[n];
    let counted = match kind.as_str() {
        "joined" => {
            let room = text(&event["room"], "id");
            user.epochs.insert(room.clone(), text(event, "epoch"));
            let id = text(&event["you"], "id");
            let previous = user.ids.insert(room, id.clone());
            assert!(
                previous.is_none_or(|previous| previous == id),
                "the id of user {n} has changed"
            );
            if event["recovered"] == true {
                "joined recovered".to_owned()
            } else {
                kind
            }
        }
        "sent" => {
            let (room, key) = (text(event, "room"), text(event, "key"));
            let text = message_text(n, &key);
            user.unacknowledged.remove(&(room.clone(), key));
            state.acks.push(Ack {
                epoch: user.epochs[&room].clone(),
                seq: number(event, "seq"),
                text,
                room,
            });
            kind
        }
        "removed" => format!("removed {}", text(event, "reason")),
        "error" => {
            let code = text(event, "code");
            assert!(!UNEXPECTED.contains(&code.as_str()), "{event}");
            code
        }
        _ => kind,
    };
    *state.report.events.entry(counted).or_default() += 1;
}

/// Errors that no command of a world can cause.
const UNEXPECTED: [&str; 5] = [
    "internal",
    "bad_json",
    "bad_command",
    "rate_limited",
    "bad_token",
];
