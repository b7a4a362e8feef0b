//! The idempotency keys of a room.

use std::collections::{HashMap, VecDeque};

use super::log::Position;
use crate::protocol::MemberId;

/// Which key each member has used, and for which event.
///
/// Keys are remembered for the newest events of the room, by count alone: how many bytes the log
/// retains depends on the encoding of events, and a key must not.
pub(crate) struct Keys {
    positions: HashMap<Key, Position>,
    /// The same keys, oldest first.
    order: VecDeque<(u64, Key)>,
    /// The number of newest events whose keys are remembered.
    window: u64,
}

type Key = (MemberId, Box<str>);

impl Keys {
    pub(crate) fn new(window: usize) -> Self {
        Self {
            positions: HashMap::new(),
            order: VecDeque::new(),
            window: window.max(1) as u64,
        }
    }

    /// The event that `member` has sent with `key`.
    pub(crate) fn find(&self, member: MemberId, key: &str) -> Option<Position> {
        self.positions.get(&(member, Box::from(key))).copied()
    }

    pub(crate) fn insert(&mut self, member: MemberId, key: &str, position: Position) {
        let key = (member, Box::from(key));
        self.positions.insert(Key::clone(&key), position);
        self.order.push_back((position.seq, key));
    }

    /// Forgets the keys that have left the window when the newest event is `newest`.
    pub(crate) fn expire(&mut self, newest: u64) {
        let expired = newest.saturating_sub(self.window);
        while self.order.front().is_some_and(|(seq, _)| *seq <= expired)
            && let Some((_, key)) = self.order.pop_front()
        {
            self.positions.remove(&key);
        }
    }

    /// Every remembered key with its event, oldest first.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MemberId, &str, Position)> {
        let position = |key| self.positions[key];
        self.order
            .iter()
            .map(move |(_, key)| (key.0, &*key.1, position(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_for_a_number_of_events() {
        let (ann, bob) = (MemberId([1; 15]), MemberId([2; 15]));
        let mut keys = Keys::new(2);
        let first = Position { seq: 1, at: 5 };
        keys.insert(ann, "a", first);
        keys.expire(2);
        assert_eq!(keys.find(ann, "a"), Some(first));
        assert_eq!(keys.find(bob, "a"), None);
        keys.expire(3);
        assert_eq!(keys.find(ann, "a"), None);
        assert!(keys.positions.is_empty() && keys.order.is_empty());
    }
}
