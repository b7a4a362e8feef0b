//! The state of one room.

use std::collections::VecDeque;

use crate::protocol::Template;

/// A message that has not reached all members yet.
pub(super) struct InFlight {
    /// When it was published or due, in nanoseconds of the engine's clock.
    pub(super) since: u64,
    pub(super) remaining: u32,
    /// The sequence number under which the first member received it; 0 before that.
    pub(super) seq: u64,
}

pub(super) struct Room {
    pub(super) template: Template,
    pub(super) members: Vec<u32>,
    /// Publishes so far, which chooses the next publisher.
    pub(super) turn: usize,
    pub(super) sent: u64,
    /// The index of the first message in `in_flight`.
    pub(super) base: u64,
    pub(super) in_flight: VecDeque<InFlight>,
}
