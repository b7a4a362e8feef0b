//! The ids of rooms that have ended.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::millis;
use crate::protocol::RoomId;

/// Ids of ended rooms, each remembered for some time, a bounded number of them. Times are
/// milliseconds on the monotonic time line.
pub(crate) struct EndedRooms {
    order: VecDeque<(u64, RoomId)>,
    until: HashMap<RoomId, u64>,
    max: usize,
    remembered_ms: u64,
}

impl EndedRooms {
    pub(crate) fn new(max: usize, remembered: Duration) -> Self {
        Self {
            order: VecDeque::new(),
            until: HashMap::new(),
            max,
            remembered_ms: millis(remembered),
        }
    }

    /// Remembers an id. At the bound the oldest one is forgotten.
    pub(crate) fn insert(&mut self, id: RoomId, now: u64) {
        let until = now.saturating_add(self.remembered_ms);
        self.until.insert(id.clone(), until);
        self.order.push_back((until, id));
        while self.order.len() > self.max || self.order.front().is_some_and(|(at, _)| *at <= now) {
            let Some((at, id)) = self.order.pop_front() else {
                break;
            };
            if self.until.get(&id) == Some(&at) {
                self.until.remove(&id);
            }
        }
    }

    pub(crate) fn contains(&self, id: &RoomId, now: u64) -> bool {
        self.until.get(id).is_some_and(|until| *until > now)
    }
}
