//! Who gives up a seat.

use super::effects::Effects;
use super::lifecycle::Lifecycle;
use super::refusal::Refusal;
use super::state::{Operation, State};
use crate::clock::Stamp;
use crate::protocol::MemberId;

/// A connection of a member ends. With the last one their seat is given up at once, or held for the
/// room's grace.
pub(crate) struct Detach {
    pub(crate) member: MemberId,
    pub(crate) ordinal: u64,
    /// Whether the member has left, rather than lost the connection.
    pub(crate) left: bool,
}

impl Operation for Detach {
    type Outcome = ();

    fn apply(self, state: &mut State, stamp: Stamp, effects: &mut Effects) -> Result<(), Refusal> {
        let id = self.member;
        if state.roster.seat_of(id, self.ordinal).is_none() || !state.roster.detach(id) {
            return Ok(());
        }
        let grace_ms = state.settings.grace_ms;
        if self.left || grace_ms == 0 || state.lifecycle() != Lifecycle::Live {
            state.remove_seat(id, stamp.monotonic_ms, effects);
        } else {
            state
                .roster
                .hold(id, stamp.monotonic_ms.saturating_add(grace_ms));
        }
        Ok(())
    }
}
