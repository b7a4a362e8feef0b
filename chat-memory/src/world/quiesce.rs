//! The end of all faults.

use super::actions::{connect, join, resend};
use super::receive::receive;
use super::state::{State, User};
use super::time::{advance, settle};

/// Lets a world come to rest: all clients read again, half of the offline users come back, every
/// unacknowledged message is sent again, and all grace periods and time windows run out.
pub(super) async fn quiesce(state: &mut State) {
    for user in &state.users {
        user.client.end().resume();
    }
    receive_everything(state).await;
    for n in (0..state.users.len()).step_by(2) {
        if !state.users[n].online {
            connect(state, n);
        }
        receive_everything(state).await;
        for room in state.rooms.clone() {
            if state.users[n].online && !state.users[n].has_joined(room.as_str()) {
                join(state, n, room.as_str()).await;
            }
        }
    }
    receive_everything(state).await;
    for n in 0..state.users.len() {
        if state.users[n].online {
            resend(state, n);
        }
    }
    receive_everything(state).await;
    for _ in 0..30 {
        advance(state, 200).await;
        receive_everything(state).await;
    }
    for user in state.users.iter().filter(|user| user.online) {
        for (room, key) in user.unacknowledged.keys() {
            assert!(!user.has_joined(room), "{room}: {key} has no reply");
        }
    }
}

/// Runs connections and receives until nothing is under way.
pub(super) async fn receive_everything(state: &mut State) {
    let has_unread = |user: &User| user.online && user.client.end().unread() > 0;
    settle(state).await;
    loop {
        receive_all(state);
        settle(state).await;
        if !state.users.iter().any(has_unread) {
            break;
        }
    }
    receive_all(state);
}

fn receive_all(state: &mut State) {
    for n in 0..state.users.len() {
        receive(state, n);
    }
}
