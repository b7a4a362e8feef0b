//! Who is typing.

use std::collections::HashMap;

use crate::protocol::event::Event;
use crate::protocol::{Frames, Member, MemberId, RoomId};

use super::recent::Recent;

/// The members of one room who are typing. Only the latest state matters, so this is not in the
/// log, and each node has its own.
#[derive(Default)]
pub(super) struct Typing {
    newest: u64,
    recent: Recent<(MemberId, Frames), MAX_RECENT>,
    /// Since when, on the monotonic time line.
    active: HashMap<MemberId, u64>,
}

impl Typing {
    /// Records that a member types or has stopped. False if that is a repetition, which the others
    /// are not sent.
    pub(super) fn set(&mut self, room: &RoomId, member: &Member, active: bool, now: u64) -> bool {
        let id = member.id;
        let changed = if active {
            let since = self.active.get(&id);
            let repeats = since.is_some_and(|since| now.saturating_sub(*since) < REPEAT_MS);
            if !repeats {
                self.active.insert(id, now);
            }
            !repeats
        } else {
            self.active.remove(&id).is_some()
        };
        if changed {
            let event = Event::Typing {
                room,
                member,
                active,
            };
            self.newest += 1;
            let frames = Frames::encode(&event);
            self.recent.push(self.newest, (id, frames));
        }
        changed
    }

    /// A member has sent what they typed, or has left.
    pub(super) fn stop(&mut self, id: MemberId) {
        if !self.active.is_empty() {
            self.active.remove(&id);
        }
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// The events after `number` about members other than `me`.
    pub(super) fn after(&self, number: u64, me: MemberId) -> impl Iterator<Item = &Frames> {
        let others = self.recent.after(number).filter(move |(id, _)| *id != me);
        others.map(|(_, frames)| frames)
    }
}

/// A member who is still typing says so again after this time.
const REPEAT_MS: u64 = 3000;
const MAX_RECENT: usize = 32;
