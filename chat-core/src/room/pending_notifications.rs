//! Notifications that are put off to the end of a connection's turn.

use std::sync::Arc;

use smallvec::SmallVec;

use super::room::{NotifyLater, Room};

/// The rooms to which a connection has sent in this turn, and whose members must be notified.
///
/// One notification serves all messages of a turn, as each looks at every member. Dropping this
/// notifies, so it cannot be forgotten; hold it no longer than for a turn. It holds at most the
/// rooms of one connection.
#[derive(Default)]
#[must_use = "members sleep until they are notified"]
pub(crate) struct PendingNotifications(SmallVec<[Arc<Room>; 1]>);

impl PendingNotifications {
    /// Adds a room, if its members are to be notified.
    pub(crate) fn add(&mut self, room: &Arc<Room>, NotifyLater(notify): NotifyLater) {
        if notify && !self.0.iter().any(|pending| Arc::ptr_eq(pending, room)) {
            self.0.push(Arc::clone(room));
        }
    }

    /// Notifies the members of all these rooms.
    pub(crate) fn notify(self) {
        drop(self);
    }
}

impl Drop for PendingNotifications {
    fn drop(&mut self) {
        for room in &self.0 {
            room.notify_all();
        }
    }
}
