//! What the host sends.

use super::effects::Effects;
use super::log::Position;
use super::refusal::Refusal;
use super::state::{Operation, State};
use crate::clock::Stamp;
use crate::protocol::event::Event;
use crate::protocol::frames;
use crate::protocol::message::Content;

/// The host sends a notice to the room.
pub(crate) struct Announce<'a> {
    pub(crate) content: Content<'a>,
}

impl Operation for Announce<'_> {
    type Outcome = Position;

    fn apply(
        self,
        state: &mut State,
        stamp: Stamp,
        effects: &mut Effects,
    ) -> Result<Position, Refusal> {
        state.lifetime.check_live()?;
        let (room, content) = (&state.id, self.content);
        let position = state
            .log
            .append(stamp.unix_ms, |Position { seq, at }, out| {
                let notice = Event::Notice {
                    room,
                    seq,
                    text: content.text,
                    at,
                    data: content.data,
                };
                frames::push(out, &notice);
            });
        state.keys.expire(position.seq);
        effects.appended = true;
        Ok(position)
    }
}
