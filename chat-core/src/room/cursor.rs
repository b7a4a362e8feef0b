//! How far one connection has been served in one room.

use crate::protocol::{Frames, MemberId};

use super::state::Removal;

/// One connection's position in one room.
pub(crate) struct Cursor {
    /// The last event that the connection was sent.
    pub(super) seq: u64,
    /// The room's counters as of the last look.
    pub(super) ephemeral: u64,
    pub(super) removals: u64,
    /// Why the stay is over, once that is known. It is told after the last event of the stay.
    pub(super) removal: Option<Box<Removal>>,
    pub(crate) member: MemberId,
    /// The connection's slot in the room's waker set.
    pub(super) slot: u32,
    /// Identifies the stay of the member.
    pub(crate) ordinal: u64,
    /// The last presence event that the connection was sent.
    pub(super) presence: u64,
    /// The last typing event that the connection was sent.
    pub(super) typing: u64,
}

/// What a connection is sent next.
pub(crate) enum Delivery {
    /// Events, with a `gap` before them if some were skipped.
    Frames(Frames),
    Removed(Box<Removal>),
    Nothing,
}
