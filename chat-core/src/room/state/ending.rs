//! Ending a room on purpose.

use super::effects::Effects;
use super::lifecycle::Lifecycle;
use super::refusal::Refusal;
use super::state::{Operation, State};
use crate::clock::Stamp;
use crate::protocol::event::Reason;

/// The host ends the room for everybody in it.
pub(crate) struct Close<'a> {
    pub(crate) text: Option<&'a str>,
}

impl Operation for Close<'_> {
    type Outcome = ();

    fn apply(self, state: &mut State, _: Stamp, effects: &mut Effects) -> Result<(), Refusal> {
        state.lifetime.check_live()?;
        state.end(Lifecycle::Ended, Reason::Closed, self.text, effects);
        Ok(())
    }
}
