//! Doing nothing but what is due.

use super::effects::Effects;
use super::refusal::Refusal;
use super::state::{Operation, State};
use crate::clock::Stamp;

/// The empty operation: whatever is due by its time is done.
pub(crate) struct Tick;

impl Operation for Tick {
    type Outcome = ();

    fn apply(self, _: &mut State, _: Stamp, _: &mut Effects) -> Result<(), Refusal> {
        Ok(())
    }
}
